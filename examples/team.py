"""A team that researches and writes: a leader gives tasks to two members at once, then a writer makes the text."""

from agno_rt import Agent, Team, ToolCall, run
from agno_rt.teams import Leader
from agno_rt.testing import ScriptedModel

historian = Agent(ScriptedModel(["Seoul was founded in 1394."]), "historian", description="Knows the past.")
geographer = Agent(ScriptedModel(["Seoul lies on the Han."]), "geographer", description="Knows places.")

leading = ScriptedModel(
    [
        # Both tasks run at the same time, since one turn asks for them.
        [
            ToolCall("1", "delegate", {"member": "historian", "task": "When was Seoul founded?"}),
            ToolCall("2", "delegate", {"member": "geographer", "task": "Where does Seoul lie?"}),
        ],
        lambda request: "\n".join(message.text for message in request.messages[-2:]),
    ]
)
editor = Agent(leading, "editor", "Ask the others, and collect what they find.")
research = Team([historian, geographer], Leader(editor), name="research", limits={"run_timeout": 60})

writer = Agent(ScriptedModel(lambda request: f"SEOUL. {request.messages[-1].text.replace(chr(10), ' ')}"), "writer")
article = Team([research, writer], name="article")  # one after another

if __name__ == "__main__":
    print(run(article, "Tell me about Seoul.").content)
