"""Secrets: keys found by their formats, passwords found by their names, and similar texts without secrets.

No key here is real: each is made from a format and random characters, so that no scanner reports the file as a
leak.
"""
# ruff: noqa: RUF001 - names of passwords in other scripts

from __future__ import annotations

import random
import string
from typing import Any

import pytest
from agno_rt_guardrails import Secrets

from agno_rt.context import RunContext
from agno_rt.errors import UsageError

_RANDOM = random.Random(20240601)
_ALL = string.ascii_letters + string.digits


def drawn(length: int, characters: str = _ALL) -> str:
    """Return random characters with some digits, the same in each test run."""
    return "".join(_RANDOM.choice(characters) for _ in range(length - 2)) + ("42" if "4" in characters else "AB")


def pem(what: str, lines: int = 4) -> str:
    """Make a private key's block."""
    body = "\n".join(drawn(64) for _ in range(lines))
    return f"-----BEGIN {what}" + f"KEY-----\n{body}\n" + f"-----END {what}" + "KEY-----"


async def redacted(text: str, **options: Any) -> str | None:
    """Return the redacted text, `None` without a finding."""
    verdict = await Secrets(**options).check(RunContext("r"), text)
    return None if verdict is None else verdict.text


KEYS = [
    ("openai-key", "sk-" + drawn(48)),
    ("openai-key", "sk-" + "proj-" + drawn(40) + "_" + drawn(40)),
    ("openai-key", "sk-" + "or-v1-" + drawn(64, "0123456789abcdef")),
    ("anthropic-key", "sk-" + "ant-api03-" + drawn(80) + "-" + drawn(12)),
    ("aws-key", "AKIA" + drawn(16, string.ascii_uppercase)),
    ("github-token", "ghp" + "_" + drawn(36)),
    ("github-token", "gho" + "_" + drawn(36)),
    ("github-token", "github" + "_pat_" + drawn(22) + "_" + drawn(59)),
    ("gitlab-token", "glpat" + "-" + drawn(20)),
    ("slack-token", "xoxb" + "-" + drawn(12, string.digits) + "-" + drawn(24)),
    ("google-key", "AIza" + drawn(35)),
    ("google-key", "GOCSPX" + "-" + drawn(28)),
    ("stripe-key", "sk" + "_live_" + drawn(24)),
    ("stripe-key", "rk" + "_test_" + drawn(24)),
    ("service-token", "hf" + "_" + drawn(34)),
    ("service-token", "npm" + "_" + drawn(36)),
    ("service-token", "SG" + "." + drawn(22) + "." + drawn(43)),
    ("jwt", "eyJ" + drawn(20) + ".eyJ" + drawn(40) + "." + drawn(43)),
    ("private-key", pem("RSA PRIVATE ")),
    ("private-key", pem("PRIVATE ")),
    ("private-key", pem("EC PRIVATE ").replace("\n", "\\n")),
]


@pytest.mark.parametrize(("kind", "key"), KEYS, ids=lambda value: value[:14])
async def test_a_key_is_found_by_its_form(kind: str, key: str) -> None:
    """A key alone, in a sentence, in quotes or in an assignment is redacted whole, and nothing else."""
    assert await redacted(key) == f"[{kind} 1]"
    assert await redacted(f"use {key}, please") == f"use [{kind} 1], please"
    assert await redacted(f'{{"it": "{key}"}}') == f'{{"it": "[{kind} 1]"}}'
    assert await redacted(f"THE_VALUE={key}\n") == f"THE_VALUE=[{kind} 1]\n"


async def test_aws_secrets_are_found_by_their_name() -> None:
    """Forty characters have no format; behind their name they are a secret."""
    secret = drawn(38) + "/+"

    assert await redacted(f"aws_secret_access_key = {secret}") == "aws_secret_access_key = [aws-key 1]"
    assert await redacted(f"commit {drawn(40, '0123456789abcdef')}") is None


async def test_keys_that_were_cut_off() -> None:
    """A private key without an end is redacted to its last key character; a block without a key stays."""
    begin = "-----BEGIN PRIVATE " + "KEY-----"

    assert await redacted(f"{begin}\n{drawn(64)}\n{drawn(30)}") == "[private-key 1]"
    assert await redacted(f"{begin}\n{drawn(64)}\n{pem('PRIVATE ')}") == "[private-key 1][private-key 2]"
    assert await redacted(f"{begin}\n...\n{begin.replace('BEGIN', 'END')}") is None
    assert await redacted(f"{begin.replace('PRIVATE', 'PUBLIC')}\n{drawn(64)}\n") is None


