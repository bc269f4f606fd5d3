"""The guardrails that ship, by spec string: `guardrails:pii`, `:injection`, `:secrets`, `:length`, `:moderation`.

After the name come words, in any order: where it stands (`input`, `output` or both), `race`, and what it does
(`redact`, `block` or `cut`); and last what it is about: kinds (`guardrails:pii:output:email,phone`), a length
(`guardrails:length:cut:4000`, `guardrails:length:1000 tokens`, `guardrails:length:10-4000`) or a model
(`guardrails:moderation:race:openai:gpt-5`). Everything else is in the tables `[plugins.guardrails.NAME]`; what a spec
says comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.hooks import Guard

__all__ = ["guardrail_factory"]


def guardrail_factory(name: str) -> Callable[[str, Mapping[str, Any]], Guard]:
    """What makes `guardrails:name:rest` of the rest and the settings."""

    def make(rest: str, settings: Mapping[str, Any]) -> Guard:
        from agno_rt.defaults._guardrails import MAKERS  # this takes some milliseconds

        return MAKERS[name](rest, settings)

    return make


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer them."""
    register("pii", guardrail_factory("pii"), help="Redact or block personal data.")
    register("secrets", guardrail_factory("secrets"), help="Redact or block keys, tokens and passwords.")
    register("injection", guardrail_factory("injection"), help="Block attempts to take the model over.")
    register("length", guardrail_factory("length"), help="Block or cut what is too long.")
    register("moderation", guardrail_factory("moderation"), help="Block what a model finds unfit.")
