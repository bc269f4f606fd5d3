"""Requests for llama.cpp and the meaning of its answers: requests to bodies, chunks to deltas and a response. No I/O.

With tools in the model's chat template, llama.cpp writes and reads the calls; calls that the model wrote as words are
read here. Otherwise the conversation becomes plain turns (`prompt`), and a grammar allows a call, the output's schema,
or one of both and text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from agno_rt.errors import ContextOverflow, ModelError, NotFound
from agno_rt.events import Delta, TextDelta, ToolCallDelta
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import Tool
from agno_rt.wire.calls_in_text import may_be_call, read_calls
from agno_rt.wire.chat_completions import (
    ReportedError,
    StreamedResponse,
    ThinkTags,
    mend_value,
    request_body,
    tool_names,
)
from agno_rt_llamacpp import prompt
from agno_rt_llamacpp.fitting import fitting_tools
from agno_rt_llamacpp.loops import LoopCutter
from agno_rt_llamacpp.profile import PROVIDER, Sampling
from agno_rt_llamacpp.schema import bounded, call_or_text, call_schema

__all__ = ["Answer", "Defaults", "Form", "Question", "failure", "question", "read_chance"]

Form = Literal["text", "call", "call or text", "call or output"]
ToGrammar = Callable[[str], str]
"""Turns a JSON Schema, as JSON text, into a grammar: llama.cpp's own function."""

_CALL = re.compile(
    r'\s*\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?P<arguments>.*)', re.DOTALL
)


_TOLD = ("messages", "tools")
_LIKELIEST = 500
"""Tokens whose chance a probe returns: a call is seldom among the first hundred."""
_MOST_WORDS = 500


@attrs.frozen
class Defaults:
    """Defaults for requests, and facts about the model.

    `tools` is true if the chat template can describe tools; `control_tokens` are texts with a meaning of their own for
    the model.
    """

    max_tokens: int
    sampling: Sampling = Sampling()
    tools: bool = False
    control_tokens: tuple[str, ...] = ()


@attrs.frozen
class Question:
    """The body of a chat completion, the form of the answer, and the names of callable tools.

    `names` maps names of tools back (`chat_completions.tool_names`). `cut_loops` ends a text at the start of a
    repetition.

    If `probe` is given, it is asked first: with a chance of a call (`read_chance`) of at least `call_chance`, a natural
    logarithm, `call_body` takes the place of `body`.
    """

    body: dict[str, Any]
    form: Form = "text"
    tools: frozenset[str] = frozenset()
    names: Mapping[str, str] = attrs.field(factory=dict)
    cut_loops: bool = False
    probe: dict[str, Any] | None = None
    call_body: dict[str, Any] | None = None
    call_chance: float = 0.0


def question(request: ModelRequest, defaults: Defaults, to_grammar: ToGrammar) -> Question:
    """Make the question for a request. Raises `NotFound` for a `tool_choice` that is not a tool of the request."""
    tools, choice = _choose_tools(request)
    asked = attrs.evolve(
        request,
        tools=tools,
        tool_choice=choice,
        output=None if request.output is None else bounded(request.output),
        settings=_fill_settings(request, defaults),
    )
    # Our grammar always enforces a required call: llama.cpp's own allows text of any length before the call.
    if defaults.tools and choice != "required":
        body = request_body(asked, PROVIDER, system_first=True)
        made = Question(_request_stream(body), tools=frozenset(tool.name for tool in tools), names=tool_names(asked))
    else:
        made = _ask_in_turns(asked, to_grammar, defaults.sampling.call_chance)

    def clean(body: dict[str, Any] | None) -> Any:
        if body is None:
            return None
        # All texts for the template are here: their control tokens must lose their meaning, whatever their source.
        told = {key: prompt.without_marks(body[key], defaults.control_tokens) for key in _TOLD if key in body}
        return mend_value(body | told)

    return attrs.evolve(
        made,
        body=clean(made.body),
        probe=clean(made.probe),
        call_body=clean(made.call_body),
        cut_loops=defaults.sampling.cut_loops and request.output is None,
    )


