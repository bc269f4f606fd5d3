"""Guardrails for agno_rt: prompt injection, personal data, secrets, length, and moderation by a model.

Each guardrail is a value that checks one text at a time, on the input or the output of a run. All but `Moderation` work
by patterns, in linear time. No guardrail opens anything or knows the run's course.

The plugin offers them by spec string: `guardrails:pii`, `:secrets`, `:injection`, `:length`, `:moderation`. After the
name come words, in any order: the place (`input`, `output` or both), `race`, and the action (`redact`, `block` or
`cut`). Last comes the subject: kinds (`guardrails:pii:output:email,phone`), a length (`guardrails:length:cut:4000`,
`guardrails:length:1000 tokens`, `guardrails:length:10-4000`) or a model (`guardrails:moderation:race:openai:gpt-5`).
The tables `[plugins.guardrails.NAME]` have all other settings; a spec overrides its table.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.hooks import Guard
    from agno_rt_guardrails.injection import PromptInjection as PromptInjection
    from agno_rt_guardrails.length import Length as Length
    from agno_rt_guardrails.moderation import Moderation as Moderation
    from agno_rt_guardrails.pii import PII as PII
    from agno_rt_guardrails.secrets import Secrets as Secrets

__all__ = ["PII", "Length", "Moderation", "PromptInjection", "Secrets"]

_HOMES = {
    "PII": "pii",
    "Length": "length",
    "Moderation": "moderation",
    "PromptInjection": "injection",
    "Secrets": "secrets",
}


def __getattr__(name: str) -> object:
    # Compiling the patterns takes milliseconds, so a program that only lists its plugins skips the patterns.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def _make_factory(name: str) -> Callable[[str, Mapping[str, Any]], Guard]:
    def make(rest: str, settings: Mapping[str, Any]) -> Guard:
        from agno_rt_guardrails.specs import MAKERS

        return MAKERS[name](rest, settings)

    return make


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer the guardrails."""
    register("pii", _make_factory("pii"), help="Redact or block personal data.")
    register("secrets", _make_factory("secrets"), help="Redact or block keys, tokens and passwords.")
    register("injection", _make_factory("injection"), help="Block attempts to take over the model.")
    register("length", _make_factory("length"), help="Block or cut texts that are too long.")
    register("moderation", _make_factory("moderation"), help="Block texts that a model judges harmful.")
