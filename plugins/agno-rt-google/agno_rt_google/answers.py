"""Answers in Gemini's format as pure functions: bodies and streams to responses, refusals to errors. Opens nothing.

Reference: the Gemini API reference, "Generating content" (`GenerateContentResponse`, `FinishReason`, `BlockReason`),
its guides "Thinking", "Thought signatures" and "Troubleshooting", and the error model of Google's APIs (`google.rpc`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Native, ToolCall, Usage
from agno_rt.models import FinishReason, ModelResponse
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.blocks import read_count
from agno_rt.wire.chat_completions import mend_value
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.native import seal_native
from agno_rt.wire.refusals import MOST_SECONDS, Peer, plain, refusal, reported
from agno_rt_google.wire import SERVICE, Sealed

__all__ = ["ContentStream", "Reading", "read_content", "refuse"]

_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_EXACT = ("STOP", "MAX_TOKENS")
"""Reasons that say no more than the finish reason."""

_FAILURES: Mapping[str, bool] = {
    "MALFORMED_FUNCTION_CALL": True,
    "MALFORMED_RESPONSE": True,
    "UNEXPECTED_TOOL_CALL": True,
    "TOO_MANY_TOOL_CALLS": False,
    "MISSING_THOUGHT_SIGNATURE": False,
}
"""Reasons that leave no usable answer, and whether the same request may succeed later."""

_KNOWN = frozenset({"candidates", "usageMetadata", "promptFeedback", "responseId", "modelVersion", "createTime"})
_DELAY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_BAD_KEY = "API_KEY_INVALID"


@attrs.frozen(kw_only=True)
class Reading:
    """The context for reading an answer: the sender, the model, and the tools' own names by those that were sent."""

    peer: Peer
    model: str = ""
    service: str = SERVICE
    names: Mapping[str, str] = attrs.field(factory=dict)


def read_content(body: bytes, reading: Reading, content_type: str = "") -> ModelResponse:
    """Return the response in a whole body, JSON or a stream. Raises `ModelError` for anything but an answer."""
    return read_answer(body, reading.peer, _Content(reading), content_type)


class ContentStream(AnswerStream):
    """A streamed answer: `feed` bytes, call `end`, then take the `response`. Raises `ModelError` for a bad stream."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading.peer, _Content(reading))


def refuse(peer: Peer, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ModelError:
    """Make the error for an answer without a status of success. `now` is the time in seconds since 1970.

    The wait stands in the body (`RetryInfo`), where no header has a wait. A refused key has status 400 here.
    """
    error = refusal(peer, status, headers, body, now)
    value = read_json(body)
    value = value[0] if isinstance(value, list) and value else value
    return _add_details(error, value.get("error") if isinstance(value, dict) else None, peer)


def _add_details(error: ModelError, told: Any, peer: Peer) -> ModelError:
    """Return the error with the wait and the remedy that stand in the details of an error object."""
    for detail in _list_details(told):
        delay = _DELAY.fullmatch(str(detail.get("retryDelay", "")))
        if delay and error.retry_after is None:
            error.retry_after = min(MOST_SECONDS, float(delay[1]))
        if detail.get("reason") == _BAD_KEY:
            error.hint = f"Check the API key; it came from {peer.key_source}."
        violations = detail.get("violations")
        quotas = [str(each) for each in violations] if isinstance(violations, list) else []
        if any("PerDay" in quota for quota in quotas):
            error.hint = "The quota of this day is used up: wait for tomorrow, or raise the quota."
    return error


def _list_details(told: Any) -> list[Mapping[str, Any]]:
    details = told.get("details") if isinstance(told, dict) else None
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []


@attrs.frozen
class _Content:
    """The format of contents, as `agno_rt.wire.answers` reads it."""

    reading: Reading
    noun: str = "content of Gemini's format"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole body. Raises `ValueError` and `ModelError`."""
        pieces = _Pieces(self.reading)
        pieces.feed(body)
        return pieces.response()

    def begin(self) -> _Pieces:
        """Return an empty response for the values of a stream."""
        return _Pieces(self.reading)