def read_chance(chunks: Sequence[Mapping[str, Any]]) -> float:
    """Return the chance that the answer to a probe begins with a call, as a natural logarithm. Raises `ModelError`."""
    chances = [-math.inf]
    for chunk in chunks:
        if "error" in chunk:
            raise failure(chunk["error"])
        for choice in chunk.get("choices") or ():
            for token in (choice.get("logprobs") or {}).get("content") or ():
                likely = token.get("top_logprobs") or ()
                chances += [each["logprob"] for each in likely if str(each.get("token", "")).lstrip().startswith("{")]
    return max(chances)


def failure(error: Any) -> ModelError:
    """Make the error for llama.cpp's error object."""
    said: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}
    status = said.get("code") if isinstance(said.get("code"), int) else None
    if said.get("type") == "exceed_context_size_error":
        return ContextOverflow(
            f"the prompt has {said.get('n_prompt_tokens')} tokens, and the context holds {said.get('n_ctx')}",
            hint="Send less (fewer messages, shorter passages), or raise `context` in [plugins.llamacpp].",
            provider=PROVIDER,
            status=status,
        )
    words = str(said.get("message", said))[:_MOST_WORDS]
    if "grammar" in words or "schema" in words:
        return ModelError(
            f"llama.cpp cannot enforce the output type or the tools' parameters: {words}",
            hint="Simplify the output type, or the tools' parameters.",
            provider=PROVIDER,
            status=status,
        )
    return ModelError(
        f"llama.cpp refused the request: {words}", provider=PROVIDER, status=status, retryable=status == 503
    )


