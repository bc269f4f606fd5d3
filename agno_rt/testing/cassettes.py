"""Recorded models: a cassette holds what a model was asked and what it answered, as a JSON file that people read."""

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
from agno_rt.testing._plain import plain, plain_request, pretty
from agno_rt.wrappers.base import Wrapper

__all__ = ["Cassette", "Mode", "Scrub"]

Mode = Literal["replay", "record", "auto"]
Scrub: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

FORMAT = 1
AGAIN = "Record it: pytest --agno-rt-record, or Cassette(..., mode='record')."
DIFFERENCES = 60
"""How many lines of a difference a message shows."""


@attrs.define
class _Failure:
    """A `ModelError` as it was raised."""

    message: str
    hint: str = ""
    provider: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None


@attrs.define(eq=False)
class _Exchange:
    """A request and what came of it: an answer or a failure; neither while it is under way."""

    request: dict[str, Any]
    deltas: list[Delta] = attrs.Factory(list)
    response: ModelResponse | None = None
    error: _Failure | None = None

    @property
    def is_over(self) -> bool:
        return self.response is not None or self.error is not None


@attrs.define
class _Tape:
    """The file."""

    agno_rt_cassette: int
    model: str = "cassette"
    profile: ModelProfile = NO_PROFILE
    exchanges: list[_Exchange] = attrs.Factory(list)


@final
class Cassette(Wrapper):
    """A model that answers from a file what another model answered when it was recorded.

    It replays by what is asked, not by the order: each recorded exchange answers one request that is the same in all
    that changes an answer. Tool calls' ids are not compared, nor media but by a hash of their bytes. Failures
    (`ModelError`) and streamed pieces are replayed too, without the time that they took. Use it in a `with` block, or
    call `check()` at the end: a request that was not recorded, and an exchange that was not asked for, are an
    `AssertionError`.

    Args:
        path: the JSON file; its folders are made when it is recorded
        model: the model to record, or its spec string; not needed to replay
        mode: `replay` asks no model; `record` asks it everything and writes the file anew; `auto` asks it only what is
            not recorded, and forgets what is no longer asked
        scrub: given each request as JSON, returns it as it is to be stored and compared: take out what must not be
            stored, and what is different each time, a date say

    Raises `UsageError` for a file that is not there when it is to be replayed, or that is no cassette.
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
        self._tape = _Tape(FORMAT) if mode == "record" else _read(self.path, must=mode == "replay")
        self._unused = list(self._tape.exchanges)
        self._complaint = ""

    @property
    def name(self) -> str:
        """The name of the model that was, or is, recorded."""
        return self._tape.model if self._bound is None or self.mode == "replay" else self._bound.name

    @property
    def profile(self) -> ModelProfile:
        """The facts about the model that was, or is, recorded."""
        return self._tape.profile if self._bound is None or self.mode == "replay" else profile_of(self._bound)

    def bound(self, binder: Binder) -> Model:
        """Itself, around the runtime's model where one is to be recorded."""
        if self.mode != "replay" and self._models:
            self._bound = binder.model(self._models[0])
        return self

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer as recorded, or record the answer. Raises `AssertionError` for a request that is not recorded."""
        await trio.lowlevel.checkpoint()
        asked = plain_request(request)
        if self._scrub is not None:
            asked = self._scrub(asked)
        exchange = self._recorded(asked)
        if exchange is not None:
            return await _replay(exchange, emit)
        if self.mode == "replay" or not self._models:
            self._complaint = self._complaint or self._unrecorded(asked)
            raise AssertionError(self._unrecorded(asked))
        return await self._record(_Exchange(asked), request, emit)

    def check(self) -> None:
        """Raise `AssertionError` unless all that was recorded was asked, and nothing else."""
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
        first = pretty(self._unused[0].request)
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
        # In the order in which they were asked: several may be under way.
        self._tape.exchanges.append(exchange)

        async def told(delta: Delta) -> None:
            assert emit is not None
            # A copy: what is emitted becomes the run's.
            exchange.deltas.append(msgspec.structs.replace(delta, run_id=""))
            await emit(delta)

        try:
            response = await model.respond(request, None if emit is None else told)
        except ModelError as exc:
            told_of = (exc.message, exc.hint, exc.provider, exc.status, exc.retryable, exc.retry_after)
            exchange.error = _Failure(*told_of)
            self._save()
            raise
        exchange.response = attrs.evolve(response)
        self._save()
        return response

    def _save(self) -> None:
        tape = attrs.evolve(self._tape, exchanges=[one for one in self._tape.exchanges if one.is_over])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # In one step: whoever is stopped meanwhile keeps the old file.
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_text(f"{pretty(plain(tape))}\n", encoding="utf-8", newline="\n")
        new.replace(self.path)

    def _unrecorded(self, asked: dict[str, Any]) -> str:
        same = sum(exchange.request == asked for exchange in self._tape.exchanges)
        if same:
            times = "once" if same == 1 else f"{same} times"
            return f"cassette {self.path}: this was recorded {times}, and is asked once more:\n{pretty(asked)}\n{AGAIN}"
        if not self._tape.exchanges:
            return f"cassette {self.path} is empty, and is asked\n{pretty(asked)}\n{AGAIN}"
        lines = _lines(asked)
        nearest = max((_lines(one.request) for one in self._tape.exchanges), key=_likeness(lines))
        shown = list(difflib.unified_diff(nearest, lines, "recorded", "asked", n=3, lineterm=""))
        more = [f"... and {len(shown) - DIFFERENCES} lines more"] if len(shown) > DIFFERENCES else []
        differences = "\n".join((*shown[:DIFFERENCES], *more))
        return f"cassette {self.path} has no such request; the nearest differs in this:\n{differences}\n{AGAIN}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A test that fails already says why; a second complaint would hide it.
        if exc is None:
            self.check()


def _lines(request: dict[str, Any]) -> list[str]:
    # Each value on a line of its own, so that a difference is in few of them.
    return json.dumps(request, ensure_ascii=False, indent=2).splitlines()


def _likeness(lines: list[str]) -> Callable[[list[str]], float]:
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(lines)

    def ratio(other: list[str]) -> float:
        matcher.set_seq1(other)
        return matcher.ratio()

    return ratio


async def _replay(exchange: _Exchange, emit: Emit | None) -> ModelResponse:
    if emit is not None:
        for delta in exchange.deltas or _deltas(exchange.response):
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
        )
    assert exchange.response is not None
    return attrs.evolve(exchange.response)


def _deltas(response: ModelResponse | None) -> Iterator[Delta]:
    # It was recorded by somebody who did not stream.
    if response is None:
        return
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


def _read(path: Path, *, must: bool) -> _Tape:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if must:
            raise UsageError(f"there is no cassette {path}", hint=AGAIN) from None
        return _Tape(FORMAT)
    try:
        tape = msgspec.json.decode(text, type=_Tape)
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{path} is no cassette: {exc}", hint=AGAIN) from exc
    unclear = [at for at, one in enumerate(tape.exchanges) if (one.response is None) is (one.error is None)]
    if tape.agno_rt_cassette != FORMAT or unclear:
        what = f"exchange {unclear[0]} has no response" if unclear else f"its format is {tape.agno_rt_cassette}"
        raise UsageError(f"{path} is no cassette that can be read: {what}", hint=AGAIN)
    return tape
