"""The specs of the built-in guardrails: their words, and the tables `[plugins.guardrails.NAME]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import UsageError, suggest
from agno_rt.hooks import Guard, Place
from agno_rt_guardrails import PII, Length, Moderation, PromptInjection, Secrets

__all__ = ["MAKERS", "GuardrailSettings"]


@attrs.frozen(kw_only=True, eq=False)
class PIISettings(PII):
    """The table `[plugins.guardrails.pii]`: the attributes of `PII`, and the place and `race` of `Guard`."""

    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True, eq=False)
class SecretsSettings(Secrets):
    """The table `[plugins.guardrails.secrets]`: the attributes of `Secrets`, and the place and `race` of `Guard`."""

    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True, eq=False)
class InjectionSettings(PromptInjection):
    """The table `[plugins.guardrails.injection]`: the attributes of `PromptInjection`, the place and `race`."""

    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True)
class LengthSettings:
    """The table `[plugins.guardrails.length]`: the attributes of `Length`, and the place and `race` of `Guard`."""

    max_characters: int | None = None
    min_characters: int = 0
    max_tokens: int | None = None
    min_tokens: int = 0
    action: Literal["block", "cut"] = "block"
    name: str = "length"
    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True)
class ModerationSettings:
    """The table `[plugins.guardrails.moderation]`: the attributes of `Moderation`, the place and `race` of `Guard`."""

    model: str = ""
    categories: tuple[str, ...] | dict[str, str] | None = None
    threshold: float = 0.5
    prompt: str | None = None
    on_failure: Literal["raise", "block", "pass"] = "raise"
    name: str = "moderation"
    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen
class GuardrailSettings:
    """The table `[plugins.guardrails]`: one table for each guardrail."""

    pii: PIISettings = attrs.Factory(PIISettings)
    secrets: SecretsSettings = attrs.Factory(SecretsSettings)
    injection: InjectionSettings = attrs.Factory(InjectionSettings)
    length: LengthSettings = LengthSettings()
    moderation: ModerationSettings = ModerationSettings()


def _read_tables(settings: Mapping[str, Any]) -> GuardrailSettings:
    return read_settings(GuardrailSettings, settings, "[plugins.guardrails]")


T = TypeVar("T")
_PLACES: tuple[Place, ...] = ("input", "output", "tools")


def _apply_words(table: T, rest: str, actions: Sequence[str] = ()) -> tuple[T, str]:
    """Apply the words of a spec to the table. Return the new table, and the rest of the spec."""
    on: list[str] = []
    changes: dict[str, Any] = {}
    while rest:
        word, _, more = rest.partition(":")
        if word in _PLACES:
            on.append(word)
        elif word == "race":
            changes["race"] = True
        elif word in actions:
            changes["action"] = word
        elif word == "block" and not actions:
            pass  # blocking is the only action
        else:
            break
        rest = more
    if on:
        changes["on"] = tuple(on)
    evolve: Any = attrs.evolve  # for all classes above
    return evolve(table, **changes), rest


def _parse_kinds(name: str, rest: str, actions: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """Return the kinds in a spec, as a change of the table. Raises `UsageError` for an unknown kind."""
    kinds = tuple(kind.strip() for kind in rest.split(","))
    for kind in kinds if rest else ():
        if kind not in known:
            words = (*_PLACES, "race", *(actions or ("block",)))
            problem = f"{kind!r} in 'guardrails:{name}:...' is neither a word nor a kind"
            hint = f"{suggest('word or kind', kind, (*words, *known))} Words: {', '.join(words)}."
            raise UsageError(problem, hint=hint)
    return {"kinds": kinds} if rest else {}


def _make_pii(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:pii`."""
    actions = ("redact", "block")
    table, rest = _apply_words(_read_tables(settings).pii, rest, actions)
    table = attrs.evolve(table, **_parse_kinds("pii", rest, actions, PII().kinds))
    return Guard(table, table.on, table.race)


def _make_secrets(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:secrets`."""
    actions = ("redact", "block")
    table, rest = _apply_words(_read_tables(settings).secrets, rest, actions)
    table = attrs.evolve(table, **_parse_kinds("secrets", rest, actions, Secrets().kinds))
    return Guard(table, table.on, table.race)


def _make_injection(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:injection`."""
    table, rest = _apply_words(_read_tables(settings).injection, rest)
    changes = _parse_kinds("injection", rest, (), PromptInjection.known)
    if not changes and "tools" in table.on and table.kinds == PromptInjection().kinds:
        changes = {"kinds": PromptInjection.known}
    table = attrs.evolve(table, **changes)
    return Guard(table, table.on, table.race)


_BOUNDS = re.compile(r"(?:(?P<least>[0-9]+)-)?(?P<most>[0-9]+) ?(?P<unit>tokens|characters|)")


def _make_length(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:length`."""
    table, rest = _apply_words(_read_tables(settings).length, rest, ("block", "cut"))
    if rest:
        bounds = _BOUNDS.fullmatch(rest.replace("_", ""))
        if bounds is None:
            hint = "Write guardrails:length:4000, :10-4000 or :1000 tokens, after input, output, race, block or cut."
            raise UsageError(f"{rest!r} in 'guardrails:length:...' is neither a word nor a length", hint=hint)
        unit = bounds["unit"] or "characters"
        changes: dict[str, Any] = {f"max_{unit}": int(bounds["most"]), f"min_{unit}": int(bounds["least"] or 0)}
        table = attrs.evolve(table, **changes)
    rail = Length(
        table.max_characters,
        min_characters=table.min_characters,
        max_tokens=table.max_tokens,
        min_tokens=table.min_tokens,
        action=table.action,
        name=table.name,
    )
    return Guard(rail, table.on, table.race)


def _make_moderation(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:moderation`."""
    table, rest = _apply_words(_read_tables(settings).moderation, rest)
    model = rest or table.model
    if not model:
        hint = "Write guardrails:moderation:plugin:model, or `model` in [plugins.guardrails.moderation]."
        raise UsageError("guardrails:moderation has no model to ask", hint=hint)
    more = {"categories": table.categories, "prompt": table.prompt}
    rail = Moderation(
        model,
        threshold=table.threshold,
        on_failure=table.on_failure,
        name=table.name,
        **{key: value for key, value in more.items() if value is not None},  # type: ignore[arg-type]  # each its own
    )
    return Guard(rail, table.on, table.race)


MAKERS: Mapping[str, Callable[[str, Mapping[str, Any]], Guard]] = {
    "pii": _make_pii,
    "secrets": _make_secrets,
    "injection": _make_injection,
    "length": _make_length,
    "moderation": _make_moderation,
}
"""Make a guardrail from the rest of a spec and the plugin's settings, by the guardrail's name."""
