"""Asks the model under trio: the place among the model calls, deadlines, the price, the stream, hooks."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

import attrs
import msgspec
import trio

from agno_rt._decide.hooks import Hooks
from agno_rt._decide.prompt_cache import has_missed
from agno_rt._drive import call_hooks
from agno_rt._drive.emitter import Emitter
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import deadline, ended_as
from agno_rt.errors import AgnoError, ModelError
from agno_rt.events import (
    CacheMissed,
    Delta,
    ModelEnded,
    ModelStarted,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    TurnRestarted,
)
from agno_rt.failures import must_pass, named, text_of
from agno_rt.limiter import Limiter
from agno_rt.messages import ToolCall, Usage
from agno_rt.models import NO_USAGE, Emit, Model, ModelRequest, ModelResponse, profile_of

__all__ = ["ask_aside", "ask_in_turn", "ask_model", "wait_for_place"]

_RESPONSE_HINT = "Its respond() must return a ModelResponse with text, ToolCalls and a Usage: tell the plugin's author."


async def ask_in_turn(job: Job, request: ModelRequest, *, aside: bool = False) -> ModelResponse:
    """Ask the model between the run's hooks, and send events if the run has listeners.

    The deltas of a request `aside` are not the run's and go to nobody, and an empty response is a failure.
    """
    emitter, hooks, turn = job.emitter, job.resolved.hooks, request.turn
    asked = request if hooks is None else await call_hooks.before_model(job, hooks, request)
    # Events name no model where a hook answers in the model's place.
    name = job.resolved.model.name if type(asked) is ModelRequest else ""
    emit = None
    if emitter is not None:
        await emitter.send(ModelStarted(job.run_id, name, turn))
        emit = None if aside else emitter.send_delta
    try:
        if hooks is None:
            response = await ask_model(job, request, emit)
            if aside and not response.content.strip():
                name = job.resolved.model.name
                raise ModelError(f"the model {name} returned an empty response", provider=name)
        else:
            response = await _ask_between_hooks(job, hooks, turn, asked, emit)
    except BaseException as exc:
        if emitter is not None:
            status = ended_as(exc)
            text = None if status == "cancelled" else text_of(exc)
            id_ = exc.request_id if isinstance(exc, ModelError) else ""
            emitter.post(ModelEnded(job.run_id, name, turn, status, NO_USAGE, text, None, id_))
        raise
    if emitter is not None:
        reason, raw = response.finish_reason, response.raw_finish_reason
        emitter.post(
            ModelEnded(job.run_id, name, turn, "completed", response.usage, None, reason, response.request_id, raw)
        )
        usage = response.usage
        first = emitter.cached < 0 and job.session is not None
        if not aside and (emitter.cached > 0 or usage.cached_tokens or usage.cache_write_tokens or first):
            _note_cache(job, emitter, name, turn, usage)
    return response


def _note_cache(job: Job, emitter: Emitter, model: str, turn: int, usage: Usage) -> None:
    """Note what the provider has cached of the request, and tell if it had much less than before.

    The run's first request follows the last request of the session's run before it, by the same agent and model.
    """
    before, emitter.cached = emitter.cached, usage.cached_tokens + usage.cache_write_tokens
    session = job.session
    if session is not None:
        last = session.cached
        if before < 0 and last is not None and (last[0], last[1]) == (job.agent, model):
            before = last[2]
        session.cached = (job.agent, model, emitter.cached)
    if has_missed(before, usage.cached_tokens):
        emitter.post(CacheMissed(job.run_id, model, turn, before, usage.cached_tokens))


async def _ask_between_hooks(
    job: Job, hooks: Hooks, turn: int, asked: ModelRequest | ModelResponse, emit: Emit | None
) -> ModelResponse:
    """Ask the model, or take the response of a hook as `asked`; let the hooks after the model see the response."""
    form = job.resolved.form
    races = bool(hooks.racing) and turn == 1
    stream = None if emit is None else _Stream(emit, guarded=hooks.holds, races=races)
    if isinstance(asked, ModelResponse):
        answered, written = asked, None
    else:
        ask = functools.partial(ask_model, job, asked, None if stream is None else stream.send)
        passed = None if stream is None else stream.passed
        answered = written = await (call_hooks.race_guards(job, hooks, ask, passed) if races else ask())
    try:
        response = await call_hooks.after_model(job, hooks, answered)
        if form is not None:
            response = form.received(response)
            written = None if written is None else form.received(written)
        if not response.tool_calls:
            content = await call_hooks.after_run(job, hooks, response.content)
            response = response if content == response.content else attrs.evolve(response, content=content)
    except BaseException:
        # The response goes no further, but its tokens were paid for.
        assert job.turns is not None
        job.turns.usage = job.turns.usage + answered.usage
        raise
    if stream is not None:
        await stream.settle(written, response)
    return response


class _Stream(msgspec.Struct, eq=False):
    """The stream of a turn with hooks: deltas are held back while a hook may still change or refuse the answer."""

    emit: Emit
    guarded: bool
    races: bool
    held: deque[Delta] = msgspec.field(default_factory=deque)
    sent: bool = False

    async def send(self, delta: Delta) -> None:
        if not self.guarded and not self.races:
            self.sent = True
            await self.emit(delta)
            return
        if isinstance(delta, TurnRestarted):
            self.held.clear()
            if not self.sent:
                return
        self.held.append(delta)

    async def passed(self) -> None:
        """Send the deltas held back for the racing guardrails, after these let the input pass."""
        if not self.guarded:
            await self._let_go()
        self.races = False

    async def settle(self, written: ModelResponse | None, response: ModelResponse) -> None:
        """Send the held deltas. If a hook changed the response, take back the sent deltas and send new ones."""
        if written is None or not _reads_alike(written, response):
            self.held = deque(_make_deltas(response))
            if self.sent:
                self.held.appendleft(TurnRestarted("a hook changed the answer"))
        await self._let_go()

    async def _let_go(self) -> None:
        # Deltas that arrive during `emit` join the queue, so the order holds.
        while self.held:
            self.sent = True
            await self.emit(self.held.popleft())


def _reads_alike(written: ModelResponse, response: ModelResponse) -> bool:
    same = written.content == response.content and written.reasoning == response.reasoning
    return same and list(written.tool_calls) == list(response.tool_calls)


def _make_deltas(response: ModelResponse) -> Iterator[Delta]:
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


async def ask_model(job: Job, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
    """Ask the model within the limits of model calls and time; check, price and count its response."""
    resolved = job.resolved
    model, limit, limits = resolved.model, resolved.model_calls, resolved.limits
    if not limit.try_acquire():
        await wait_for_place(limit, limits.queue_timeout)
    try:
        if limits.model_timeout is None and limits.idle_timeout is None:
            response = await model.respond(request, emit)
        else:
            response = await _ask_in_time(job, request, emit)
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise ModelError(f"the model {model.name} failed: {named(exc)}", provider=model.name) from exc
    finally:
        limit.release()
    # The usual response passes by its types alone; the full check runs only for an unusual one.
    usual = type(response) is ModelResponse and type(response.content) is str and type(response.usage) is Usage
    if not (usual and (not response.tool_calls or _is_call_sequence(response.tool_calls))) and (
        problem := _find_fault(response)
    ):
        raise ModelError(f"the model {model.name} returned {problem}", provider=model.name, hint=_RESPONSE_HINT)
    if resolved.profile.price is not None and not response.usage.cost:
        cost = resolved.profile.price.of(response.usage)
        response = attrs.evolve(response, usage=attrs.evolve(response.usage, cost=cost))
    if job.budget is not None:
        job.budget.spend(response.usage)
    return response


async def ask_aside(job: Job, model: Model, request: ModelRequest) -> ModelResponse:
    """Ask a model beside the run's own turns, for a summary for example; without hooks, and nothing is streamed.

    The run pays for the response. Raises `ModelError` for an empty response, `LimitExceeded` for a spent budget.
    """
    if job.budget is not None:
        job.budget.check()
    replace = msgspec.structs.replace
    resolved = replace(job.resolved, model=model, profile=profile_of(model), form=None, hooks=None)
    response = await ask_in_turn(replace(job, resolved=resolved), request, aside=True)
    assert job.turns is not None
    job.turns.usage = job.turns.usage + response.usage
    return response


async def _ask_in_time(job: Job, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    model, limits = job.resolved.model, job.resolved.limits
    with ExitStack() as deadlines:
        if limits.model_timeout is not None:
            deadlines.enter_context(deadline(limits.model_timeout, "model_timeout", f"the model {model.name}"))
        if limits.idle_timeout is not None:
            idle, silent = limits.idle_timeout, f"the model {model.name}"
            scope = deadlines.enter_context(deadline(idle, "idle_timeout", silent, "was silent for more than"))
            emit = None if emit is None else functools.partial(_pass_and_restart, emit, scope, idle)
        return await model.respond(request, emit)


async def _pass_and_restart(emit: Emit, scope: trio.CancelScope, seconds: float, delta: Delta) -> None:
    """Pass the delta on, and restart the idle time after that."""
    # A slow reader blocks `emit`; the model is not silent then, so the clock stops.
    scope.deadline = math.inf
    await emit(delta)
    scope.deadline = trio.current_time() + seconds


async def wait_for_place(limit: Limiter, seconds: float | None) -> None:
    """Wait for a place of the limiter. Raises `DeadlineExceeded` after `seconds`."""
    if seconds is None:
        await limit.acquire()
        return
    with deadline(seconds, "queue_timeout", f"the wait for a place ({limit.name})"):
        await limit.acquire()


def _is_call_sequence(calls: object) -> bool:
    """Return whether a response's tool calls are a sequence of ToolCalls. A loop: a generator would cost a frame."""
    if not isinstance(calls, (tuple, list)):
        return not calls
    for call in calls:  # noqa: SIM110 - see the docstring
        if not isinstance(call, ToolCall):
            return False
    return True


def _find_fault(response: object) -> str:
    """Describe the first fault of a model's response, or return "". A plugin's mistake must not enter a history."""
    if not isinstance(response, ModelResponse):
        return f"{type(response).__name__}, not a ModelResponse"
    if not isinstance(response.content, str):
        return f"content that is {type(response.content).__name__}, not str"
    if not isinstance(response.usage, Usage):
        return f"usage that is {type(response.usage).__name__}, not Usage"
    return "" if _is_call_sequence(response.tool_calls) else "tool calls that are not ToolCalls"
