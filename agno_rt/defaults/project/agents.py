"""Agents in Python, named by `load` in agno-rt.toml: agno-rt run timekeeper "What time is it?"."""

from datetime import UTC, datetime

from agno_rt import Agent, ModelSettings, tool


@tool(inline=True)
def now() -> str:
    """The date and time, in UTC."""
    return f"It is {datetime.now(UTC):%H:%M UTC on %A, %d %B %Y}."


timekeeper = Agent(
    "llamacpp:smollm2",
    instructions="Repeat what the tool says.",
    tools=[now],
    settings=ModelSettings(temperature=0.0, max_tokens=60, stop=("\n",), tool_choice="required"),
)