@attrs.define(eq=False)
class _Pieces:
    """A response that arrives in the values of a stream; each value is a whole `GenerateContentResponse`."""

    reading: Reading
    parts: list[dict[str, Any]] = attrs.field(factory=list)
    ids: list[str] = attrs.field(factory=list)
    text: list[str] = attrs.field(factory=list)
    thoughts: list[str] = attrs.field(factory=list)
    calls: list[ToolCall] = attrs.field(factory=list)
    usage: dict[str, Any] = attrs.field(factory=dict)
    reason: str = ""
    message: str = ""
    response_id: str = ""
    gap: bool = False

    @property
    def finished(self) -> bool:
        """True after the finish reason."""
        return bool(self.reason)

    def feed(self, value: Mapping[str, Any]) -> list[Delta]:
        """Take in a value and return its deltas. Raises `ValueError` for another shape, `ModelError` for a failure."""
        if error := value.get("error"):
            raise _add_details(reported(self._peer(), {"error": error}), error, self._peer())
        if _KNOWN.isdisjoint(value):
            raise ValueError("it has neither candidates nor feedback")
        self.response_id = self.response_id or _read_text(value, "responseId")
        self.usage |= _read_object(value, "usageMetadata")
        candidates = value.get("candidates") or ()
        if not isinstance(candidates, Sequence) or not all(isinstance(each, dict) for each in candidates):
            raise ValueError("candidates is not a list of objects")
        feedback = _read_object(value, "promptFeedback")
        if not candidates and feedback.get("blockReason"):
            raise self._refuse_prompt(feedback)
        # With several candidates, the others are left out.
        return [delta for each in candidates if not each.get("index") for delta in self._take_candidate(each)]

    def end(self) -> tuple[Delta, ...]:
        """Return nothing: no delta is held back."""
        return ()

    def response(self) -> ModelResponse:
        """Return the whole answer. Raises `ModelError` for an answer without anything in it."""
        self._check_answered()
        content, calls = "".join(self.text), tuple(self.calls)
        reason: FinishReason = _REASONS.get(self.reason, "stop")
        if calls and reason == "stop":
            reason = "tool_calls"
        return ModelResponse(
            content,
            calls,
            "".join(self.thoughts),
            _build_usage(self.usage),
            reason,
            self._seal(content, calls),
            self._peer().request_id,
            "" if self.reason in _EXACT else self.reason,
        )

    def _take_candidate(self, candidate: Mapping[str, Any]) -> Iterator[Delta]:
        parts = _read_object(candidate, "content").get("parts") or ()
        if not isinstance(parts, Sequence) or not all(isinstance(each, dict) for each in parts):
            raise ValueError("parts is not a list of objects")
        for part in parts:
            yield from self._take_part(part)
        self.reason = _read_text(candidate, "finishReason") or self.reason
        self.message = _read_text(candidate, "finishMessage") or self.message

    def _take_part(self, part: dict[str, Any]) -> Iterator[Delta]:
        if "functionCall" in part:
            call = self._take_call(part["functionCall"])
            yield ToolCallDelta(len(self.calls) - 1, call.id, call.name, call.arguments)
        elif "text" in part:
            text = _read_text(part, "text")
            self._keep_text(part, text)
            if text and not text.isascii():
                text = mend_value(text)
            if text and part.get("thought"):
                self.thoughts.append(text)
                yield ReasoningDelta(text)
            elif text:
                yield self._add_text(text)
            return
        self.gap = bool(self.text)
        self.parts.append(part)

    def _take_call(self, value: Any) -> ToolCall:
        """Return the call in a part. Each part is a call of its own, even if the service gives no ids."""
        if not isinstance(value, dict) or not _read_text(value, "name"):
            raise ValueError("a function call has no name")
        if value.get("partialArgs") or value.get("willContinue"):
            raise ValueError("a function call came in pieces, which was not asked for")
        args = value.get("args")
        if not isinstance(args, dict | None):
            raise ValueError(f"the arguments of a function call are {type(args).__name__}, not an object")
        own_id = mend_value(_read_text(value, "id"))
        if own_id:
            self.ids.append(own_id)
        # The number of the response keeps ids of one conversation apart.
        id_ = own_id or f"call_{self.response_id}{'_' if self.response_id else ''}{len(self.calls)}"
        name = value["name"]
        arguments = msgspec.json.encode(mend_value(args or {})).decode()
        self.calls.append(ToolCall(id_, self.reading.names.get(name, mend_value(name)), arguments))
        return self.calls[-1]

    def _keep_text(self, part: dict[str, Any], text: str) -> None:
        """Keep the part for the next request. Pieces of one text become one part, but a signed part stays alone."""
        is_plain = part.keys() <= {"text", "thought"}
        # Summaries of thoughts are for people: the signatures have the thoughts.
        if is_plain and (not text or part.get("thought")):
            return
        if not is_plain:
            self.parts.append(part)
        elif self.parts and type(self.parts[-1].get("text")) is list:
            self.parts[-1]["text"].append(text)
        else:
            # A list, joined at the end: joining with each piece would take quadratic time.
            self.parts.append({"text": [text]})

    def _add_text(self, text: str) -> TextDelta:
        if self.gap and text.strip():
            # Texts around a call or a search are paragraphs of their own.
            self.gap = False
            text = f"\n\n{text}"
        self.text.append(text)
        return TextDelta(text)

    def _check_answered(self) -> None:
        """Raise the `ModelError` of a failed or empty answer."""
        said = f": {plain(self.message, self._peer())}" if self.message else ""
        if self.reason in _FAILURES:
            hint = "" if _FAILURES[self.reason] else "Look at the tools and the history of this request."
            raise self._peer().error(
                f"gave no usable answer ({self.reason}){said}", hint=hint, retryable=_FAILURES[self.reason]
            )
        if self.calls or "".join(self.text).strip() or _REASONS.get(self.reason) == "length":
            return
        blocked = _REASONS.get(self.reason) == "content_filter"
        reason = plain(self.reason, self._peer()) or "no finish reason"
        raise self._peer().error(
            f"answered with nothing ({reason}){said}",
            hint="Change the question, or safety_settings." if blocked else "",
            retryable=not blocked,
        )

    def _refuse_prompt(self, feedback: Mapping[str, Any]) -> ModelError:
        peer = self._peer()
        reason = plain(str(feedback["blockReason"]), peer)
        said = plain(_read_text(feedback, "blockReasonMessage"), peer)
        return peer.error(
            f"blocked the prompt ({reason}){f': {said}' if said else ''}",
            hint="Change the question, or safety_settings.",
        )

    def _seal(self, content: str, calls: tuple[ToolCall, ...]) -> Native | None:
        """Seal the parts to the answer if a plain message could not say the same: signatures, ids, other parts."""
        kinds = ["functionCall" in part for part in self.parts]
        is_plain = all(part.keys() in ({"text"}, {"functionCall"}) for part in self.parts)
        if is_plain and not self.ids and kinds == sorted(kinds):
            return None
        try:
            data = msgspec.json.encode([_join_text(part) for part in self.parts])
        except UnicodeEncodeError:
            # Half characters cannot be sent back.
            return None
        sealed = msgspec.json.encode(Sealed(self.reading.model, self.ids, msgspec.Raw(data)))
        return seal_native(self.reading.service, sealed, content, calls)

    def _peer(self) -> Peer:
        """Return the sender with the number of the response, which the service sends in the body."""
        peer = self.reading.peer
        return peer if peer.request_id or not self.response_id else attrs.evolve(peer, request_id=self.response_id)


def _join_text(part: dict[str, Any]) -> dict[str, Any]:
    """Return the part with the pieces of its text joined."""
    return {"text": "".join(part["text"])} if type(part.get("text")) is list else part


def _read_text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if text is None:
        return ""
    if type(text) is not str:
        raise ValueError(f"{name} is {type(text).__name__}, not a text")
    return text


def _read_object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    inner = value.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, dict):
        raise ValueError(f"{name} is {type(inner).__name__}, not an object")
    return inner


def _build_usage(usage: Mapping[str, Any]) -> Usage:
    """Return the counts: the format counts thoughts beside the answer, and server tools' results beside the prompt."""
    thought = read_count(usage.get("thoughtsTokenCount"))
    asked = read_count(usage.get("promptTokenCount")) + read_count(usage.get("toolUsePromptTokenCount"))
    said = read_count(usage.get("candidatesTokenCount"))
    cached = read_count(usage.get("cachedContentTokenCount"))
    return Usage(asked, said + thought, thought, cached_tokens=min(cached, asked))
