"""What the specs of the guardrails that ship mean: their words, and the tables `[plugins.guardrails.NAME]`."""

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
    """The table `[plugins.guardrails.pii]`: what `PII` takes, and where it stands as `Guard` has it."""

    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True, eq=False)
class SecretsSettings(Secrets):
    """The table `[plugins.guardrails.secrets]`: what `Secrets` takes, and where it stands as `Guard` has it."""

    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True, eq=False)
class InjectionSettings(PromptInjection):
    """The table `[plugins.guardrails.injection]`: what `PromptInjection` takes, and where it stands."""

    on: tuple[Place, ...] = ("input",)
    race: bool = False


@attrs.frozen(kw_only=True)
class LengthSettings:
    """The table `[plugins.guardrails.length]`: what `Length` takes, and where it stands as `Guard` has it."""

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
    """The table `[plugins.guardrails.moderation]`: what `Moderation` takes, and where it stands as `Guard` has it."""

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


def _read(settings: Mapping[str, Any]) -> GuardrailSettings:
    return read_settings(GuardrailSettings, settings, "[plugins.guardrails]")


T = TypeVar("T")
_PLACES: tuple[Place, ...] = ("input", "output", "tools")


def _spelt(table: T, rest: str, actions: Sequence[str] = ()) -> tuple[T, str]:
    """The table as the words of a spec change it, and what follows the words."""
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
            pass  # that is all it does
        else:
            break
        rest = more
    if on:
        changes["on"] = tuple(on)
    evolve: Any = attrs.evolve  # of any of the classes above
    return evolve(table, **changes), rest


def _kinds(name: str, rest: str, actions: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """The kinds that a spec names, as a change of the table."""
    kinds = tuple(kind.strip() for kind in rest.split(","))
    for kind in kinds if rest else ():
        if kind not in known:
            words = (*_PLACES, "race", *(actions or ("block",)))
            problem = f"{kind!r} in 'guardrails:{name}:...' is neither a word nor a kind"
            hint = f"{suggest('word or kind', kind, (*words, *known))} Words: {', '.join(words)}."
            raise UsageError(problem, hint=hint)
    return {"kinds": kinds} if rest else {}


def _pii(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:pii`."""
    actions = ("redact", "block")
    table, rest = _spelt(_read(settings).pii, rest, actions)
    table = attrs.evolve(table, **_kinds("pii", rest, actions, PII().kinds))
    return Guard(table, table.on, table.race)


def _secrets(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:secrets`."""
    actions = ("redact", "block")
    table, rest = _spelt(_read(settings).secrets, rest, actions)
    table = attrs.evolve(table, **_kinds("secrets", rest, actions, Secrets().kinds))
    return Guard(table, table.on, table.race)


def _injection(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:injection`."""
    table, rest = _spelt(_read(settings).injection, rest)
    changes = _kinds("injection", rest, (), PromptInjection.known)
    if not changes and "tools" in table.on and table.kinds == PromptInjection().kinds:
        changes = {"kinds": PromptInjection.known}
    table = attrs.evolve(table, **changes)
    return Guard(table, table.on, table.race)


_BOUNDS = re.compile(r"(?:(?P<least>[0-9]+)-)?(?P<most>[0-9]+) ?(?P<unit>tokens|characters|)")


def _length(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:length`."""
    table, rest = _spelt(_read(settings).length, rest, ("block", "cut"))
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


def _moderation(rest: str, settings: Mapping[str, Any]) -> Guard:
    """Make `guardrails:moderation`."""
    table, rest = _spelt(_read(settings).moderation, rest)
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
    "pii": _pii,
    "secrets": _secrets,
    "injection": _injection,
    "length": _length,
    "moderation": _moderation,
}
"""What makes a guardrail of what follows its name in a spec, and of the plugin's settings."""
