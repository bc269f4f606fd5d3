"""The installed plugin, used through its specs as users do."""

import pytest
from agno_rt_template import make_echo

from agno_rt import Agent, Model, ToolCall, run
from agno_rt.errors import ConfigError
from agno_rt.testing import ModelContract, ScriptedModel


class TestEchoModel(ModelContract):
    """The echo passes the tests of agno_rt for every model."""

    # The echo cannot call tools. Leave this line out for a model with tools: the contract then tests tool calls.
    calls_tools = False

    def make_model(self) -> Model:
        """Make the model under test."""
        return make_echo("", {})


def test_the_model_answers_an_agent() -> None:
    """An agent with the spec of the model gets an answer from the model."""
    result = run(Agent("template:echo"), "Hello.")

    assert result.content == "Hello."


def test_the_tool_is_called_by_an_agent() -> None:
    """An agent with the spec of the tool can call the tool; a scripted model makes the call."""
    with ScriptedModel([ToolCall("1", "shout", '{"text": "fire"}'), "I shouted."]) as model:
        run(Agent(model, tools=["template:shout"]), "Shout.")

    assert model.requests[-1].messages[-1].content == "FIRE!"


def test_the_guardrail_changes_the_input() -> None:
    """A shouted message reaches the model in small letters; a calm message stays unchanged."""
    agent = Agent("template:echo", hooks=["template:calm"])

    assert run(agent, "HELLO!").content == "hello!"
    assert run(agent, "Hello, USA.").content == "Hello, USA."


def test_settings_change_the_answer() -> None:
    """The table [plugins.template] of agno-rt.toml reaches the factory; the rest of a spec overrides the table."""
    settings = {"template": {"prefix": "You said: "}}

    assert run(Agent("template:echo"), "Hello.", settings=settings).content == "You said: Hello."
    assert run(Agent("template:echo:I heard "), "Hello.", settings=settings).content == "I heard Hello."


def test_a_wrong_setting_is_named() -> None:
    """A misspelt setting is an error with the setting, the table and the nearest known setting."""
    with pytest.raises(ConfigError, match=r"\[plugins.template\].*'prefx'[^$]*'prefix'"):
        run(Agent("template:echo"), "Hello.", settings={"template": {"prefx": "?"}})
