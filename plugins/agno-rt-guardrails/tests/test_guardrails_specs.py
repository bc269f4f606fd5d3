"""The built-in guardrails by spec string and by their tables in agno-rt.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno_rt_guardrails import PII, Length, Moderation, PromptInjection, Secrets

from agno_rt.config import load_config
from agno_rt.context import RunContext
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.hooks import Guard
from agno_rt.plugins import PluginHost

Settings = dict[str, Any]


def guard(spec: str, settings: Settings | None = None) -> Guard:
    """Return the guard of a spec, made like any plugin's."""
    made = PluginHost().guardrail(spec, {"guardrails": settings or {}})
    assert isinstance(made, Guard)
    return made


@pytest.mark.parametrize(
    ("spec", "kind", "name"),
    [
        ("guardrails:pii", PII, "pii"),
        ("guardrails:secrets", Secrets, "secrets"),
        ("guardrails:injection", PromptInjection, "injection"),
        ("guardrails:length:4000", Length, "length"),
        ("guardrails:moderation:m:x", Moderation, "moderation"),
    ],
)
def test_each_by_its_name(spec: str, kind: type, name: str) -> None:
    """A bare spec guards the input, with the defaults."""
    made = guard(spec)

    assert isinstance(made.rail, kind)
    assert (made.rail.name, made.on, made.race) == (name, ("input",), False)


@pytest.mark.parametrize(
    ("words", "on", "race", "action"),
    [
        ("", ("input",), False, "redact"),
        (":output", ("output",), False, "redact"),
        (":input:output", ("input", "output"), False, "redact"),
        (":tools:block", ("tools",), False, "block"),
        (":output:tools", ("output", "tools"), False, "redact"),
        (":race:block", ("input",), True, "block"),
        (":block:output", ("output",), False, "block"),
        (":output:redact:email", ("output",), False, "redact"),
    ],
)
def test_words(words: str, on: tuple[str, ...], race: bool, action: str) -> None:
    """Place, race and action, in any order."""
    made = guard(f"guardrails:pii{words}")

    assert (made.on, made.race) == (on, race)
    assert isinstance(made.rail, PII)
    assert made.rail.action == action


async def test_kinds() -> None:
    """The rest after the words names the kinds."""
    made = guard("guardrails:pii:output:email, phone")
    injection = guard("guardrails:injection:block:leak").rail

    assert isinstance(made.rail, PII)
    assert made.rail.kinds == ("email", "phone")
    assert await made.rail.check(RunContext("r"), "4111 1111 1111 1111") is None
    assert isinstance(injection, PromptInjection)
    assert injection.kinds == ("leak",)
    assert isinstance(secrets := guard("guardrails:secrets:jwt").rail, Secrets)
    assert secrets.kinds == ("jwt",)


@pytest.mark.parametrize(
    ("words", "settings", "kinds"),
    [
        ("", {}, PromptInjection().kinds),
        (":tools", {}, PromptInjection.known),
        (":input:tools", {}, PromptInjection.known),
        (":tools:leak", {}, ("leak",)),
        (":planted", {}, ("planted",)),
        (":tools", {"injection": {"kinds": ["role"]}}, ("role",)),
    ],
)
def test_kinds_of_injections(words: str, settings: Settings, kinds: tuple[str, ...]) -> None:
    """On results of tools all kinds are the default."""
    rail = guard(f"guardrails:injection{words}", settings).rail

    assert isinstance(rail, PromptInjection)
    assert rail.kinds == kinds


@pytest.mark.parametrize(
    ("rest", "bounds"),
    [
        ("4000", (0, 4000, 0, None)),
        ("4_000 characters", (0, 4000, 0, None)),
        ("10-4000", (10, 4000, 0, None)),
        ("1000 tokens", (0, None, 0, 1000)),
        ("5-1000tokens", (0, None, 5, 1000)),
        ("cut:output:50", (0, 50, 0, None)),
    ],
)
def test_lengths(rest: str, bounds: tuple[Any, ...]) -> None:
    """A length reads like plain English."""
    rail = guard(f"guardrails:length:{rest}").rail

    assert isinstance(rail, Length)
    assert (rail.min_characters, rail.max_characters, rail.min_tokens, rail.max_tokens) == bounds
    assert rail.action == ("cut" if "cut" in rest else "block")


def test_a_model() -> None:
    """The rest after the words of a moderation is the model's spec, with its colons."""
    made = guard("guardrails:moderation:race:openai:gpt-5:latest")

    assert isinstance(made.rail, Moderation)
    assert (made.rail.model, made.race) == ("openai:gpt-5:latest", True)


