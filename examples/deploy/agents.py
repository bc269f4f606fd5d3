"""The agents to serve. This one has a scripted model, so that the example runs anywhere: put your own here."""

from agno_rt import Agent
from agno_rt.testing import ScriptedModel

assistant = Agent(ScriptedModel(lambda request: "Hello from the other side."), "assistant", "Answer in one sentence.")
