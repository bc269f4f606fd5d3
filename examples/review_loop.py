"""A writer and a critic take turns until the critic approves the text, at most five times."""

import attrs

from agno_rt import Agent, ModelRequest, Workflow, run
from agno_rt.testing import ScriptedModel
from agno_rt.workflows import Loop


@attrs.define
class Review:
    """The critic's answer; the writer gets it as JSON in the next round."""

    text: str
    approved: bool
    remark: str = ""


def criticise(request: ModelRequest) -> str:
    """Approve short texts, as a strict model would."""
    text = request.messages[-1].text
    print(f"  draft: {text}")
    if len(text) > 40:
        return f'{{"text": "{text}", "approved": false, "remark": "Be brief."}}'
    return f'{{"text": "{text}", "approved": true}}'


drafts = ["Trio is a library that lets Python programs do many things at once.", "Trio: many things at once, safely."]
writer = Agent(ScriptedModel(drafts), "writer", "Write one sentence. Heed the remark, if there is one.")
critic = Agent(ScriptedModel([criticise] * 5), "critic", "Review the sentence.", output=Review)


def take_text(review: Review) -> str:
    """Return the text alone; after five rounds without approval, say so."""
    return review.text if review.approved else f"(not approved: {review.remark}) {review.text}"


review = Workflow("review", [Loop([writer, critic], until="output.approved", at_most=5), take_text])

if __name__ == "__main__":
    print(run(review, "What is trio?").content)
