"""The errors of A2A, and any other error in the two forms of A2A: JSON-RPC, and google.rpc.Status. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import attrs
import msgspec

from agno_rt_serve.errors import HttpError

__all__ = [
    "CONTENT_TYPE_NOT_SUPPORTED",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "PUSH_NOT_SUPPORTED",
    "TASK_NOT_CANCELABLE",
    "TASK_NOT_FOUND",
    "UNSUPPORTED_OPERATION",
    "VERSION_NOT_SUPPORTED",
    "Kind",
    "Refusal",
    "convert_request",
    "encode_status",
    "make_rpc_error",
    "transport_status",
    "unknown_task",
]

Json: TypeAlias = dict[str, Any]


@attrs.frozen
class Kind:
    """A kind of error: the word of A2A, the code in JSON-RPC, the status in HTTP, and the word of google.rpc."""

    reason: str
    number: int
    status: int
    word: str


TASK_NOT_FOUND = Kind("TASK_NOT_FOUND", -32001, 404, "NOT_FOUND")
TASK_NOT_CANCELABLE = Kind("TASK_NOT_CANCELABLE", -32002, 400, "FAILED_PRECONDITION")
PUSH_NOT_SUPPORTED = Kind("PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, 400, "FAILED_PRECONDITION")
UNSUPPORTED_OPERATION = Kind("UNSUPPORTED_OPERATION", -32004, 400, "FAILED_PRECONDITION")
CONTENT_TYPE_NOT_SUPPORTED = Kind("CONTENT_TYPE_NOT_SUPPORTED", -32005, 400, "INVALID_ARGUMENT")
VERSION_NOT_SUPPORTED = Kind("VERSION_NOT_SUPPORTED", -32009, 400, "FAILED_PRECONDITION")
PARSE_ERROR = Kind("PARSE_ERROR", -32700, 400, "INVALID_ARGUMENT")
INVALID_REQUEST = Kind("INVALID_REQUEST", -32600, 400, "INVALID_ARGUMENT")
METHOD_NOT_FOUND = Kind("METHOD_NOT_FOUND", -32601, 404, "NOT_FOUND")
INVALID_PARAMS = Kind("INVALID_PARAMS", -32602, 400, "INVALID_ARGUMENT")

_KINDS = {415: CONTENT_TYPE_NOT_SUPPORTED, 501: UNSUPPORTED_OPERATION}
"""The kinds of errors of the server's own that A2A has a word for."""

_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "OUT_OF_RANGE",
    415: "INVALID_ARGUMENT",
    422: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_OF_TRANSPORT = frozenset({401, 403, 408, 413, 415, 421, 429, 503})
"""The statuses that proxies and HTTP clients act on: an answer of JSON-RPC has them, too."""

_INTERNAL, _OTHER = -32603, -32000
"""The codes of JSON-RPC for faults of the server, and for errors of the server's own, such as a missing scope."""


class Refusal(HttpError):
    """An error of A2A. `field` is the part of the request at fault, if known."""

    def __init__(self, kind: Kind, message: str, hint: str = "", field: str = "") -> None:
        super().__init__(kind.status, kind.reason.lower(), message, hint)
        self.kind = kind
        self.field = field


def unknown_task(task: str) -> Refusal:
    """Return the error for an unknown task; also for a task of another user or agent."""
    hint = "Send the id of a task of this agent, as the answer to SendMessage has it."
    return Refusal(TASK_NOT_FOUND, f"there is no task {task!r}", hint)


def convert_request(given: Any, kind: Any) -> Any:
    """Return the request as a Struct. Names in snake_case are understood, as by every parser of protobuf's JSON.

    Raises `Refusal` that names the field and the fault.
    """
    try:
        return msgspec.convert(_to_camel_case(given), kind)
    except msgspec.ValidationError as exc:
        found = re.search(r" - at `\$\.?(.*?)`", str(exc))
        problem = f"the request does not fit: {exc}"
        raise Refusal(INVALID_PARAMS, problem, field=found[1] if found else "") from exc


_FREE = frozenset({"metadata", "data"})
"""Fields with names of the client's own."""


def _to_camel_case(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_camel_case(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), name): each if name in _FREE else _to_camel_case(each)
        for name, each in value.items()
    }


def make_rpc_error(error: HttpError) -> Json:
    """Return the error as the `error` of an answer of JSON-RPC."""
    if isinstance(error, Refusal):
        number = error.kind.number
    elif error.status == 400:
        number = INVALID_PARAMS.number
    elif error.status in _KINDS:
        number = _KINDS[error.status].number
    else:
        number = _INTERNAL if error.status >= 500 else _OTHER
    return {"code": number, "message": _write_message(error), "data": _make_details(error)}


def encode_status(error: HttpError) -> bytes:
    """Return the error as the body of an answer of HTTP+JSON."""
    word = error.kind.word if isinstance(error, Refusal) else _WORDS.get(error.status, "INTERNAL")
    told = {
        "code": error.status,
        "status": word,
        "message": _write_message(error),
        "details": _make_details(error),
    }
    return msgspec.json.encode({"error": told})


def transport_status(error: HttpError) -> int:
    """Return the status for an error in JSON-RPC: 200, unless HTTP itself has a meaning for the status."""
    return error.status if error.status in _OF_TRANSPORT and not isinstance(error, Refusal) else 200


def _write_message(error: HttpError) -> str:
    return f"{error.message}. {error.hint}" if error.hint else error.message


def _make_details(error: HttpError) -> list[Json]:
    is_standard = isinstance(error, Refusal)
    reason = error.kind.reason if isinstance(error, Refusal) else error.code.upper()
    if not is_standard and error.status in _KINDS:
        is_standard, reason = True, _KINDS[error.status].reason
    info: Json = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "a2a-protocol.org" if is_standard else "agno-rt-serve",
    }
    if error.run_id:
        info["metadata"] = {"taskId": error.run_id}
    if isinstance(error, Refusal) and error.field:
        broken = [{"field": error.field, "description": error.message}]
        return [info, {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": broken}]
    return [info]
