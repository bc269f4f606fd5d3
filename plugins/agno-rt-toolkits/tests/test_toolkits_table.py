"""The recorded table of the toolkits: names, parameters and notes that prompts and approvals rely on."""

from __future__ import annotations

import pytest
from agno_rt_toolkits import make_calculator, make_time

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import ConfigError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel

PAIR = {"a": "required", "b": "required"}
TABLE: dict[str, dict[str, dict[str, str]]] = {
    "calculator": {
        "add": PAIR,
        "subtract": PAIR,
        "multiply": PAIR,
        "divide": PAIR,
        "calculate": {"expression": "required"},
    },
    "time": {
        "current_time": {"zone": ""},
        "convert_time": {"time": "required", "to_zone": "required", "from_zone": ""},
        "add_duration": {
            "time": "required",
            "amount": "required",
            "unit": "required",
            "zone": "",
        },
        "time_between": {"start": "required", "end": "required", "zone": ""},
        "list_zones": {"search": "required"},
    },
}


@pytest.mark.parametrize("name", TABLE)
def test_names_parameters_and_notes(name: str) -> None:
    """Each tool has the recorded parameters, a description for each, and the notes of a tool that changes nothing."""
    toolkit = PluginHost().tool(f"toolkits:{name}", {})
    assert toolkit.name == name
    for each in toolkit.tools:
        parts = each.parameters["properties"]
        assert {key: part.get("default", "required") for key, part in parts.items()} == TABLE[name][each.name]
        assert each.description
        assert all(part["description"] for part in parts.values())
        assert (each.read_only, each.destructive, each.pauses) == (True, False, False)
    assert [each.name for each in toolkit.tools] == list(TABLE[name])


async def test_an_agent_uses_both() -> None:
    """An agent with both toolkits calculates and tells times, with the zone of the settings."""
    calls = [
        ToolCall("1", "multiply", '{"a": 1.1, "b": 3}'),
        ToolCall("2", "divide", '{"a": 1, "b": 0}'),
        ToolCall("3", "convert_time", '{"time": "2026-07-01 12:00", "to_zone": "UTC"}'),
    ]
    async with Runtime(settings={"toolkits": {"zone": "Europe/Berlin"}}) as rt:
        agent = Agent(ScriptedModel([*calls, "done"]), tools=["toolkits:calculator", "toolkits:time"])
        result = await rt.run(agent, "?")
    texts = [message.text for message in result.messages if message.role == "tool"]
    assert texts[0] == "3.3"
    assert "Division by zero" in texts[1]
    assert texts[2] == "2026-07-01 10:00:00+00:00 (Wednesday)"


def test_a_wrong_spec_or_setting_is_told() -> None:
    """A bare name, a rest, an unknown zone and an unknown setting are errors with a remedy."""
    with pytest.raises(UsageError) as caught:
        PluginHost().tool("calculator", {})
    assert caught.value.hint == "Write toolkits:calculator."
    with pytest.raises(UsageError, match="has the rest 'x'"):
        make_calculator("x")
    with pytest.raises(UsageError, match="'Mars' is not a time zone"):
        make_time("", {"zone": "Mars"})
    with pytest.raises(ConfigError, match="zones"):
        make_time("", {"zones": "UTC"})
