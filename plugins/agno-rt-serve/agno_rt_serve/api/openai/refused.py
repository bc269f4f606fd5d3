"""Requests that cannot be carried out as written, and the checks shared by the bodies of OpenAI's formats. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agno_rt.errors import suggest
from agno_rt_serve.errors import HttpError

__all__ = ["Refused", "check_harmless", "check_ranges", "decode_body"]

OWN = "Leave it out; the agent's own setting holds."


class Refused(HttpError):
    """A request that cannot be carried out as written; `param` names the part at fault."""

    def __init__(
        self, message: str, param: str, hint: str = "", status: int = 400, code: str = "invalid_request"
    ) -> None:
        super().__init__(status, code, message, hint)
        self.param = param


def decode_body(decoder: msgspec.json.Decoder[Any], body: bytes, what: str) -> Any:
    """Return the body as the decoder's Struct. Raises `Refused` that names the unknown or wrong part.

    `what` names the body in errors, as in "a chat completion request".
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _explain_misfit(exc, what, decoder.type.__struct_fields__) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(f"the body is not valid JSON: {exc}", "") from exc


def check_ranges(body: object, ranges: Iterable[tuple[str, float, float]]) -> None:
    """Raise `Refused` for a field out of range: triples of name, least and most."""
    for name, least, most in ranges:
        value = getattr(body, name)
        if value is not None and not least <= value <= most:
            raise Refused(f"{name} is {value}, and must be from {least} to {most}", name)


def check_harmless(body: object, harmless: Mapping[str, Sequence[Any]], hints: Mapping[str, str] | None = None) -> None:
    """Raise `Refused` for a field with any other value than the harmless values.

    `hints` has the remedies of some fields.
    """
    for name, values in harmless.items():
        value = getattr(body, name)
        if value is not None and not any(value == each for each in values):
            hint = (hints or {}).get(name, OWN)
            raise Refused(f"{name} is not supported ({name} is {_shorten_value(value)})", name, hint)


def _explain_misfit(exc: msgspec.ValidationError, what: str, fields: tuple[str, ...]) -> Refused:
    problem = str(exc)
    _, found, rest = problem.partition("unknown field `")
    place = problem.partition("`$.")[2].rstrip("`").replace("[...]", "[]")
    if found:
        name = rest.partition("`")[0]
        known = () if place else fields
        return Refused(f"the parameter {name!r} is not known", place or name, suggest("parameter", name, known))
    if missing := problem.partition("missing required field `")[2]:
        name = missing.partition("`")[0]
        return Refused(f"the body is not {what}: {problem}", f"{place}.{name}" if place else name)
    return Refused(f"the body is not {what}: {problem}", place)


def _shorten_value(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