def test_tables() -> None:
    """The table fills the gaps of a spec; the spec overrides the table."""
    settings: Settings = {
        "pii": {"action": "block", "kinds": ["email"], "on": ["input", "output"], "patterns": {"order": "A-[0-9]+"}},
        "length": {"max_characters": 10, "action": "cut", "name": "short"},
        "moderation": {
            "model": "m:x",
            "categories": {"spoilers": "how a film ends"},
            "threshold": 0.8,
            "on_failure": "pass",
            "race": True,
        },
    }
    pii, length, moderation = (guard(f"guardrails:{name}", settings) for name in settings)

    assert isinstance(pii.rail, PII)
    assert (pii.rail.action, pii.rail.kinds, pii.on) == ("block", ("email",), ("input", "output"))
    assert pii.rail.patterns == {"order": "A-[0-9]+"}
    assert guard("guardrails:pii:output", settings).on == ("output",)
    assert isinstance(length.rail, Length)
    assert (length.rail.max_characters, length.rail.action, length.rail.name) == (10, "cut", "short")
    assert isinstance(moderation.rail, Moderation)
    assert moderation.race
    assert moderation.rail.model == "m:x"
    assert moderation.rail.categories == {"spoilers": "how a film ends"}
    assert (moderation.rail.threshold, moderation.rail.on_failure) == (0.8, "pass")
    assert isinstance(rail := guard("guardrails:moderation:n:y", settings).rail, Moderation)
    assert rail.model == "n:y"
    listed = guard("guardrails:moderation:n:y", {"moderation": {"categories": ["hate"]}}).rail
    assert isinstance(listed, Moderation)
    assert listed.categories == ("hate",)


@pytest.mark.parametrize(
    ("spec", "said", "hint"),
    [
        ("guardrails:pii:emial", "'emial' in 'guardrails:pii:...'", "'email'"),
        ("guardrails:pii:ouput", "'ouput'", "'output'"),
        ("guardrails:secrets:cut", "'cut'", "redact"),
        ("guardrails:injection:redact", "'redact'", "leak"),
        ("guardrails:length", "no bound", "Length(4_000)"),
        ("guardrails:length:long", "'long'", "guardrails:length:4000"),
        ("guardrails:length:9-3", "at least 9 and at most 3", "Swap"),
        ("guardrails:moderation", "no model", "guardrails:moderation:plugin:model"),
        ("guardrails:pii:output:race", "cannot race", "race=True"),
    ],
)
def test_specs_that_cannot_be(spec: str, said: str, hint: str) -> None:
    """Wrong specs raise the caller's error, with the possible words."""
    with pytest.raises(UsageError) as caught:
        guard(spec)

    assert said in caught.value.message
    assert hint in caught.value.hint


def test_a_name_that_is_not_there() -> None:
    """The error for an unknown guardrail suggests the nearest."""
    with pytest.raises(NotFound, match="unknown guardrail 'guardrails:pi'") as caught:
        guard("guardrails:pi")

    assert "Did you mean 'guardrails:pii'?" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "line", "said"),
    [
        ("[plugins.guardrails]\npi = {}\n", 2, "unknown key 'pi'"),
        ("[plugins.guardrails.pii]\nkindz = []\n", 2, "unknown key 'kindz'"),
        ("[plugins.guardrails.pii]\nkinds = ['emial']\n", 2, "'emial' is not among the kinds of"),
        ("[plugins.guardrails.pii]\naction = 'cut'\n", 2, "'cut'"),
        ("[plugins.guardrails.pii]\non = ['inptu']\n", 2, "'inptu'"),
        ("[plugins.guardrails.pii]\npatterns = { x = '(' }\n", 2, "'x' in patterns"),
        ("[plugins.guardrails.length]\naction = 'redact'\n", 2, "'redact'"),
        ("[plugins.guardrails.moderation]\nthreshold = 'high'\n", 2, "threshold"),
    ],
)
def test_a_table_that_cannot_be(tmp_path: Path, table: str, line: int, said: str) -> None:
    """The error names file, line and key."""
    path = tmp_path / "agno-rt.toml"
    path.write_text(table)
    with pytest.raises(ConfigError) as caught:
        PluginHost().guardrail("guardrails:pii", load_config(path).plugins)

    assert f"{path}:{line}" in caught.value.message
    assert said in caught.value.message
