"""Recorded models: a cassette holds requests to a model and its answers, in a readable JSON file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeAlias, final, get_args

import attrs
import msgspec
import trio

from agno_rt.errors import ModelError, UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.models import NO_PROFILE, Binder, Emit, Model, ModelProfile, ModelRequest, ModelResponse, profile_of
from agno_rt.testing._plain import format_json, to_plain, to_plain_request
from agno_rt.wrappers.base import Wrapper

__all__ = ["Cassette", "Mode", "Scrub"]

Mode = Literal["replay", "record", "auto"]
Scrub: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

FORMAT = 1
AGAIN = "Record it: pytest --agno-rt-record, or Cassette(..., mode='record')."
DIFFERENCES = 60
"""The most lines of a difference in a message."""


@attrs.define
class _Failure:
    """A `ModelError` as it was raised."""

    message: str
    hint: str = ""
    provider: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None
    request_id: str = ""


@attrs.define(eq=False)
class _Exchange:
    """A request with its answer or failure; with neither while the request is under way."""

    request: dict[str, Any]
    deltas: list[Delta] = attrs.Factory(list)
    response: ModelResponse | None = None
    error: _Failure | None = None

    @property
    def is_over(self) -> bool:
        return self.response is not None or self.error is not None


@attrs.define
class _Tape:
    """The content of the file."""

    agno_rt_cassette: int
    model: str = "cassette"
    profile: ModelProfile = NO_PROFILE
    exchanges: list[_Exchange] = attrs.Factory(list)


@final
class Cassette(Wrapper):
    """A model that replays the recorded answers of another model from a file.

    Requests are matched by content, not by order: each recorded exchange answers one equal request. Ids of tool calls
    are not compared, and media only by a hash of their bytes. Failures (`ModelError`) and streamed pieces are replayed,
    too, without delay. Use a cassette in a `with` block, or call `check()` at the end: an unrecorded request and an
    unused exchange raise `AssertionError`.

    Args:
        path: the JSON file; recording creates its folders
        model: the model to record, or its spec string; not needed to replay
        mode: `replay` never asks the model; `record` asks for everything and replaces the file; `auto` asks only for
            unrecorded requests, and drops unused exchanges
        scrub: takes each request as JSON, and returns the request to store and compare: without secrets, and without
            parts that differ each time, such as a date

    Raises `UsageError` if the file to replay is missing, or if the file is not a cassette.
    """

    kind: ClassVar[str] = "cassette"

    def __init__(
        self,
        path: str | Path,
        model: str | Model | None = None,
        *,
        mode: Mode = "replay",
        scrub: Scrub | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise UsageError(f"mode of a cassette is {mode!r}", hint="Give 'replay', 'record' or 'auto'.")
        super().__init__(*(() if model is None else (model,)))
        self.path = Path(path)
        self.mode = mode
        self._scrub = scrub
        self._bound: Model | None = None if isinstance(model, str) else model
        if mode == "record" and model is None:
            raise UsageError(f"cassette {path} has no model to record", hint="Give it one: Cassette(path, model, ...).")
        self._tape = _Tape(FORMAT) if mode == "record" else _read_tape(self.path, must=mode == "replay")
        self._unused = list(self._tape.exchanges)
        self._complaint = ""

    @property
    def name(self) -> str:
        """The name of the recorded model."""
        return self._tape.model if self._bound is None or self.mode == "replay" else self._bound.name

    @property
    def profile(self) -> ModelProfile:
        """The profile of the recorded model."""
        return self._tape.profile if self._bound is None or self.mode == "replay" else profile_of(self._bound)

    def bound(self, binder: Binder) -> Model:
        """Return this cassette, around the runtime's model if there is one to record."""
        if self.mode != "replay" and self._models:
            self._bound = binder.model(self._models[0])
        return self

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer as recorded, or record the answer. Raises `AssertionError` for an unrecorded request."""
        # A replay can be cancelled, like a request to a model.
        await trio.lowlevel.checkpoint()
        asked = to_plain_request(request)
        if self._scrub is not None:
            asked = self._scrub(asked)
        exchange = self._recorded(asked)
        if exchange is not None:
            return await _replay_exchange(exchange, emit)
        if self.mode == "replay" or not self._models:
            # Kept for `check`, because a run turns the error into a `ModelError`, and a test may swallow that.
            self._complaint = self._complaint or self._unrecorded(asked)
            raise AssertionError(self._unrecorded(asked))
        return await self._record(_Exchange(asked), request, emit)

    def check(self) -> None:
        """Raise `AssertionError` for unused exchanges, and for unrecorded requests."""
        if self._complaint:
            raise AssertionError(self._complaint)
        if not self._unused:
            return
        if self.mode == "auto":
            self._tape.exchanges = [one for one in self._tape.exchanges if one not in self._unused]
            self._unused = []
            self._save()
            return
        count = f"{len(self._unused)} exchange{'' if len(self._unused) == 1 else 's'}"
        first = format_json(self._unused[0].request)
        raise AssertionError(f"cassette {self.path} has {count} that nobody asked for, the first:\n{first}\n{AGAIN}")

    def _recorded(self, asked: dict[str, Any]) -> _Exchange | None:
        for exchange in self._unused:
            if exchange.request == asked:
                self._unused.remove(exchange)
                return exchange
        return None

    async def _record(self, exchange: _Exchange, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        model = self._bound or self.inner
        self._tape.model, self._tape.profile = model.name, profile_of(model)
        # Appended before the answer, in the order of requests, because several may be under way.
        self._tape.exchanges.append(exchange)

        async def record_delta(delta: Delta) -> None:
            assert emit is not None
            # A copy without run id: `emit` sets the run's id on the original.
            exchange.deltas.append(msgspec.structs.replace(delta, run_id=""))
            await emit(delta)

        try:
            response = await model.respond(request, None if emit is None else record_delta)
        except ModelError as exc:
            failure = (exc.message, exc.hint, exc.provider, exc.status, exc.retryable, exc.retry_after, exc.request_id)
            exchange.error = _Failure(*failure)
            self._save()
            raise
        exchange.response = attrs.evolve(response)
        self._save()
        return response

    def _save(self) -> None:
        tape = attrs.evolve(self._tape, exchanges=[one for one in self._tape.exchanges if one.is_over])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Replace in one step: an interrupted test run keeps the old file.
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_text(f"{format_json(to_plain(tape))}\n", encoding="utf-8", newline="\n")
        new.replace(self.path)

    def _unrecorded(self, asked: dict[str, Any]) -> str:
        same = sum(exchange.request == asked for exchange in self._tape.exchanges)
        if same:
            times = "once" if same == 1 else f"{same} times"
            what = f"this was recorded {times}, and is asked once more"
            return f"cassette {self.path}: {what}:\n{format_json(asked)}\n{AGAIN}"
        if not self._tape.exchanges:
            return f"cassette {self.path} is empty, and is asked\n{format_json(asked)}\n{AGAIN}"
        lines = _to_lines(asked)
        nearest = max((_to_lines(one.request) for one in self._tape.exchanges), key=_make_similarity(lines))
        shown = list(difflib.unified_diff(nearest, lines, "recorded", "asked", n=3, lineterm=""))
        more = [f"... and {len(shown) - DIFFERENCES} lines more"] if len(shown) > DIFFERENCES else []
        differences = "\n".join((*shown[:DIFFERENCES], *more))
        return f"cassette {self.path} has no such request; the nearest differs in this:\n{differences}\n{AGAIN}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A failing test has its own error, which a second one would hide.
        if exc is None:
            self.check()


def _to_lines(request: dict[str, Any]) -> list[str]:
    # Each value has a line of its own, so that a difference shows in few lines.
    return json.dumps(request, ensure_ascii=False, indent=2).splitlines()


def _make_similarity(lines: list[str]) -> Callable[[list[str]], float]:
    # The matcher caches its second sequence, so that one is fixed. `autojunk` would ignore frequent lines.
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(lines)

    def ratio(other: list[str]) -> float:
        matcher.set_seq1(other)
        return matcher.ratio()

    return ratio


async def _replay_exchange(exchange: _Exchange, emit: Emit | None) -> ModelResponse:
    if emit is not None:
        for delta in exchange.deltas or _deltas_of_answer(exchange.response):
            await emit(msgspec.structs.replace(delta))
    if exchange.error is not None:
        error = exchange.error
        raise ModelError(
            error.message,
            hint=error.hint,
            provider=error.provider,
            status=error.status,
            retryable=error.retryable,
            retry_after=error.retry_after,
        ).of_request(error.request_id)
    assert exchange.response is not None
    return attrs.evolve(exchange.response)


def _deltas_of_answer(response: ModelResponse | None) -> Iterator[Delta]:
    # For an exchange that was recorded without streaming.
    if response is None:
        return
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


def _read_tape(path: Path, *, must: bool) -> _Tape:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if must:
            raise UsageError(f"there is no cassette {path}", hint=AGAIN) from None
        return _Tape(FORMAT)
    try:
        tape = msgspec.json.decode(text, type=_Tape)
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{path} is not a cassette: {exc}", hint=AGAIN) from exc
    unclear = [at for at, one in enumerate(tape.exchanges) if (one.response is None) is (one.error is None)]
    if tape.agno_rt_cassette != FORMAT or unclear:
        what = f"exchange {unclear[0]} has no response" if unclear else f"its format is {tape.agno_rt_cassette}"
        raise UsageError(f"{path} is not a readable cassette: {what}", hint=AGAIN)
    return tape
