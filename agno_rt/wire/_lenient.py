"""Reads the messages of chat completions servers leniently: texts, token counts, finish reasons, errors. Pure: no I/O.

Servers differ, so each field is read in all known forms. An unreadable part of an answer raises `ValueError`, naming
the place; unreadable reasoning or counts are left out instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from agno_rt.messages import Usage
from agno_rt.models import FinishReason
from agno_rt.wire._text import mend_text

__all__ = [
    "finish_reason",
    "is_failure",
    "is_reason",
    "mapping_of",
    "mappings_of",
    "read_thoughts",
    "reported_error",
    "said_in",
    "text_of",
    "unknown_reason",
    "usage_in",
    "whole_number",
]

_DEPTH = 8
"""Levels of lists and objects to search for reasoning. No known server nests deeper."""
_MOST_TOKENS = 2**53  # beyond, JSON numbers are not exact everywhere
_FINISH_REASONS = frozenset(get_args(FinishReason))
_OTHER_WORDS: dict[str, FinishReason] = {
    **dict.fromkeys(("max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit"), "length"),
    **dict.fromkeys(("length_limit", "max_context", "model_context_window_exceeded", "incomplete"), "length"),
    **dict.fromkeys(("function_call", "tool_use", "tool_call", "tools", "function_calls"), "tool_calls"),
    **dict.fromkeys(("content_filtered", "safety", "recitation", "blocklist", "prohibited_content"), "content_filter"),
    **dict.fromkeys(("spii", "sensitive", "refusal", "guardrail_intervened", "image_safety"), "content_filter"),
}
_SAME_AS_STOP = frozenset(
    ("end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed", "done", "null", "none")
)
"""Other words for a complete answer."""
_FAILURES = frozenset(
    {
        *("error", "errored", "failed", "failure", "network_error", "internal_error", "server_error", "overloaded"),
        *("abort", "aborted", "cancel", "cancelled", "canceled", "interrupted", "timeout", "timed_out"),
        *("insufficient_system_resource", "malformed_function_call", "unexpected_tool_call"),
    }
)
"""Finish reasons for a failure in the middle of an answer."""
_NO_ERROR = (0, "0", 200, "200")
"""Codes for success, which some servers send with each chunk."""
_ERROR_TEXTS = ("message", "detail", "errors", "error_msg", "error_message", "errmsg", "msg")
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")


def said_in(message: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reasoning and the text of a message or a delta."""
    content = message.get("content")
    thought, text = ("", content) if type(content) is str else _read_content(content)
    for name in _THOUGHTS:
        if (said := message.get(name)) and (reasoning := read_thoughts(said)):
            return reasoning, text
    return thought, text


def _read_content(content: Any) -> tuple[str, str]:
    """Return the reasoning and the text of a content: a text, a part, or a list of both."""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return "", text_of(content, "content")
    thought, text = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
        elif part is not None:
            inner, said = _read_part(mapping_of(part, "content[]"))
            thought, text = thought + inner, text + said
    return thought, text


