"""Tables of routes, described for people and programs, and reading a request's path, query and body."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import attrs
import msgspec

from agno_rt.errors import suggest
from agno_rt_serve.errors import HttpError, Problem, error_body
from agno_rt_serve.http.asgi import Receive, Scope, Send, json_body

__all__ = [
    "WEBSOCKET",
    "Answer",
    "Doc",
    "ErrorBody",
    "Handler",
    "Route",
    "decode_body",
    "invalid",
    "path_value",
    "read_body",
    "read_query",
]

Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
ErrorBody: TypeAlias = Callable[[HttpError], bytes]
S = TypeVar("S", bound=msgspec.Struct)

WEBSOCKET = "WEBSOCKET"
"""The method of a route for WebSocket connections."""


@attrs.frozen
class Answer:
    """An answer of a route: its status, the type of its JSON, or the media type of other content.

    An answer without a type and with an empty media type has no body.
    """

    status: int = 200
    type: Any = None
    about: str = ""
    media: str = "application/json"


def _list_answers(given: Any) -> tuple[Answer, ...]:
    if isinstance(given, tuple):
        return given
    return (given if isinstance(given, Answer) else Answer(200, given),)


@attrs.frozen
class Doc:
    """The description of a route, from which the OpenAPI document is made.

    Attributes:
        id: the operation's id, unique among all routes: `list_runs`
        summary: a line for lists
        answers: the answers to requests without a fault; a bare type stands for `Answer(200, type)`
        query: a Struct with the parameters of the query, as for `read_query`
        body: the type of the JSON body, as for `read_body`
        uploads: the media types of a body that is not JSON
        errors: the statuses of the route's own errors. Routes with a body have 400, 408, 413 and 415 already, routes
            with a query 400, routes with a parameter in their path 404, and all routes 401, 403, 421, 429 and 503
        headers: the names of request headers for the route, each with a line of explanation
        about: a longer description, as Markdown
        tag: the group of the route; by default the first part of its path
        error: the type of the body of an error
        is_open: true for a route that answers without a key
    """

    id: str
    summary: str
    answers: Any = attrs.field(converter=_list_answers)
    query: type[msgspec.Struct] | None = None
    body: Any = None
    uploads: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    headers: Mapping[str, str] = attrs.Factory(dict)
    about: str = ""
    tag: str = ""
    error: Any = Problem
    is_open: bool = False


@attrs.frozen
class Route:
    """A handler for a method on a path. `{name}` in the path is one part, `{name:path}` any number of parts.

    `shape` makes the body of an error. A route without a `doc` is left out of the OpenAPI document.
    """

    method: str
    path: str
    handler: Handler
    shape: ErrorBody = error_body
    doc: Doc | None = None


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
