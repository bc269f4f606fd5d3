"""A workflow as an ordinary function: an outline, its parts written at once, and a person who decides.

The paused run is in a file, without a process; another runtime resumes the run. The models are scripted.
"""

import tempfile
from pathlib import Path

import trio

from agno_rt import Agent, Ask, Flow, ModelRequest, Runtime, step, workflow
from agno_rt.testing import ScriptedModel


def write(request: ModelRequest) -> str:
    """Write one part, as a model would."""
    return f"About {request.messages[-1].text}: ..."


planner = Agent(ScriptedModel(['["nurseries", "cancel scopes"]']), "planner", output=list[str])
writer = Agent(ScriptedModel([write] * 10), "writer")


@step(retries=2, timeout=10, idempotent=True)
def count_words(text: str) -> int:
    """Count words, in a thread. The result is recorded."""
    print("  counting")
    return len(text.split())


@workflow
async def report(topic: str, flow: Flow) -> str:
    """Write a report, and ask before it is published."""
    outline = await flow.run(planner, topic)
    async with flow.group("parts", limit=4) as parts:
        for title in outline.output:
            parts.start(writer, title, key=title)
    text = "\n".join(part.content for part in parts.results)
    words = await count_words(text)
    if not await flow.ask(Ask(bool, f"Publish {words} words?")):
        return flow.stop("declined")
    return text


async def main() -> None:
    """Run until the question, answer it, and go on in a new runtime: nothing is asked or counted twice."""
    with tempfile.TemporaryDirectory() as folder:
        memory = f"sqlite:///{Path(folder) / 'report.db'}"
        async with Runtime(memory=memory) as runtime:
            result = await runtime.run(report, "trio")
            [question] = result.approvals
            print(f"{result.status}: {question.reason} at {question.call.id}")
        async with Runtime(memory=memory) as runtime:
            await runtime.answer(question.id, True)
            result = await runtime.resume(result.run_id, report)
        print(result.content)


if __name__ == "__main__":
    trio.run(main)
