"""Tables of routes, and reading a request's path, query and body."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar
from urllib.parse import parse_qsl

import attrs
import msgspec

from agno_rt.errors import suggest
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import Receive, Scope, Send, json_body

__all__ = ["ErrorBody", "Handler", "Route", "decode_body", "invalid", "path_value", "read_body", "read_query"]

Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
ErrorBody: TypeAlias = Callable[[HttpError], bytes]
S = TypeVar("S", bound=msgspec.Struct)


@attrs.frozen
class Route:
    """A handler for a method on a path. `{name}` in the path is one part, `{name:path}` any number of parts.

    `shape` makes the body of an error.
    """

    method: str
    path: str
    handler: Handler
    shape: ErrorBody = error_body


def path_value(scope: Scope, name: str) -> str:
    """Return the part of the request's path in the place of `{name}`."""
    found: str = scope["path_params"][name]
    return found


def read_query(scope: Scope, kind: type[S]) -> S:
    """Return the request's query as a Struct; a field without a value counts as left out.

    Raises `HttpError` 400 that names the field and the fault.
    """
    given = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise invalid("query", f"the query does not fit this route: {exc}", kind) from exc


async def read_body(scope: Scope, receive: Receive, kind: type[S]) -> S:
    """Return the request's body as a Struct. A missing body counts as `{}` if no field is required.

    Raises `HttpError` 400 that names the field and the fault, 415 for a body that is not JSON.
    """
    optional = not any(field.required for field in msgspec.structs.fields(kind))
    body = await json_body(scope, receive, optional=optional)
    return decode_body(body or b"{}" if optional else body, kind)


def decode_body(body: bytes, kind: type[S]) -> S:
    """Return the JSON as a Struct. Raises `HttpError` 400 that names the field and the fault."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        raise invalid("body", f"the body does not fit this route: {exc}", kind) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        hint = f"Send an object with {_list_fields(kind)}."
        raise HttpError(400, "invalid_json", f"the body is not valid JSON: {exc}", hint) from exc


def invalid(what: str, problem: str, kind: type[msgspec.Struct]) -> HttpError:
    """Return the error 400 for a query or a body; its hint has the nearest field, or all fields."""
    unknown = re.search(r"unknown field `(.+?)`", problem)
    hint = suggest("key", unknown[1], kind.__struct_fields__) if unknown else f"It takes {_list_fields(kind)}."
    return HttpError(400, f"invalid_{what}", problem, hint)


def _list_fields(kind: type[msgspec.Struct]) -> str:
    fields = [f"{field.encode_name}{'' if field.required else '?'}" for field in msgspec.structs.fields(kind)]
    return ", ".join(fields)
