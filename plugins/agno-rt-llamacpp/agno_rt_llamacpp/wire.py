"""What is asked of llama.cpp and what its answer means: requests to bodies, chunks to deltas and a response. No I/O.

Where the model's chat template knows tools, llama.cpp writes and reads the calls. Where it does not, the conversation
is put in plain turns (`prompt`) and a grammar holds the model to a call, to the output's schema, or to either and text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from agno_rt.errors import ModelError, NotFound
from agno_rt.events import Delta, TextDelta, ToolCallDelta
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import Tool
from agno_rt.wire.chat_completions import (
    ReportedError,
    StreamedResponse,
    ThinkTags,
    mend_value,
    request_body,
    tool_names,
)
from agno_rt_llamacpp import prompt
from agno_rt_llamacpp.loops import LoopCutter
from agno_rt_llamacpp.profile import PROVIDER, Sampling
from agno_rt_llamacpp.schema import bounded, call_or_text, call_schema

__all__ = ["Answer", "Defaults", "Form", "Question", "failure", "question"]

Form = Literal["text", "call", "call or text", "call or output"]
ToGrammar = Callable[[str], str]
"""Turns a JSON Schema, as JSON text, into a grammar: llama.cpp's own function."""

_CALL = re.compile(
    r'\s*\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?P<arguments>.*)', re.DOTALL
)


_TOLD = ("messages", "tools")
_MOST_WORDS = 500


@attrs.frozen
class Defaults:
    """What holds where the request says nothing, and what is particular about the model.

    `tools` says whether its chat template can describe tools; `control_tokens` are the texts that it takes for marks.
    """

    max_tokens: int
    sampling: Sampling = Sampling()
    tools: bool = False
    control_tokens: tuple[str, ...] = ()


@attrs.frozen
class Question:
    """The body of a chat completion, what form its answer has, and the tools that may be called in it.

    `names` leads the names of tools back (`chat_format.tool_names`). `cut_loops` says whether text ends where it begins
    to repeat itself.
    """

    body: dict[str, Any]
    form: Form = "text"
    tools: frozenset[str] = frozenset()
    names: Mapping[str, str] = attrs.field(factory=dict)
    cut_loops: bool = False


def question(request: ModelRequest, defaults: Defaults, to_grammar: ToGrammar) -> Question:
    """What to ask for the request. Raises `NotFound` for a `tool_choice` that names no tool of the request."""
    tools, choice = _choice(request)
    asked = attrs.evolve(
        request,
        tools=tools,
        tool_choice=choice,
        output=None if request.output is None else bounded(request.output),
        settings=_settings(request, defaults),
    )
    # A required call is held to by our grammar in any case: llama.cpp's own lets text of any length go before it.
    if defaults.tools and choice != "required":
        body = request_body(asked, PROVIDER, system_first=True)
        made = Question(_streamed(body), names=tool_names(asked))
    else:
        made = _plain(asked, to_grammar)
    # Here alone, where everything is that a template puts into a prompt: whoever said it, it is text.
    told = {key: prompt.without_marks(made.body[key], defaults.control_tokens) for key in _TOLD if key in made.body}
    return attrs.evolve(
        made, body=mend_value(made.body | told), cut_loops=defaults.sampling.cut_loops and request.output is None
    )


def failure(error: Any) -> ModelError:
    """The error that llama.cpp's error object describes."""
    said: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}
    status = said.get("code") if isinstance(said.get("code"), int) else None
    if said.get("type") == "exceed_context_size_error":
        return ModelError(
            f"the prompt has {said.get('n_prompt_tokens')} tokens, and the context holds {said.get('n_ctx')}",
            hint="Send less (fewer messages, shorter passages), or raise `context` in [plugins.llamacpp].",
            provider=PROVIDER,
            status=status,
        )
    words = str(said.get("message", said))[:_MOST_WORDS]
    if "grammar" in words or "schema" in words:
        return ModelError(
            f"llama.cpp cannot hold the model to what was asked for: {words}",
            hint="Simplify the output type, or the tools' parameters.",
            provider=PROVIDER,
            status=status,
        )
    return ModelError(
        f"llama.cpp refused the request: {words}", provider=PROVIDER, status=status, retryable=status == 503
    )


