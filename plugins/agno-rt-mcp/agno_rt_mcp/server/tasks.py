"""Tasks: runs that go on while the client does something else, and asks for the outcome later.

In protocol 2025-11-25 a client asks for a task, and fetches the result in one long request. In 2026-07-28 tasks are an
extension: a call that takes long becomes a task if the client knows the extension. In both, the task's id is the run's,
and the state is that of the stored run: any process on the same memory answers. Source: SEP-1686 and SEP-2663.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import mcp_types as types
import trio
from mcp.server.context import CallNext, ServerRequestContext
from mcp.shared.exceptions import MCPError

from agno_rt import AgnoError, Runnable, RunResult, Runtime
from agno_rt.access import Access
from agno_rt.agent import memory_of
from agno_rt.errors import HookError, NotFound
from agno_rt.events import Event, ToolEnded
from agno_rt.failures import must_pass
from agno_rt.run_store import Resume, RunRecord, RunStore
from agno_rt.tools import ToolArgumentError
from agno_rt_mcp.server.answers import make_error, make_stored
from agno_rt_mcp.server.calls import Calls, make_requests
from agno_rt_mcp.server.exchange import Exchange
from agno_rt_mcp.server.offers import Offer, Offers

__all__ = ["EXTENSION", "Tasks"]

EXTENSION: Final = "io.modelcontextprotocol/tasks"
"""The name of the extension of protocol 2026-07-28."""

_POLL: Final = 1_000  # milliseconds between two questions of a client
_RELATED = "io.modelcontextprotocol/related-task"

_STATUS: Mapping[str, str] = {
    "running": "working",
    "paused": "input_required",
    "completed": "completed",
    "cancelled": "cancelled",
}
"""The status of a task by the run's. Other runs have failed: with a result that says so."""


class TaskParams(types.RequestParams):
    """The parameters of a request about a task."""

    task_id: str
    input_responses: types.InputResponses | None = None


@attrs.define(eq=False)
class _Begun:
    """A run in the background: `stored` is set once a client may be told of the run, `over` at the end.

    `tell` takes the events while the call waits; `failed` tells whether the last call of a tool failed.
    """

    tell: Callable[[str, Event], Awaitable[None]] | None = None
    failed: bool = False
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    stored: trio.Event = attrs.Factory(trio.Event)
    over: trio.Event = attrs.Factory(trio.Event)
    run: str = ""
    result: RunResult | None = None
    error: AgnoError | None = None