class Answer:
    """A parser for the chunks of an answer: `feed` returns deltas, `finish` the remaining deltas and the response.

    Text and reasoning are emitted at once, whether llama.cpp or tags separate the two. A call is emitted only when
    complete, so that no piece of a call is taken for text.
    """

    def __init__(self, question: Question, think_tags: ThinkTags = "start") -> None:
        self._tools = question.tools
        self._names = question.names
        # Text that may become a call; `None` if the text cannot be a call any more.
        self._held: str | None = "" if question.form == "text" and question.tools else None
        self._form = question.form
        self._streamed = StreamedResponse(think_tags, question.names)
        self._id = ""
        self._loops = LoopCutter() if question.cut_loops else None
        self._tokens = 0
        self._prompt_tokens = 0

    @property
    def cut(self) -> bool:
        """True if the answer began to repeat itself: the rest is useless."""
        return self._loops is not None and self._loops.cut

    def feed(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Take in one chunk. Raises `ModelError` for an error or an unknown shape."""
        if "error" in chunk:
            raise failure(chunk["error"])
        self._count_tokens(chunk)
        self._id = self._id or str(chunk.get("id", ""))
        try:
            deltas = self._streamed.feed(chunk)
        except ReportedError as exc:
            raise failure(exc.error) from None
        except ValueError as exc:
            raise ModelError(f"llama.cpp wrote an unreadable chunk: {exc}", provider=PROVIDER) from exc
        return self._select_deltas(deltas)

    def finish(self) -> tuple[list[Delta], ModelResponse]:
        """Return the remaining deltas, and the whole response. Raises `ModelError` for an answer that broke off."""
        if not self._streamed.finished and self.cut:
            self._streamed.feed(self._make_last_chunk())
        if not self._streamed.finished:
            raise ModelError("llama.cpp ended its answer early", provider=PROVIDER, retryable=True)
        rest = self._select_deltas(self._streamed.end())
        response = self._streamed.response()
        if self._form == "text":
            return self._end_text(rest, response)
        call = self._parse_call(response.content)
        if call is not None:
            cut = response.finish_reason == "length"
            called = attrs.evolve(
                response, content="", tool_calls=(call,), finish_reason="length" if cut else "tool_calls"
            )
            return [*rest, ToolCallDelta(0, call.id, call.name, call.arguments)], called
        if self._form == "call or output":
            return [*rest, TextDelta(response.content)], response
        raise ModelError(
            f"the model was cut off in the middle of a call, after {response.usage.output_tokens} tokens",
            hint="Raise max_tokens.",
            provider=PROVIDER,
        )

    def _count_tokens(self, chunk: Mapping[str, Any]) -> None:
        """Count tokens for an answer that is cut: llama.cpp reports counts only at the end."""
        if progress := chunk.get("prompt_progress"):
            self._prompt_tokens = progress.get("total", 0)
        elif chunk.get("choices"):
            self._tokens += 1

    def _make_last_chunk(self) -> Mapping[str, Any]:
        """Make the last chunk of a cut answer. The answer is complete if the shown text ends with a sentence."""
        assert self._loops is not None
        reason = "stop" if self._loops.is_whole else "length"
        usage = {"prompt_tokens": self._prompt_tokens, "completion_tokens": self._tokens}
        return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}

    def _without_loops(self, rest: list[Delta], response: ModelResponse) -> tuple[list[Delta], ModelResponse]:
        if self._loops is None:
            return rest, response
        last = self._loops.end()
        if last:
            rest = [*rest, TextDelta(last)]
        return rest, attrs.evolve(response, content=self._loops.text) if self.cut else response

    def _select_deltas(self, deltas: list[Delta]) -> list[Delta]:
        shown: list[Delta] = []
        for delta in deltas:
            if not isinstance(delta, TextDelta):
                shown.append(delta)
            elif text := self._show(self._release(delta.text)):
                shown.append(delta if text == delta.text else TextDelta(text))
        return shown

    def _show(self, text: str) -> str:
        """Return the part of the text to show now: a repetition is held back."""
        return text if self._loops is None or self._form != "text" else self._loops.feed(text)

    def _release(self, text: str) -> str:
        """Return the text that cannot be a call any more; the rest is held back."""
        # By the grammar, an answer without a brace at the start is text to the end.
        if self._form == "call or text" and text.strip():
            self._form = "call" if text.lstrip().startswith("{") else "text"
        if self._form != "text":
            return ""
        if self._held is None:
            return text
        self._held += text
        if may_be_call(self._held):
            return ""
        held, self._held = self._held, None
        return held

    def _end_text(self, rest: list[Delta], response: ModelResponse) -> tuple[list[Delta], ModelResponse]:
        """Return the end of an answer in words, or the calls that a model with tools in its template wrote as words."""
        held, self._held = self._held or "", None
        calls = read_calls(held, self._names.keys() | self._tools, f"call_{self._id.rpartition('-')[2]}")
        if calls and not response.tool_calls:
            calls = [attrs.evolve(call, name=self._names.get(call.name, call.name)) for call in calls]
            deltas = [ToolCallDelta(at, call.id, call.name, call.arguments) for at, call in enumerate(calls)]
            return [*rest, *deltas], attrs.evolve(
                response, content="", tool_calls=tuple(calls), finish_reason="tool_calls"
            )
        if text := self._show(held):
            rest = [*rest, TextDelta(text)]
        return self._without_loops(rest, response)

    def _parse_call(self, content: str) -> ToolCall | None:
        match = _CALL.fullmatch(content)
        name = json.loads(match["name"]) if match else ""
        if match is None or name not in self._tools:
            return None
        whole = match["arguments"].rstrip()
        arguments = whole.removesuffix("}").rstrip() if _is_json(content) else whole
        return ToolCall(f"call_{self._id.rpartition('-')[2]}", name, arguments)


def _ask_in_turns(request: ModelRequest, to_grammar: ToGrammar, call_chance: float | None) -> Question:
    fitting = [] if call_chance is None else fitting_tools(request.tools, request.messages)
    if fitting:
        request = attrs.evolve(request, tools=fitting)
    form = _choose_form(request)
    made = _make_question(request, form, to_grammar)
    if not fitting or form != "call or text" or call_chance is None:
        return made
    called = _make_question(request, "call", to_grammar)
    probe = {key: value for key, value in made.body.items() if key != "grammar"}
    probe |= {"max_tokens": 1, "logprobs": True, "top_logprobs": _LIKELIEST}
    return attrs.evolve(made, probe=probe, call_body=called.body, call_chance=call_chance)


def _make_question(request: ModelRequest, form: Form, to_grammar: ToGrammar) -> Question:
    must_call = form == "call"
    turns = prompt.with_instructions(
        prompt.plain(request.messages),
        prompt.tools_described(request.tools) if request.tools else "",
        prompt.output_described(request.output) if request.output is not None and not must_call else "",
    )
    shown = prompt.examples(request.tools) if must_call else prompt.answer_examples(request.messages)
    at = 1 if turns[:1] and turns[0].role == "system" else 0
    turns[at:at] = shown
    body = request_body(attrs.evolve(request, messages=turns, tools=(), output=None), PROVIDER)
    schema = _choose_schema(request, form)
    if form == "call or text":
        body["grammar"] = call_or_text(_make_grammar(schema, to_grammar))
    elif schema is not None:
        # Stop sequences are for text; they would break JSON, which the grammar ends by itself.
        body.pop("stop", None)
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return Question(_request_stream(body), form, frozenset(tool.name for tool in request.tools))


def _make_grammar(schema: Any, to_grammar: ToGrammar) -> str:
    try:
        return to_grammar(json.dumps(mend_value(schema)))
    except (RuntimeError, ValueError) as exc:
        raise failure({"message": f"cannot make a grammar of the tools: {exc}"}) from exc


def _choose_form(request: ModelRequest) -> Form:
    if not request.tools:
        return "text"
    if request.tool_choice == "required":
        return "call"
    return "call or text" if request.output is None else "call or output"


def _choose_schema(request: ModelRequest, form: Form) -> Mapping[str, Any] | None:
    if form == "text":
        return request.output
    calls = call_schema(request.tools)
    if form != "call or output" or request.output is None:
        return calls
    definitions = {**calls.pop("$defs", {}), **request.output.get("$defs", {})}
    output = {key: value for key, value in request.output.items() if key != "$defs"}
    return {"anyOf": [calls, output], "$defs": definitions}


def _choose_tools(request: ModelRequest) -> tuple[Sequence[Tool], str]:
    """Return the callable tools, bounded, and `required` if a call is required. A named tool is the only tool."""
    choice = request.tool_choice
    tools = request.tools
    if choice == "none" or not tools:
        return (), "auto"
    if choice not in ("auto", "required"):
        tools = [tool for tool in tools if tool.name == choice]
        if not tools:
            raise NotFound("tool", choice, [tool.name for tool in request.tools], where="tool_choice")
        choice = "required"
    return [attrs.evolve(tool, parameters=bounded(tool.parameters)) for tool in tools], choice


def _fill_settings(request: ModelRequest, defaults: Defaults) -> ModelSettings:
    settings, own = request.settings, defaults.sampling
    penalties = {"repeat_penalty": own.repeat_penalty}
    # Calls and JSON repeat their forms, and an answer from a tool's result should repeat the words of the result.
    is_free = request.output is None and not request.tools and request.messages[-1].role != "tool"
    if is_free:
        penalties["dry_multiplier"] = own.dry_multiplier
    return attrs.evolve(
        settings,
        max_tokens=defaults.max_tokens if settings.max_tokens is None else settings.max_tokens,
        temperature=own.temperature if settings.temperature is None else settings.temperature,
        seed=own.seed if settings.seed is None else settings.seed,
        extra={name: value for name, value in penalties.items() if value is not None} | dict(settings.extra),
    )


def _request_stream(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body for a stream. A stream can be stopped between chunks, even while the prompt is read."""
    return body | {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
