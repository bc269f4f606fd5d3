"""A provider's format for the wire contract: values that the contract asks for, and a class that renders them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from agno_rt.messages import ToolCall, Usage
from agno_rt.models import FinishReason

__all__ = ["Thought", "WireAnswer", "WireFormat"]


@attrs.frozen
class Thought:
    """A piece of reasoning, and the provider's signature of it, if the format has signatures."""

    text: str
    signature: str = ""


@attrs.frozen
class WireAnswer:
    """An answer for a format to render: the thoughts first, then the text, then the calls."""

    text: str = ""
    thoughts: tuple[Thought, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = attrs.Factory(lambda: Usage(12, 5))
    finish_reason: FinishReason = "stop"
    request_id: str = "req_0123456789"

    @property
    def text_pieces(self) -> list[str]:
        """The text in pieces, for a stream: each has one word."""
        return re.findall(r"\s*\S+\s*", self.text) or ([self.text] if self.text else [])


class WireFormat:
    """Renders answers and errors in a provider's format. Subclass it, with bodies from the provider's reference.

    Attributes:
        stream_type: the content type of a stream
        id_header: the header with the id of a request; empty if `render_answer` and `render_stream` have the id
    """

    stream_type = "text/event-stream"
    id_header = "x-request-id"

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the body of a whole answer."""
        raise NotImplementedError("override render_answer")

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the body of a streamed answer, one event a piece; each of `answer.text_pieces` has its own event."""
        raise NotImplementedError("override render_stream")

    def render_error(self, status: int, message: str) -> bytes:
        """Return the body of an answer with the status of an error."""
        raise NotImplementedError("override render_error")

    def render_stream_error(self, message: str) -> bytes:
        """Return the event that reports an overloaded server in the middle of a stream."""
        raise NotImplementedError("override render_stream_error")

    def drop_marks(self, body: Any) -> Any:
        """Return a request's body without marks for the provider's cache, which may move from request to request."""
        return body
