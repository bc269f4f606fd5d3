"""The binding of A2A to plain HTTP: a path for each operation, as in the annotations of the protocol's definition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from agno_rt import Runnable
from agno_rt_serve.api.a2a.bind import Stream, Streams, find_version, read_query_fields, read_user
from agno_rt_serve.api.a2a.cards import Cards
from agno_rt_serve.api.a2a.operations import Operations, Peer
from agno_rt_serve.api.a2a.refusals import (
    CONTENT_TYPE_NOT_SUPPORTED,
    INVALID_PARAMS,
    VERSION_NOT_SUPPORTED,
    Refusal,
    convert_request,
    encode_status,
)
from agno_rt_serve.api.a2a.shapes import (
    CancelRequest,
    ConfigRequest,
    ConfigsRequest,
    GetRequest,
    ListRequest,
    PushConfig,
    SendRequest,
    StreamAnswer,
    SubscribeRequest,
)
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, header, json_body, read_whole, respond

__all__ = ["Rest", "Serve"]

Serve: TypeAlias = Callable[[Runnable, Scope, Receive, Send], Awaitable[None]]

_NUMBERS = ("historyLength", "pageSize")
_MEDIA = b"application/a2a+json"


class Rest:
    """Answers the requests of HTTP+JSON. Each property is a function to answer a request about a runnable."""

    def __init__(self, operations: Operations, cards: Cards, streams: Streams) -> None:
        self._operations = operations
        self._cards = cards
        self._streams = streams
        self.stream = self._make_stream(SendRequest, operations.stream)
        self.subscribe = self._make_stream(SubscribeRequest, operations.subscribe)
        self.send = self._make(SendRequest, self._send)
        self.get = self._make(GetRequest, operations.get)
        self.list_tasks = self._make(ListRequest, operations.list_tasks)
        self.cancel = self._make(CancelRequest, operations.cancel)
        self.create_config = self._make(PushConfig, operations.create_config)
        self.get_config = self._make(ConfigRequest, operations.get_config)
        self.list_configs = self._make(ConfigsRequest, operations.list_configs)
        self.delete_config = self._make(ConfigRequest, self._delete_config)
        self.get_card = self._make(dict, self._get_card)

    def _make(self, kind: Any, operation: Callable[[Peer, Any], Awaitable[Any]]) -> Serve:
        async def serve(runnable: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
            peer, given = await _read(runnable, scope, receive)
            result = await operation(peer, convert_request(given, kind))
            await respond(send, 200, JSON, msgspec.json.encode(result))

        return serve

    def _make_stream(self, kind: Any, operation: Stream) -> Serve:
        async def serve(runnable: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
            peer, given = await _read(runnable, scope, receive)
            await self._streams.run(operation, peer, convert_request(given, kind), send, _encode)

        return serve

    async def _send(self, peer: Peer, asked: SendRequest) -> Any:
        return {"task": await self._operations.send(peer, asked)}

    async def _delete_config(self, peer: Peer, asked: ConfigRequest) -> dict[str, Any]:
        await self._operations.delete_config(peer, asked)
        return {}

    async def _get_card(self, peer: Peer, asked: dict[str, Any]) -> Any:
        return self._cards.make_extended(peer.runnable, peer.scope)


def _encode(answer: StreamAnswer | HttpError) -> bytes:
    return encode_status(answer) if isinstance(answer, HttpError) else msgspec.json.encode(answer)


async def _read(runnable: Runnable, scope: Scope, receive: Receive) -> tuple[Peer, dict[str, Any]]:
    """Return the client, and the request: of the path, and of the body or of the query."""
    version = find_version(scope)
    if version != "1.0":
        hint = "Send the header A2A-Version: 1.0. A request without it counts as one of version 0.3."
        raise Refusal(VERSION_NOT_SUPPORTED, f"version {version} is not spoken here", hint)
    given = await _read_body(scope, receive) if scope["method"] == "POST" else _read_query(scope)
    named = {name: value for name, value in scope["path_params"].items() if name != "name"}
    return Peer(scope, runnable, read_user(scope), version), {**given, **named}


async def _read_body(scope: Scope, receive: Receive) -> dict[str, Any]:
    kind = header(scope, b"content-type").partition(b";")[0].strip().lower()
    try:
        body = await (read_whole(receive) if kind == _MEDIA else json_body(scope, receive, optional=True))
    except HttpError as exc:
        if exc.status != 415:
            raise
        hint = "Send the header Content-Type: application/a2a+json."
        raise Refusal(CONTENT_TYPE_NOT_SUPPORTED, exc.message, hint) from exc
    try:
        given = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal(INVALID_PARAMS, f"the body is not valid JSON: {exc}") from exc
    if not isinstance(given, dict):
        raise Refusal(INVALID_PARAMS, "the body is not an object of JSON")
    return given


def _read_query(scope: Scope) -> dict[str, Any]:
    """Return the fields of the query with the types that JSON would have."""
    fields: Mapping[str, str] = read_query_fields(scope)
    return {name: _read_value(name, value) for name, value in fields.items()}


def _read_value(name: str, value: str) -> Any:
    if name in _NUMBERS or name in ("history_length", "page_size"):
        try:
            return int(value)
        except ValueError as exc:
            raise Refusal(INVALID_PARAMS, f"{name} is not a number", field=name) from exc
    if name in ("includeArtifacts", "include_artifacts"):
        return value.lower() == "true"
    return value
