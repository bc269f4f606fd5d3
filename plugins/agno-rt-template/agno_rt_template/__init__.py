"""A plugin for agno_rt: one model, one tool and one guardrail.

The entry point in pyproject.toml names this module. agno_rt imports the module on the first request for the plugin, and
`agno-rt plugins` imports all plugins. So this module imports nothing slow: the factories do, when called.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from agno_rt import Model, Tool, hookimpl
from agno_rt.config import read_settings
from agno_rt.hooks import Guardrail
from agno_rt.hookspecs import Register


@attrs.frozen
class Settings:
    """The keys of `[plugins.template]` in agno-rt.toml, with their defaults."""

    prefix: str = ""
    ending: str = "!"
    capitals: float = 0.8


def make_echo(rest: str, settings: Mapping[str, Any]) -> Model:
    """Make the model of the spec `template:echo`. In `template:echo:You said ` the `rest` is `You said `."""
    from agno_rt_template.model import EchoModel

    return EchoModel(rest or _read_table(settings).prefix)


def make_shout(rest: str, settings: Mapping[str, Any]) -> Tool:
    """Make the tool of the spec `template:shout`. In `template:shout:?!` the `rest` is `?!`."""
    from agno_rt_template.tools import make_shout_tool

    return make_shout_tool(rest or _read_table(settings).ending)


def make_calm(rest: str, settings: Mapping[str, Any]) -> Guardrail:
    """Make the guardrail of the spec `template:calm`. In `template:calm:0.5` the `rest` is `0.5`.

    The guardrail checks the input. For the output, return `agno_rt.hooks.Guard(CalmGuardrail(...), on=("output",))`.
    """
    from agno_rt_template.guardrail import CalmGuardrail

    return CalmGuardrail(float(rest) if rest else _read_table(settings).capitals)


def _read_table(settings: Mapping[str, Any]) -> Settings:
    # Unknown keys and wrong types become errors with the key, this table and the nearest known key.
    return read_settings(Settings, settings, "[plugins.template]")


# agno_rt finds hooks by their names; `agno_rt.hookspecs` lists all of them. A misspelt name is an error when the plugin
# loads. `agno-rt plugins` shows the help texts.


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer `template:echo`."""
    register("echo", make_echo, help="Repeat the last message.")


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `template:shout`."""
    register("shout", make_shout, help="Say a text in capitals.")


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer `template:calm`."""
    register("calm", make_calm, help="Write shouted texts in small letters.")