class Answer:
    """Takes in the chunks of an answer: `feed` returns what is to be emitted, `finish` the rest and the response.

    Text is handed on as it comes, and what the model thinks apart from it, whether llama.cpp tells them apart or the
    tags have to; a call only when it is whole, so that no piece of one is ever taken for text.
    """

    def __init__(self, question: Question, think_tags: ThinkTags = "start") -> None:
        self._tools = question.tools
        self._form = question.form
        self._streamed = StreamedResponse(think_tags, question.names)
        self._id = ""
        self._loops = LoopCutter() if question.cut_loops else None
        self._tokens = 0
        self._prompt_tokens = 0

    @property
    def cut(self) -> bool:
        """Whether the answer began to repeat itself: what is still to come of it is of no use."""
        return self._loops is not None and self._loops.cut

    def feed(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Take in one chunk. Raises `ModelError` where it is an error or has another shape."""
        if "error" in chunk:
            raise failure(chunk["error"])
        self._count(chunk)
        self._id = self._id or str(chunk.get("id", ""))
        try:
            deltas = self._streamed.feed(chunk)
        except ReportedError as exc:
            raise failure(exc.error) from None
        except ValueError as exc:
            raise ModelError(f"llama.cpp wrote what cannot be read: {exc}", provider=PROVIDER) from exc
        return self._to_emit(deltas)

    def finish(self) -> tuple[list[Delta], ModelResponse]:
        """What is left to emit, and the whole response. Raises `ModelError` for an answer that broke off."""
        if not self._streamed.finished and self.cut:
            self._streamed.feed(self._ending())
        if not self._streamed.finished:
            raise ModelError("llama.cpp ended its answer early", provider=PROVIDER, retryable=True)
        rest = self._to_emit(self._streamed.end())
        response = self._streamed.response()
        if self._form == "text":
            return self._without_loops(rest, response)
        call = self._call(response.content)
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

    def _count(self, chunk: Mapping[str, Any]) -> None:
        """Count tokens as far as an answer that is cut has to tell them: llama.cpp does so only at its end."""
        if progress := chunk.get("prompt_progress"):
            self._prompt_tokens = progress.get("total", 0)
        elif chunk.get("choices"):
            self._tokens += 1

    def _ending(self) -> Mapping[str, Any]:
        """The chunk that ends an answer which was cut. It is whole if what is left ends with a sentence."""
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

    def _to_emit(self, deltas: list[Delta]) -> list[Delta]:
        kept = [delta for delta in deltas if not (isinstance(delta, TextDelta) and self._held_back(delta.text))]
        if self._loops is None or self._form != "text":
            return kept
        shown: list[Delta] = []
        for delta in kept:
            if not isinstance(delta, TextDelta):
                shown.append(delta)
            elif text := self._loops.feed(delta.text):
                shown.append(TextDelta(text))
        return shown

    def _held_back(self, text: str) -> bool:
        # The grammar has it that an answer which does not begin with a brace is text to its end.
        if self._form == "call or text" and text.strip():
            self._form = "call" if text.lstrip().startswith("{") else "text"
        return self._form != "text"

    def _call(self, content: str) -> ToolCall | None:
        match = _CALL.fullmatch(content)
        name = json.loads(match["name"]) if match else ""
        if match is None or name not in self._tools:
            return None
        whole = match["arguments"].rstrip()
        arguments = whole.removesuffix("}").rstrip() if _is_json(content) else whole
        return ToolCall(f"call_{self._id.rpartition('-')[2]}", name, arguments)


def _plain(request: ModelRequest, to_grammar: ToGrammar) -> Question:
    form = _form(request)
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
    schema = _schema(request, form)
    if form == "call or text":
        body["grammar"] = call_or_text(_grammar(schema, to_grammar))
    elif schema is not None:
        # A stop sequence is meant for text; in JSON that a grammar ends by itself it would only break it.
        body.pop("stop", None)
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return Question(_streamed(body), form, frozenset(tool.name for tool in request.tools))


def _grammar(schema: Any, to_grammar: ToGrammar) -> str:
    try:
        return to_grammar(json.dumps(mend_value(schema)))
    except (RuntimeError, ValueError) as exc:
        raise failure({"message": f"no grammar can be made of the tools: {exc}"}) from exc


def _form(request: ModelRequest) -> Form:
    if not request.tools:
        return "text"
    if request.tool_choice == "required":
        return "call"
    return "call or text" if request.output is None else "call or output"


def _schema(request: ModelRequest, form: Form) -> Mapping[str, Any] | None:
    if form == "text":
        return request.output
    calls = call_schema(request.tools)
    if form != "call or output" or request.output is None:
        return calls
    definitions = {**calls.pop("$defs", {}), **request.output.get("$defs", {})}
    output = {key: value for key, value in request.output.items() if key != "$defs"}
    return {"anyOf": [calls, output], "$defs": definitions}


def _choice(request: ModelRequest) -> tuple[Sequence[Tool], str]:
    """The tools that may be called, bounded, and whether one must be: a named one is the only one."""
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


def _settings(request: ModelRequest, defaults: Defaults) -> ModelSettings:
    settings, own = request.settings, defaults.sampling
    penalties = {"repeat_penalty": own.repeat_penalty}
    # Calls and JSON repeat their forms, and what answers from a tool's result is to repeat its words.
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


def _streamed(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a stream, whoever listens: between its chunks, progress with the prompt included, it can be ended."""
    return body | {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
