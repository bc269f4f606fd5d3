"""The plugin as its users meet it: installed, and asked for by name."""

import pytest
from agno_rt_template import make_echo

from agno_rt import Agent, Model, ToolCall, run
from agno_rt.errors import ConfigError
from agno_rt.testing import ModelContract, ScriptedModel


class TestEchoModel(ModelContract):
    """The echo does what every model does: these tests come with agno_rt."""

    # It cannot choose a tool. A model that can leaves this out, and is then tested for it.
    calls_tools = False

    def make_model(self) -> Model:
        """The model to be tested."""
        return make_echo("", {})


def test_the_model_answers_an_agent() -> None:
    """An agent that names the model in a spec gets its answer."""
    result = run(Agent("template:echo"), "Hello.")

    assert result.content == "Hello."


def test_the_tool_is_called_by_an_agent() -> None:
    """An agent that names the tool in a spec can call it; the script stands in for a model that does."""
    with ScriptedModel([ToolCall("1", "shout", '{"text": "fire"}'), "I shouted."]) as model:
        run(Agent(model, tools=["template:shout"]), "Shout.")

    assert model.requests[-1].messages[-1].content == "FIRE!"


def test_the_guardrail_changes_the_input() -> None:
    """What an agent's user shouts reaches the model in small letters; what is said calmly stays as it is."""
    agent = Agent("template:echo", hooks=["template:calm"])

    assert run(agent, "HELLO!").content == "hello!"
    assert run(agent, "Hello, USA.").content == "Hello, USA."


def test_settings_change_the_answer() -> None:
    """The table [plugins.template] of agno-rt.toml reaches the factory; a spec that says more comes first."""
    settings = {"template": {"prefix": "You said: "}}

    assert run(Agent("template:echo"), "Hello.", settings=settings).content == "You said: Hello."
    assert run(Agent("template:echo:I heard "), "Hello.", settings=settings).content == "I heard Hello."


def test_a_wrong_setting_is_named() -> None:
    """A misspelt setting is an error that names it, its table and the right one."""
    with pytest.raises(ConfigError, match=r"\[plugins.template\].*'prefx'[^$]*'prefix'"):
        run(Agent("template:echo"), "Hello.", settings={"template": {"prefx": "?"}})