class Tasks:
    """The tasks of the offered tools. `live` has to run beside the requests.

    `seconds` is the time after which a call becomes a task.
    """

    def __init__(self, runtime: Runtime, offers: Offers, calls: Calls, local: Access, seconds: float) -> None:
        self._runtime = runtime
        self._offers = offers
        self._calls = calls
        self._local = local
        self._seconds = seconds
        self._nursery: trio.Nursery | None = None
        self._stored_forms: dict[str, Runnable] = {}

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the runs of tasks until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def intercept(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Answer a call as a task if the client asks for a task, or knows the extension. The SDK's middleware."""
        exchange = Exchange(ctx, self._local)
        offer = await self._choose(exchange)
        if offer is None:
            return await call_next(ctx)
        answer: Any = await self._calls.answer_safely(exchange, lambda: self._answer(exchange, offer))
        return answer if isinstance(answer, dict) else _dump(answer)

    async def _choose(self, exchange: Exchange) -> Offer | None:
        """Return the offer of a call that may become a task; None for any other request."""
        params = exchange.context.params or {}
        if exchange.context.method != "tools/call" or "requestState" in params or not exchange.access.can_return:
            return None
        if self._nursery is None or not isinstance(self._runtime.memory, RunStore):
            return None
        wants = _knows_tasks(exchange) if exchange.is_modern else isinstance(params.get("task"), dict)
        offer = await self._offers.find(str(params.get("name")), exchange.access) if wants else None
        return offer if offer is not None and _can_be_stored(offer.runnable) else None

    async def _answer(self, exchange: Exchange, offer: Offer) -> Any:
        assert self._nursery is not None, "a call is chosen while the tasks live"
        try:
            text, session = offer.read((exchange.context.params or {}).get("arguments") or {})
        except ToolArgumentError as exc:
            if exchange.is_modern:
                raise
            raise MCPError(types.INVALID_PARAMS, str(exc)) from exc  # who asked for a task takes no other result
        begun = _Begun(tell=exchange.tell)
        self._nursery.start_soon(self._carry_out, offer, text, session, exchange.access, begun)
        await self._wait(begun, self._seconds if exchange.is_modern else 0.0)
        if not begun.over.is_set() or (not exchange.is_modern and begun.run and await self._is_stored(begun.run)):
            return self._describe_new(await self._calls.find_run(exchange, begun.run), exchange)
        if begun.error is not None:
            raise begun.error
        if begun.result is None or begun.result.status == "cancelled":
            return make_error("the run was cancelled", begun.run)
        return await self._calls.settle_pauses(exchange, offer, begun.result, begun.failed)

    async def get(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """Return the task; in protocol 2026-07-28, with the result or with the open questions."""
        exchange, offer, record = await self._find(context, params.task_id)
        task = _describe(record, exchange)
        if not exchange.is_modern:
            return task
        if task["status"] == "input_required":
            pending = await self._calls.list_pending(record)
            task["inputRequests"] = _dump_requests(make_requests(pending))
        elif task["status"] == "completed":
            task["result"] = _dump(self._make_result(offer, record))
        return task | {"resultType": "complete"}

    async def result(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """Return the result of a task once there is one, and ask the client's user meanwhile. For 2025-11-25."""
        exchange, offer, record = await self._find(context, params.task_id)
        record = await self._calls.wait_for(exchange, record)
        answer: Any = self._make_result(offer, record)
        if record.status == "paused":
            answer = await self._calls.answer_safely(exchange, lambda: self._calls.go_on(exchange, offer, record))
        meta = {**(answer.meta or {}), _RELATED: {"taskId": record.id}}
        return _dump(answer.model_copy(update={"meta": meta}))

    async def update(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """Take the answers of the client's user, and go on with the run. For 2026-07-28."""
        exchange, offer, record = await self._find(context, params.task_id)
        await self._calls.take_answers(exchange, offer, record.id, params.input_responses or {}, strict=False)
        if not await self._calls.list_pending(record) and record.status == "paused" and self._nursery is not None:
            begun = _Begun()
            self._nursery.start_soon(self._carry_out, offer, Resume(record.id), None, exchange.access, begun)
            await begun.stored.wait()
        return {"resultType": "complete"}

    async def cancel(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        """Cancel the run of a task."""
        exchange, _, record = await self._find(context, params.task_id)
        if record.status not in ("running", "paused") and not exchange.is_modern:
            raise MCPError(types.INVALID_PARAMS, f"The task is over: {_describe(record, exchange)['status']}")
        await self._runtime.cancel(record.id)
        if exchange.is_modern:
            return {"resultType": "complete"}
        with trio.move_on_after(5):
            record = await self._calls.wait_for(exchange, record)
        return _describe(record, exchange) | {"status": "cancelled"}

    async def _wait(self, begun: _Begun, seconds: float) -> None:
        """Wait for the end of the run, or for the seconds and until the client may be told of a task.

        If the call is cancelled before, the run is cancelled, too.
        """
        try:
            with trio.move_on_after(seconds):
                await begun.over.wait()
            await begun.stored.wait()
        except BaseException:
            begun.scope.cancel()
            raise
        finally:
            begun.tell = None

    async def _carry_out(
        self, offer: Offer, given: str | Resume, session: str | None, access: Access, begun: _Begun
    ) -> None:
        """Carry out a run. Nothing but the end of the server ends this task with an exception."""
        events = None
        try:
            with begun.scope:
                user = offer.admit(access, session)
                user = None if isinstance(given, Resume) else user
                runnable = self._store(offer.runnable)
                async with self._runtime.stream(runnable, given, session=session, user=user) as events:
                    begun.run = events.run_id
                    async for path, event in events.within():
                        if isinstance(event, ToolEnded) and not path:
                            begun.failed = event.status == "failed"
                        if begun.tell is not None:
                            await begun.tell(path, event)
                        if not begun.stored.is_set() and await self._is_stored(events.run_id):
                            begun.stored.set()
        except BaseException as exc:
            if must_pass(exc):
                raise
            begun.error = exc if isinstance(exc, AgnoError) else _make_bug(exc)
        finally:
            begun.result = None if events is None else events.result
            if begun.result is not None:
                access.settle(offer.runnable, begun.result, session)
                begun.error = begun.error if begun.result.status in ("failed", "limited") else None
            begun.over.set()
            begun.stored.set()

    async def _is_stored(self, run: str) -> bool:
        memory = self._runtime.memory
        assert isinstance(memory, RunStore), "tasks need a store"
        try:
            await memory.load_run(run)
        except NotFound:
            return False
        return True

    def _store(self, runnable: Runnable) -> Runnable:
        """Return the runnable with a memory policy that stores its runs."""
        found = self._stored_forms.get(runnable.name)
        if found is None:
            changed: Any = runnable
            policy = attrs.evolve(memory_of(changed.memory), journal=True)
            found = self._stored_forms[runnable.name] = attrs.evolve(changed, memory=policy)
        return found

    async def _find(self, context: ServerRequestContext[Any, Any], run: str) -> tuple[Exchange, Offer, RunRecord]:
        """Return the run of a task of the caller. Raises the protocol's error for any other task."""
        exchange = Exchange(context, self._local)
        try:
            record, offer = await self._calls.find_offer(exchange, run)
        except NotFound as exc:
            raise MCPError(types.INVALID_PARAMS, "Unknown task") from exc
        return exchange, offer, record

    def _make_result(self, offer: Offer, record: RunRecord) -> types.CallToolResult:
        if record.status == "completed":
            return make_stored(offer, record.id, record.content)
        if record.status == "cancelled":
            return make_error("the run was cancelled", record.id)
        # The text of the error may be for the server's log alone.
        return make_error(f"the run failed: {record.code or 'error'}. The server's log says why.", record.id)

    def _describe_new(self, record: RunRecord, exchange: Exchange) -> dict[str, Any]:
        task = _describe(record, exchange)
        return task | {"resultType": "task"} if exchange.is_modern else {"task": task}


def _knows_tasks(exchange: Exchange) -> bool:
    known = exchange.context.session.client_capabilities
    return exchange.is_modern and known is not None and EXTENSION in (known.extensions or {})


def _can_be_stored(runnable: Runnable) -> bool:
    kind: Any = type(runnable)
    return attrs.has(kind) and any(field.name == "memory" and field.init for field in attrs.fields(kind))


def _describe(record: RunRecord, exchange: Exchange) -> dict[str, Any]:
    status = _STATUS.get(record.status, "completed" if exchange.is_modern else "failed")
    times = [datetime.fromtimestamp(each, UTC).isoformat() for each in (record.created_at, record.updated_at)]
    suffix = "Ms" if exchange.is_modern else ""
    return {
        "taskId": record.id,
        "status": status,
        "createdAt": times[0],
        "lastUpdatedAt": times[1],
        f"ttl{suffix}": None,  # the memory keeps the run
        f"pollInterval{suffix}": _POLL,
    }


def _dump(answer: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped


def _dump_requests(requests: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _dump(each) for key, each in requests.items()}


def _make_bug(exc: BaseException) -> AgnoError:
    return HookError(f"the run failed: {type(exc).__name__}", hook="mcp")
