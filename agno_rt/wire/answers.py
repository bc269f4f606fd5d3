"""Reads answers of any JSON format, whole or streamed: bytes in, deltas and a `ModelResponse` out. Pure.

A `Format` knows the shape of the values; every fault becomes a `ModelError` that quotes the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from agno_rt.errors import ModelError
from agno_rt.events import Delta
from agno_rt.models import ModelResponse
from agno_rt.wire.chat_completions import ReportedError
from agno_rt.wire.deltas import split_response
from agno_rt.wire.json_events import JsonEvents, read_lines
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import Peer, plain, reported

__all__ = ["AnswerStream", "Format", "Pieces", "Values", "read_answer"]

_BOM = b"\xef\xbb\xbf"
_EMPTY = "ended its stream without any answer"


class Pieces(Protocol):
    """A response that arrives in the values of a stream. Methods raise `ValueError` for a value of another shape, and
    `ReportedError` for an error of the server."""

    @property
    def finished(self) -> bool:
        """True when the answer is complete, though counts may follow."""
        ...

    def feed(self, value: Mapping[str, Any]) -> Iterable[Delta]:
        """Take in a value and return the new deltas."""
        ...

    def end(self) -> Iterable[Delta]:
        """Return the deltas that were held back."""
        ...

    def response(self) -> ModelResponse:
        """Return all values as one response."""
        ...


class Values(Protocol):
    """The values in the bytes of a stream. Methods raise `ModelError` for an unreadable stream.

    `done` is true after a value that ends the stream, and `count` is the number of values. `whole` is the body of an
    answer that turned out not to be a stream.
    """

    @property
    def done(self) -> bool:
        """True after the end of the stream, in a format that marks the end."""
        ...

    @property
    def count(self) -> int:
        """The number of values so far."""
        ...

    @property
    def whole(self) -> bytes:
        """Return the body so far if the body is not a stream, else no bytes."""
        ...

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take in the next bytes and yield their values."""
        ...

    def end(self) -> Iterator[Any]:
        """Yield the values in the last bytes."""
        ...


class Format(Protocol):
    """The shape of a server's answers."""

    @property
    def noun(self) -> str:
        """The name of an answer in errors, such as `chat completion`."""
        ...

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole body. Raises `ValueError` and `ReportedError`."""
        ...

    def begin(self) -> Pieces:
        """Return an empty response for the values of a stream."""
        ...


def read_answer(body: bytes, peer: Peer, format_: Format, content_type: str = "") -> ModelResponse:
    """Return the response in a whole body, JSON or a stream. Raises `ModelError` for anything but an answer."""
    value = read_json(body)
    if value is None:
        stream = AnswerStream(peer, format_)
        for _ in (*stream.feed(read_lines(body, peer, content_type)), *stream.end()):
            pass
        return stream.response()
    try:
        return format_.read(_check_object(value))
    except ReportedError as exc:
        raise reported(peer, exc.error) from None
    except (ValueError, TypeError, ArithmeticError) as exc:
        # From None: the cause quotes the server literally, with secrets, and a traceback would show the cause.
        raise peer.error(f"answered with something other than a {format_.noun}: {plain(str(exc), peer)}") from None


class AnswerStream:
    """A streamed answer: `feed` bytes, then take the `response`. Raises `ModelError` for an invalid stream.

    `finished` is true after the end of the answer; `done` is true after the end of the stream. JSON, or anything else
    but events, is collected until the end and read as a whole body. `values` reads another kind of stream than events.
    """

    def __init__(self, peer: Peer, format_: Format, values: Values | None = None) -> None:
        self._peer = peer
        self._format = format_
        self._events: Values = JsonEvents(peer) if values is None else values
        self._pieces = format_.begin()
        self._whole: ModelResponse | None = None

    @property
    def finished(self) -> bool:
        """True after the value that ends the answer. Usage may still follow."""
        return self._pieces.finished

    @property
    def done(self) -> bool:
        """True after the end of the stream."""
        return self._events.done

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take in the next bytes and yield their deltas; deltas before a fault come before the error."""
        feed = self._pieces.feed
        for value in self._events.feed(data):
            try:
                deltas = feed(value if type(value) is dict else _check_object(value))
            except (ValueError, TypeError, ArithmeticError) as exc:
                raise self._explain_fault(exc) from None
            yield from deltas
        if self._events.done:
            self._check_done()

    def end(self) -> Iterator[Delta]:
        """End the stream: yield the deltas in the last bytes. Raises `ModelError` if the stream broke off."""
        if body := self._events.whole:
            yield from self._end_without_events(body)
            return
        for value in self._events.end():
            try:
                deltas = self._pieces.feed(_check_object(value))
            except (ValueError, TypeError, ArithmeticError) as exc:
                raise self._explain_fault(exc) from None
            yield from deltas
        if self._events.done:
            self._check_done()
        if not (self.done or self.finished):
            problem = "broke off its stream before the answer was finished" if self._events.count else _EMPTY
            raise self._peer.error(problem, retryable=True)
        try:
            yield from self._pieces.end()
        except ValueError as exc:
            raise self._contradict(exc) from None

    def response(self) -> ModelResponse:
        """Return the whole answer."""
        if self._whole is not None:
            return self._whole
        try:
            return self._pieces.response()
        except ValueError as exc:
            raise self._contradict(exc) from None

    def _contradict(self, exc: ValueError) -> ModelError:
        said = plain(str(exc), self._peer)
        return self._peer.error(f"sent a stream that is not an answer: {said}", retryable=True)

    def _check_done(self) -> None:
        if not self._events.count:
            raise self._peer.error(_EMPTY, retryable=True)

    def _end_without_events(self, body: bytes) -> Iterator[Delta]:
        if body.removeprefix(_BOM).lstrip()[:1] not in (b"{", b"[", b"<"):
            raise self._peer.error(f"{_EMPTY}: {plain(body, self._peer)!r}", retryable=True)
        self._whole = read_answer(body, self._peer, self._format)
        yield from split_response(self._whole)

    def _explain_fault(self, exc: Exception) -> ModelError:
        if isinstance(exc, ReportedError):
            return reported(self._peer, exc.error)
        said = plain(str(exc), self._peer)
        return self._peer.error(f"sent a chunk that is not part of a {self._format.noun}: {said}")


def _check_object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if not isinstance(value, dict):
        raise ValueError(f"it is {type(value).__name__}, not an object")
    return value
