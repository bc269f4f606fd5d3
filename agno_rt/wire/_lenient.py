"""What servers of the chat completions format put into a message, read with patience: texts, counts, reasons, errors.

Each server has habits of its own, so each field is read in every form that is known of it. What cannot be read raises
`ValueError`, which names the place; what is no part of the answer (reasoning, counts) is left out instead. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from agno_rt.messages import Usage
from agno_rt.models import FinishReason

__all__ = [
    "finish_reason",
    "is_failure",
    "is_reason",
    "mapping_of",
    "mappings_of",
    "reported_error",
    "said_in",
    "text_of",
    "usage_in",
    "whole_number",
]

_DEPTH = 8
"""Levels of lists and objects that reasoning and parts are sought in; more is nothing that a server means."""
_MOST_TOKENS = 2**53
_FINISH_REASONS = frozenset(get_args(FinishReason))
_OTHER_WORDS: dict[str, FinishReason] = {
    **dict.fromkeys(("max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit"), "length"),
    **dict.fromkeys(("length_limit", "max_context", "model_context_window_exceeded", "incomplete"), "length"),
    **dict.fromkeys(("function_call", "tool_use", "tool_call", "tools", "function_calls"), "tool_calls"),
    **dict.fromkeys(("content_filtered", "safety", "recitation", "blocklist", "prohibited_content"), "content_filter"),
    **dict.fromkeys(("spii", "sensitive", "refusal", "guardrail_intervened", "image_safety"), "content_filter"),
}
_FAILURES = frozenset(
    {
        *("error", "errored", "failed", "failure", "network_error", "internal_error", "server_error", "overloaded"),
        *("abort", "aborted", "cancel", "cancelled", "canceled", "interrupted", "timeout", "timed_out"),
        *("insufficient_system_resource", "malformed_function_call", "unexpected_tool_call"),
    }
)
"""How servers say that they lost the model midway."""
_NO_ERROR = (0, "0", 200, "200")
"""Codes by which some servers say with each chunk that all is well."""
_ERROR_TEXTS = ("message", "detail", "errors", "error_msg", "error_message", "errmsg", "msg")
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")


def said_in(message: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reasoning and the text of a message, or of a piece of one."""
    content = message.get("content")
    thought, text = ("", content) if type(content) is str else _in_content(content)
    for name in _THOUGHTS:
        if (said := message.get(name)) and (reasoning := _thoughts(said)):
            return reasoning, text
    return thought, text


def _in_content(content: Any) -> tuple[str, str]:
    """Return the reasoning and the text in a content: a text, a part, or a list of both."""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return "", text_of(content, "content")
    thought, text = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
        elif part is not None:
            inner, said = _in_part(mapping_of(part, "content[]"))
            thought, text = thought + inner, text + said
    return thought, text


def _in_part(part: Mapping[str, Any]) -> tuple[str, str]:
    """Parts of other types, references for one, are passed over."""
    match part.get("type", "text"):
        case "thinking" | "reasoning":
            inner = part.get("thinking")
            return _thoughts(part) if inner is None or isinstance(inner, list) else text_of(inner, "thinking"), ""
        case "text" | "output_text" | None:
            text = part.get("text")
            return "", text_of(text.get("value") if isinstance(text, Mapping) else text, "text")
        case "refusal":
            return "", text_of(part.get("refusal"), "refusal")
    return "", ""


def _thoughts(value: Any, depth: int = _DEPTH) -> str:
    """Return the reasoning in whatever form it comes; what is in none of them is left out, for it is no answer."""
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        return "".join(_thoughts(part, depth - 1) for part in value)
    if isinstance(value, Mapping):
        names = ("text", "thinking", "content", "summary", "reasoning", "value")
        return next(filter(None, (_thoughts(value.get(name), depth - 1) for name in names)), "")
    return ""


def usage_in(body: Mapping[str, Any], choice: Mapping[str, Any]) -> Usage:
    """Return the token counts of a body or a chunk, wherever they are in it; zeros where they are not."""
    beside = body.get("x_groq")
    places = (body.get("usage"), choice.get("usage"), beside.get("usage") if isinstance(beside, Mapping) else None)
    usage = next((place for place in places if isinstance(place, Mapping) and place), None)
    if usage is None:
        return Usage()
    asked = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    answered = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    thought = _count(_detail(usage, "completion_tokens_details", "reasoning_tokens"))
    cached = _count(_detail(usage, "prompt_tokens_details", "cached_tokens"))
    if thought and _count(usage.get("total_tokens")) == asked + answered + thought:
        # Some servers do not count them among the tokens of the answer, as the format has it.
        answered += thought
    # DeepSeek has a name of its own for what was cached.
    cached = cached or _count(usage.get("prompt_cache_hit_tokens"))
    return Usage(asked, answered, min(thought, answered), min(cached, asked))


def _detail(usage: Mapping[str, Any], table: str, key: str) -> Any:
    details = usage.get(table)
    return details.get(key) if isinstance(details, Mapping) else None


def _count(tokens: Any) -> int:
    """Return the count, 0 for what cannot be one: an answer that was paid for is not thrown away for its count."""
    number = whole_number(tokens)
    return number if number is not None and 0 <= number <= _MOST_TOKENS else 0


def whole_number(value: Any) -> int | None:
    """Return the whole number in a number or a text, a fraction cut off; `None` where there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= 40 else math.nan
        except ValueError:
            return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def finish_reason(reason: Any, has_calls: bool) -> FinishReason:
    """Return the reason in the format's own words; unless another is known, an answer is taken to be whole."""
    word = _word(reason)
    if word in _FINISH_REASONS:
        return cast(FinishReason, word)
    return _OTHER_WORDS.get(word) or ("tool_calls" if has_calls else "stop")


def is_reason(reason: Any) -> bool:
    """Whether a finish reason is one: some servers write null as a text, in every chunk."""
    return bool(reason) and _word(reason) not in ("null", "none")


def is_failure(reason: Any) -> bool:
    """Whether the reason says that the server failed in the middle of the answer."""
    return _word(reason) in _FAILURES


def _word(reason: Any) -> str:
    if not isinstance(reason, str):
        return ""
    return reason.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")


def reported_error(body: Mapping[str, Any]) -> Any:
    """Return the error that stands in a body or a chunk in the place of an answer; `None` where there is none.

    With choices, an `error` whose fields are all empty is none: some servers send one with every chunk.
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
    """Return the objects in a list, which may be missing; nulls in it are passed over."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{where} is {type(value).__name__}, not a list")
    return [mapping_of(item, f"{where}[]") for item in _without_nulls(value)]


def _without_nulls(items: Iterable[Any]) -> Iterable[Any]:
    return (item for item in items if item is not None)


def mapping_of(value: Any, where: str) -> Mapping[str, Any]:
    """Return the object, or raise `ValueError`."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {type(value).__name__}, not an object")
    return value


def text_of(value: Any, where: str) -> str:
    """Return the text, which may be missing, or raise `ValueError`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where} is {type(value).__name__}, not a string")
    return value
