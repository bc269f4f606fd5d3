"""A router: an agent names the desk for a question, and only this desk answers."""

from typing import Literal

from agno_rt import Agent, ModelRequest, Workflow, run
from agno_rt.testing import ScriptedModel
from agno_rt.workflows import Router


def choose(request: ModelRequest) -> str:
    """Name a desk, as a model would. Another name than these three would go back to the model."""
    text = request.messages[-1].text.lower()
    desk = "billing" if "invoice" in text else "technical" if "error" in text else "other"
    return f'"{desk}"'


def answer_as(name: str) -> Agent:
    """Return the agent of a desk."""
    return Agent(ScriptedModel(lambda request: f"{name}: {request.messages[-1].text}"), name)


triage = Agent(ScriptedModel(choose), "triage", output=Literal["billing", "technical", "other"])


def apologise(question: str) -> str:
    """Answer without a model."""
    return "Nobody here knows. Please call us."


desk = Workflow(
    "desk", [Router(triage, {"billing": answer_as("billing"), "technical": answer_as("technical")}, apologise)]
)

if __name__ == "__main__":
    for question in ("Where is my invoice?", "I see error 42.", "What is the time?"):
        print(run(desk, question).content)