def _read_part(part: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reasoning and the text of a part; other types of parts, references for instance, are ignored."""
    match part.get("type", "text"):
        case "thinking" | "reasoning":
            inner = part.get("thinking")
            return read_thoughts(part) if inner is None or isinstance(inner, list) else text_of(inner, "thinking"), ""
        case "text" | "output_text" | None:
            text = part.get("text")
            return "", text_of(text.get("value") if isinstance(text, Mapping) else text, "text")
        case "refusal":
            return "", text_of(part.get("refusal"), "refusal")
    return "", ""


def read_thoughts(value: Any, depth: int = _DEPTH) -> str:
    """Return the reasoning from any known form, empty for other forms: reasoning is not part of the answer."""
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        return "".join(read_thoughts(part, depth - 1) for part in value)
    if isinstance(value, Mapping):
        names = ("text", "thinking", "content", "summary", "reasoning", "value")
        return next(filter(None, (read_thoughts(value.get(name), depth - 1) for name in names)), "")
    return ""


def usage_in(body: Mapping[str, Any], choice: Mapping[str, Any]) -> Usage:
    """Return the token counts of a body or a chunk; zeros without any."""
    # Groq has a field of its own for the counts of a stream.
    beside = body.get("x_groq")
    places = (body.get("usage"), choice.get("usage"), beside.get("usage") if isinstance(beside, Mapping) else None)
    usage = next((place for place in places if isinstance(place, Mapping) and place), None)
    if usage is None:
        return Usage()
    asked = _read_count(usage.get("prompt_tokens", usage.get("input_tokens")))
    answered = _read_count(usage.get("completion_tokens", usage.get("output_tokens")))
    thought = _read_count(_read_detail(usage, "completion_tokens_details", "reasoning_tokens"))
    cached = _read_count(_read_detail(usage, "prompt_tokens_details", "cached_tokens"))
    # The names in the responses format.
    thought = thought or _read_count(_read_detail(usage, "output_tokens_details", "reasoning_tokens"))
    cached = cached or _read_count(_read_detail(usage, "input_tokens_details", "cached_tokens"))
    if thought and _read_count(usage.get("total_tokens")) == asked + answered + thought:
        # In the format, the answer's count includes reasoning. These servers count reasoning apart.
        answered += thought
    # DeepSeek's own name for cached tokens.
    cached = min(asked, cached or _read_count(usage.get("prompt_cache_hit_tokens")))
    # The names of OpenRouter, and of proxies in front of Anthropic's models.
    written = _read_count(_read_detail(usage, "prompt_tokens_details", "cache_write_tokens"))
    written = written or _read_count(_read_detail(usage, "input_tokens_details", "cache_write_tokens"))
    written = min(asked - cached, written or _read_count(usage.get("cache_creation_input_tokens")))
    return Usage(asked, answered, min(thought, answered), cached, cache_write_tokens=written)


def _read_detail(usage: Mapping[str, Any], table: str, key: str) -> Any:
    details = usage.get(table)
    return details.get(key) if isinstance(details, Mapping) else None


def _read_count(tokens: Any) -> int:
    """Return the count, 0 if unreadable: a bad count must not discard an answer that was paid for."""
    number = whole_number(tokens)
    return number if number is not None and 0 <= number <= _MOST_TOKENS else 0


def whole_number(value: Any) -> int | None:
    """Return the number or the text as a whole number, without a fraction; `None` for other values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        # A longer text is not a count: do not spend time on it.
        try:
            value = float(value) if len(value) <= 40 else math.nan
        except ValueError:
            return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def finish_reason(reason: Any, has_calls: bool) -> FinishReason:
    """Return the reason in the format's own words; an unknown reason counts as a complete answer."""
    word = _normalize_reason(reason)
    if word in _FINISH_REASONS:
        return cast(FinishReason, word)
    return _OTHER_WORDS.get(word) or ("tool_calls" if has_calls else "stop")


def unknown_reason(reason: Any) -> str:
    """Return the server's word for the end, if `finish_reason` does not know the word; else an empty text."""
    word = _normalize_reason(reason)
    known = not word or word in _FINISH_REASONS or word in _OTHER_WORDS or word in _SAME_AS_STOP
    return "" if known else mend_text(str(reason))


def is_reason(reason: Any) -> bool:
    """Return whether a finish reason is given; some servers send the text "null" in every chunk."""
    return bool(reason) and _normalize_reason(reason) not in ("null", "none")


def is_failure(reason: Any) -> bool:
    """Return whether the reason means that the server failed in the middle of the answer."""
    return _normalize_reason(reason) in _FAILURES


def _normalize_reason(reason: Any) -> str:
    if not isinstance(reason, str):
        return ""
    return reason.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")


def reported_error(body: Mapping[str, Any]) -> Any:
    """Return the error in a body or a chunk; `None` without an error.

    Beside choices, an `error` with empty fields is ignored: some servers send an empty error with every chunk.
    """
    error = body.get("error")
    choices = body.get("choices")
    blank = isinstance(error, Mapping) and bool(choices) and not any(error.values())
    if error and not blank:
        return error
    if choices or body.get("usage") or body.get("code") in _NO_ERROR:
        return None
    if body.get("object") == "error" or body.get("type") == "error":
        return body
    texts = (body.get(name) for name in _ERROR_TEXTS)
    return body if any(isinstance(text, str | list) and text for text in texts) else None


def mappings_of(value: Any, where: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects in a list, without nulls; empty for a missing list. Raises `ValueError`, naming `where`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{where} is {type(value).__name__}, not a list")
    return [mapping_of(item, f"{where}[]") for item in _drop_nulls(value)]


def _drop_nulls(items: Iterable[Any]) -> Iterable[Any]:
    return (item for item in items if item is not None)


def mapping_of(value: Any, where: str) -> Mapping[str, Any]:
    """Return the object. Raises `ValueError` for other values, naming `where`."""
    # Asking for the type first is ten times as fast.
    if type(value) is not dict and not isinstance(value, Mapping):
        raise ValueError(f"{where} is {type(value).__name__}, not an object")
    return value


def text_of(value: Any, where: str) -> str:
    """Return the text, empty for null. Raises `ValueError` for other values, naming `where`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where} is {type(value).__name__}, not a string")
    return value
