"""The binding of A2A to JSON-RPC: a request, and an answer or a stream of answers with the request's id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import attrs
import msgspec

from agno_rt import AgnoError, Runnable
from agno_rt_serve.api.a2a.bind import Stream, Streams, find_version, read_user
from agno_rt_serve.api.a2a.cards import Cards
from agno_rt_serve.api.a2a.legacy import METHODS as OLD_METHODS
from agno_rt_serve.api.a2a.legacy import read_legacy, write_legacy
from agno_rt_serve.api.a2a.operations import Operations, Peer
from agno_rt_serve.api.a2a.refusals import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    VERSION_NOT_SUPPORTED,
    Refusal,
    convert_request,
    make_rpc_error,
    transport_status,
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
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, json_body, request_id, respond

__all__ = ["Rpc", "RpcRequest"]


class RpcRequest(msgspec.Struct):
    """A request of JSON-RPC; `params` is the request of the method."""

    method: str
    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    params: dict[str, Any] = {}


@attrs.frozen
class _Call:
    """A request that was read: the method in the words of 1.0, and in the client's."""

    id: str | int | None
    method: str
    said: str
    params: dict[str, Any]

    def write(self, result: Any) -> Any:
        """Return the result in the client's version of the protocol."""
        return write_legacy(self.said, result) if self.said in OLD_METHODS else result


class Rpc:
    """Answers requests of JSON-RPC about one runnable."""

    def __init__(self, operations: Operations, cards: Cards, faults: Faults, streams: Streams) -> None:
        self._cards = cards
        self._streams = streams
        self._faults = faults
        self._methods: dict[str, tuple[Any, Callable[[Peer, Any], Awaitable[Any]]]] = {
            "SendMessage": (SendRequest, self._send),
            "GetTask": (GetRequest, operations.get),
            "ListTasks": (ListRequest, operations.list_tasks),
            "CancelTask": (CancelRequest, operations.cancel),
            "CreateTaskPushNotificationConfig": (PushConfig, operations.create_config),
            "GetTaskPushNotificationConfig": (ConfigRequest, operations.get_config),
            "ListTaskPushNotificationConfigs": (ConfigsRequest, operations.list_configs),
            "DeleteTaskPushNotificationConfig": (ConfigRequest, self._delete_config),
            "GetExtendedAgentCard": (dict, self._get_card),
        }
        self._streamed: dict[str, tuple[Any, Stream]] = {
            "SendStreamingMessage": (SendRequest, operations.stream),
            "SubscribeToTask": (SubscribeRequest, operations.subscribe),
        }
        self._operations = operations

    async def answer(self, runnable: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request about the runnable."""
        id_: str | int | None = None
        try:
            given = _decode(await json_body(scope, receive))
            id_ = given["id"] if isinstance(given.get("id"), str | int) else None
            call, version = _read_call(given, find_version(scope))
            peer = Peer(scope, runnable, read_user(scope), version)
            if call.method in self._streamed:
                await self._stream(peer, call, send)
                return
            kind, operation = self._methods[call.method]
            result = await operation(peer, convert_request(call.params, kind))
        except HttpError as error:
            await _refuse(send, id_, error)
        except AgnoError as exc:
            await _refuse(send, id_, self._faults.describe(exc, request_id(scope)))
        else:
            await respond(send, 200, JSON, _encode(call.id, "result", call.write(result)))

    async def _stream(self, peer: Peer, call: _Call, send: Send) -> None:
        kind, operation = self._streamed[call.method]

        def encode(answer: StreamAnswer | HttpError) -> bytes:
            if isinstance(answer, HttpError):
                return _encode(call.id, "error", make_rpc_error(answer))
            return _encode(call.id, "result", call.write(answer))

        await self._streams.run(operation, peer, convert_request(call.params, kind), send, encode)

    async def _send(self, peer: Peer, asked: SendRequest) -> Any:
        task = await self._operations.send(peer, asked)
        return task if peer.version == "0.3" else {"task": task}

    async def _delete_config(self, peer: Peer, asked: ConfigRequest) -> dict[str, Any]:
        await self._operations.delete_config(peer, asked)
        return {}

    async def _get_card(self, peer: Peer, asked: dict[str, Any]) -> Any:
        return self._cards.make_extended(peer.runnable, peer.scope)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal(PARSE_ERROR, f"the body is not valid JSON: {exc}") from exc
    if not isinstance(given, dict):
        hint = 'Send an object such as {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {...}}; no batches.'
        raise Refusal(INVALID_REQUEST, "the body is not a request of JSON-RPC", hint)
    return given


def _read_call(given: dict[str, Any], version: str) -> tuple[_Call, str]:
    try:
        asked = msgspec.convert(given, RpcRequest)
    except msgspec.ValidationError as exc:
        kind = INVALID_PARAMS if "`$.params`" in str(exc) else INVALID_REQUEST
        raise Refusal(kind, f"the body is not a request of JSON-RPC: {exc}") from exc
    if "jsonrpc" not in given:
        raise Refusal(INVALID_REQUEST, "the request has no jsonrpc", 'Send "jsonrpc": "2.0".')
    if asked.method in OLD_METHODS and version == "0.3":
        params = read_legacy(asked.method, asked.params)
        return _Call(asked.id, OLD_METHODS[asked.method], asked.method, params), version
    if asked.method not in _METHODS:
        old = asked.method in OLD_METHODS
        hint = f"In version {version} it is {OLD_METHODS[asked.method]}." if old else f"{', '.join(_METHODS)}."
        raise Refusal(METHOD_NOT_FOUND, f"there is no method {asked.method!r}", hint)
    if version == "0.3":
        hint = "Send the header A2A-Version: 1.0. A request without it counts as one of version 0.3."
        raise Refusal(VERSION_NOT_SUPPORTED, f"version 0.3 has no method {asked.method!r}", hint)
    return _Call(asked.id, asked.method, asked.method, asked.params), version


_METHODS = (*OLD_METHODS.values(), "ListTasks")


def _encode(id_: str | int | None, name: str, value: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, name: value})


async def _refuse(send: Send, id_: str | int | None, error: HttpError) -> None:
    headers = [*JSON, *error.headers]
    await respond(send, transport_status(error), headers, _encode(id_, "error", make_rpc_error(error)))
