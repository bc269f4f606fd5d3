"""A plugin for agno_rt: one model, one tool and one guardrail.

The entry point in pyproject.toml leads here. agno_rt imports this module when somebody first asks for the plugin, and
`agno-rt plugins` imports it with all others; so it imports nothing that takes time. Its factories do, when called.
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
    """What a user may write into `[plugins.template]` of agno-rt.toml, with the defaults."""

    prefix: str = ""
    ending: str = "!"
    capitals: float = 0.8


def make_echo(rest: str, settings: Mapping[str, Any]) -> Model:
    """Make the model of the spec `template:echo`. In `template:echo:You said ` the `rest` is `You said `."""
    from agno_rt_template.model import EchoModel

    return EchoModel(rest or _read(settings).prefix)


def make_shout(rest: str, settings: Mapping[str, Any]) -> Tool:
    """Make the tool of the spec `template:shout`. In `template:shout:?!` the `rest` is `?!`."""
    from agno_rt_template.tools import shouting

    return shouting(rest or _read(settings).ending)


def make_calm(rest: str, settings: Mapping[str, Any]) -> Guardrail:
    """Make the guardrail of the spec `template:calm`. In `template:calm:0.5` the `rest` is `0.5`.

    It then guards the input; return `agno_rt.hooks.Guard(CalmGuardrail(...), on=("output",))` to have it elsewhere.
    """
    from agno_rt_template.guardrail import CalmGuardrail

    return CalmGuardrail(float(rest) if rest else _read(settings).capitals)


def _read(settings: Mapping[str, Any]) -> Settings:
    # A key that is unknown or of the wrong type becomes an error that names the key, this table and the nearest key.
    return read_settings(Settings, settings, "[plugins.template]")


# agno_rt finds hooks by their names; `agno_rt.hookspecs` lists them all. A misspelt one is reported when the plugin
# loads. The help texts are what `agno-rt plugins` shows.


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer `template:echo`."""
    register("echo", make_echo, help="Say what it hears.")


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `template:shout`."""
    register("shout", make_shout, help="Say it in capitals.")


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer `template:calm`."""
    register("calm", make_calm, help="Calm down who shouts.")
