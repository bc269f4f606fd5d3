"""The responses API as pure functions: requests to bytes, and the server's own items kept across turns.

A stateless server forgets each answer, and wants its items back, with the encrypted reasoning. A storing server wants
the id of its last answer, and only the messages after it. Both are sealed to the message (`agno_rt.wire.native`), so
that a changed message is rendered anew, and a conversation that the server does not have is sent whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.events import Delta
from agno_rt.messages import Media, Message
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire import chat_completions, responses
from agno_rt.wire.lenient_json import write_json
from agno_rt.wire.native import native_for, seal_native
from agno_rt_openai.cache import make_cache_key, mark_prefixes
from agno_rt_openai.wire import Dialect, adapt_request

__all__ = ["Plan", "ResponsesFormat", "plan_request"]

_DIGEST_BYTES = 16
_NOT_IN_THE_API = ("seed", "stop")


@attrs.frozen
class ResponsesFormat:
    """The format of responses. Seals the server's items to each answer, for the next request to the same `service`.

    `names` maps names of tools back; `before` is the digest of the conversation before the answer.
    """

    think_tags: chat_completions.ThinkTags
    names: Mapping[str, str]
    service: str
    before: str = ""
    noun: str = "response"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole body."""
        return self.seal(responses.answered(body, self.think_tags, self.names))

    def begin(self) -> _Pieces:
        """Return an empty response for the events of a stream."""
        return _Pieces(self, responses.StreamedAnswer(self.think_tags, self.names))

    def seal(self, answered: responses.Answered) -> ModelResponse:
        """Return the response with the server's items."""
        kept = {"id": answered.id, "before": self.before, "output": answered.output}
        said = answered.response
        data = write_json(kept, self.service)
        return attrs.evolve(said, native=seal_native(self.service, data, said.content, said.tool_calls))


@attrs.frozen
class _Pieces:
    format: ResponsesFormat
    pieces: responses.StreamedAnswer

    @property
    def finished(self) -> bool:
        return self.pieces.finished

    def feed(self, value: Mapping[str, Any]) -> list[Delta]:
        return self.pieces.feed(value)

    def end(self) -> list[Delta]:
        return self.pieces.end()

    def response(self) -> ModelResponse:
        return self.format.seal(self.pieces.answered())


@attrs.frozen
class Plan:
    """The body of a request, and the format of the answer. `continues` is true for a body that names an answer."""

    body: bytes
    format: ResponsesFormat
    continues: bool


def plan_request(
    request: ModelRequest, model: str, dialect: Dialect, *, service: str, stream: bool, whole: bool = False
) -> Plan:
    """Write the body of a request; `whole` sends the conversation even if the server should have it.

    Raises `UsageError` for media and settings outside the format, and for values in `settings.extra` outside JSON.
    """
    _check_settings(request, dialect)
    asked = adapt_request(request, dialect)
    _, messages = responses.split_instructions(request.messages, everywhere=dialect.system_first)
    known, last, before = _find_known(messages, service) if dialect.store else (0, "", "")
    if whole:
        known, last = 0, ""
    body = responses.request_body(
        asked, model, keep=lambda message: _keep_items(message, service), system_first=dialect.system_first, known=known
    )
    body.setdefault("store", dialect.store)
    if dialect.cache_key:
        body.setdefault("prompt_cache_key", make_cache_key(request))
    if dialect.cache_marks and not dialect.store:
        _mark_input(body, request)
    if last:
        body.setdefault("previous_response_id", last)
    if dialect.encrypted_reasoning:
        body.setdefault("include", ["reasoning.encrypted_content"])
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        if dialect.official:
            # Random letters in each piece, against listeners who count bytes within TLS, double a stream.
            body.setdefault("stream_options", {"include_obfuscation": False})
    format_ = ResponsesFormat(dialect.think_tags, chat_completions.tool_names(request), service, before)
    return Plan(write_json(body, model), format_, bool(last))


def _mark_input(body: dict[str, Any], request: ModelRequest) -> None:
    """Mark the ends of the parts of the input that later requests repeat, unless the caller gave the input."""
    extra = request.settings.extra
    if "input" in extra:
        return
    items = body["input"]
    if "instructions" in body and "instructions" not in extra:
        # Only items of the input can have marks.
        items = [{"role": "system", "content": body.pop("instructions")}, *items]
    body["input"] = mark_prefixes(body, items, "input_text")


def _check_settings(request: ModelRequest, dialect: Dialect) -> None:
    for name in _NOT_IN_THE_API if dialect.official else ():
        if getattr(request.settings, name) not in (None, ()):
            hint = 'Leave the setting out, or write api = "chat" for chat completions.'
            raise UsageError(f"OpenAI's responses API has no {name}", hint=hint)


def _read_kept(message: Message, service: str) -> dict[str, Any] | None:
    data = native_for(message, service)
    return None if data is None else msgspec.json.decode(data)


def _keep_items(message: Message, service: str) -> Sequence[Mapping[str, Any]] | None:
    """Return the server's own items of an answer, unless the server would refuse one of them.

    A reasoning item needs the item that follows, and the other way round: both are sent, or neither. An answer that was
    cut while the model reasoned ends with a reasoning item, and has no other. Without its encrypted or open text, a
    reasoning item is only an id, which the server may have forgotten.
    """
    kept = _read_kept(message, service)
    if kept is None:
        return None
    items: list[dict[str, Any]] = kept["output"]
    while items and items[-1].get("type") == "reasoning":
        items = items[:-1]
    if not items:
        return None
    thoughts = [item for item in items if item.get("type") == "reasoning"]
    return items if all(item.get("encrypted_content") or item.get("content") for item in thoughts) else None


def _find_known(messages: Sequence[Message], service: str) -> tuple[int, str, str]:
    """Return the number of messages that the server has, the id of the last of them, and the digest of all messages.

    The server has an answer and everything before it if nothing before it changed, and if each call of the answer has
    its result among the messages after it.
    """
    kept: dict[str, Any] | None = None
    at = 0
    for index in range(len(messages) - 1, -1, -1):
        kept = _read_kept(messages[index], service) if messages[index].role == "assistant" else None
        if kept is not None and kept["id"]:
            at = index
            break
    before, whole = _compute_digests(messages, at)
    if kept is None or not kept["id"] or kept["before"] != before:
        return 0, "", whole
    results = {message.tool_call_id for message in messages[at + 1 :] if message.role == "tool"}
    open_calls = {call.id for call in messages[at].tool_calls} - results
    return (0, "", whole) if open_calls or at + 1 == len(messages) else (at + 1, kept["id"], whole)


def _compute_digests(messages: Sequence[Message], at: int) -> tuple[str, str]:
    """Return the digest of the messages before `at`, and the digest of all messages."""
    digest, before = hashlib.blake2b(digest_size=_DIGEST_BYTES), ""
    for index, message in enumerate(messages):
        if index == at:
            before = digest.hexdigest()
        for data in _list_data(message):
            # The length goes first, so that no two lists of texts give the same bytes.
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return before, digest.hexdigest()


def _list_data(message: Message) -> Iterator[bytes]:
    texts = [message.role, message.tool_call_id or "", message.name or ""]
    for call in message.tool_calls:
        texts += (call.id, call.name, call.arguments)
    for part in (message.content,) if isinstance(message.content, str) else message.content:
        if isinstance(part, Media):
            texts += (part.kind, part.media_type, part.url or "", part.name or "")
            yield part.data or b""
        else:
            texts.append(part)
    yield from (text.encode("utf-8", "surrogatepass") for text in texts)