PASSWORDS = [
    ('password = "{}"', "Tr0ub4dor&3"),
    ("PASSWORD={}", "hunter2hunter"),
    ("DB_PASSWORD: {}", "x9$kQ!mm2"),
    ("my password is {}.", "Tr0ub4dor&3"),
    ("pwd:{}", "S0nnenblume"),
    ('{{"api_key": "{}"}}', drawn(32)),
    ("X-Api-Key: {}", drawn(32)),
    ("client secret => {}", drawn(32)),
    ("dbPassword: '{}'", "with space 99"),
    ("Authorization: Bearer {}", drawn(40)),
    ("비밀번호: {}", "abcd1234!"),
    ("비밀번호는 {}", "abcd1234!"),
    ("Passwort: {}", "Sonne2024!"),
    ("mot de passe : {}", "Soleil2024!"),
    ("contraseña: {}", "Verano2024!"),
    ("密码：{}", "Abcd1234x"),
    ("パスワード：{}", "Abcd1234x"),
]


@pytest.mark.parametrize(("form", "password"), PASSWORDS)
async def test_a_password_is_found_by_its_name(form: str, password: str) -> None:
    """A value assigned to a name of passwords is redacted, and the name stays."""
    assert await redacted(form.format(password)) == form.format("[password 1]")


async def test_a_password_in_a_url() -> None:
    """Only the password is redacted: user and host still identify the database."""
    url = "postgresql://bob:{}@db.example.com:5432/shop"

    assert await redacted(url.format("s3cr3t-Pw")) == url.format("[url-password 1]")
    assert (
        await redacted("see redis://:{}@cache/0 now".format("p%40ss9")) == "see redis://:[url-password 1]@cache/0 now"
    )


NOT_SECRET = [
    "The password is incorrect.",
    "Password: must be at least 8 characters long",
    "token: authentication",
    "password=getpass.getpass()",
    "password = settings.DB_PASSWORD",
    "apiKey: process.env.API_KEY",
    "api_key: <your key here>",
    "API_KEY=your-api-key-here",
    "API_KEY=${API_KEY}",
    "secret: ********",
    "password: string",
    "token: Optional[str] = None",
    "token=next(tokens)",
    "max_tokens: 4096, token usage: 12345 tokens",
    "token: 2024-01-15",
    "credentials: same-origin",
    "secret santa: Wednesday",
    "Reset your password: https://example.com/reset",
    "Passwort: vergessen",
    "postgres://user:password@localhost/db",
    "postgres://user:${DB_PASSWORD}@localhost/db",
    "https://example.com:8080/a@b",
    "a sk-learn-is-a-library-for-machine-learning, a task-force",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "basic understanding-of-the-subject",
    "pass: 12/12 tests",
    "sk-" + "proj-a-project-with-quite-a-long-name",
    "",
]


@pytest.mark.parametrize("text", NOT_SECRET)
async def test_is_let_pass(text: str) -> None:
    """Prose about passwords, names in code, placeholders and ordinary words pass."""
    assert await redacted(text) is None


async def test_one_secret_is_of_the_surest_kind() -> None:
    """A key assigned to a name is a key, not a password as well."""
    key = "sk-" + drawn(48)
    verdict = await Secrets().check(RunContext("r"), f"OPENAI_API_KEY={key}")

    assert verdict is not None
    assert verdict.text == "OPENAI_API_KEY=[openai-key 1]"
    assert verdict.reason == "found 1 openai-key"


async def test_blocks_and_does_not_say_what() -> None:
    """A block names the kinds; no part of a secret leaves the guardrail."""
    key = "ghp" + "_" + drawn(36)
    verdict = await Secrets(action="block").check(RunContext("r"), f"{key} and password=abc123XYZ")

    assert verdict is not None
    assert (verdict.reason, verdict.text) == ("found 1 github-token, 1 password", None)


async def test_numbers_kinds_and_exceptions() -> None:
    """The same secret has the same number; kinds, allowed values and patterns work as in PII."""
    first, second = "ghp" + "_" + drawn(36), "ghp" + "_" + drawn(36)

    assert await redacted(f"{first} {second} {first}") == "[github-token 1] [github-token 2] [github-token 1]"
    assert await redacted(first, kinds=("jwt",)) is None
    assert await redacted(f"{first} {second}", allow=(first,)) == f"{first} [github-token 1]"
    assert await redacted("badge 12-ab", patterns={"badge": "[0-9]{2}-[a-z]{2}"}) == "badge [badge 1]"


@pytest.mark.parametrize(
    "options", [{"action": "cut"}, {"kinds": ("openai",)}, {"token": "{x}"}, {"patterns": {"x": "["}}]
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    """Wrong options raise when the guardrail is made, with its name."""
    with pytest.raises(UsageError, match="Secrets") as caught:
        Secrets(**options)

    assert caught.value.hint
