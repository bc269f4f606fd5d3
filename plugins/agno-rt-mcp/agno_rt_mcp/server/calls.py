"""Calls of tools as runs: progress, cancellation, and pauses, in which the client asks its user.

A client of protocol 2026-07-28 gets the questions as the answer, with the run's id as the state, and calls again with
the user's answers: the paused run is stored, and any process on the same memory goes on with it. The state gives no
right: the run must be the caller's own, and of the called tool. Clients of the earlier protocol are asked in the middle
of the call.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import mcp_types as types
import trio
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from agno_rt import AgnoError, RunResult, Runtime
from agno_rt.access import Access
from agno_rt.errors import NotFound, UsageError
from agno_rt.events import ToolEnded
from agno_rt.run_store import MOST_APPROVALS, Approval, Entry, Resume, RunConflict, RunRecord, RunStore, unknown_run
from agno_rt.steps import read_steps
from agno_rt.tools import ToolArgumentError
from agno_rt_mcp.server.answers import RESUME, make_answer, make_error, make_paused, make_stored
from agno_rt_mcp.server.approvals import decide, describe, make_form
from agno_rt_mcp.server.exchange import Exchange
from agno_rt_mcp.server.offers import Offer, Offers

__all__ = ["Calls"]

ROUNDS = 20
"""The most rounds of questions in one call of the earlier protocol. Some clients answer without asking anybody."""

_TRIES = 5  # tries to resume a run that nobody goes on with, but that is not free
_FAREWELL = 5.0  # seconds to cancel a paused run whose call was cancelled


class Calls:
    """Answers calls of the offered tools. `local` is the access of a client over stdio."""

    def __init__(self, runtime: Runtime, offers: Offers, local: Access) -> None:
        self._runtime = runtime
        self._offers = offers
        self._local = local

    async def call(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Answer the call. Failures of runs are results for the client's model."""
        exchange = Exchange(context, self._local)
        return await self.answer_safely(exchange, lambda: self._answer(exchange, params))

    async def answer_safely(
        self, exchange: Exchange, work: Callable[[], Awaitable[Any]]
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Return the outcome of the work; a failure of a run is a result. The work ends with the client."""

        async def answer() -> Any:
            try:
                return await work()
            except ToolArgumentError as exc:
                return make_error(str(exc))
            except AgnoError as exc:
                run = None if exc.result is None else exc.result.run_id
                return make_error(exchange.access.describe(exc), run)
            except MCPError as exc:
                return exc

        found = await exchange.run(answer)
        if isinstance(found, MCPError):
            raise found
        return make_error("the call was cancelled: the client is gone") if found is None else found

    async def _answer(
        self, exchange: Exchange, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        offer = await self._offers.find(params.name, exchange.access)
        arguments = params.arguments or {}
        if offer is None and params.name == RESUME and exchange.access.can_return:
            return await self._resume(exchange, arguments)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        if params.request_state is not None and exchange.is_modern:
            return await self._go_on(exchange, offer, params.request_state, params.input_responses or {})
        text, session = offer.read(arguments)
        result, failed = await self._run(exchange, offer, text, session)
        return await self.settle_pauses(exchange, offer, result, failed)

    async def _resume(
        self, exchange: Exchange, arguments: Mapping[str, Any]
    ) -> types.CallToolResult | types.InputRequiredResult:
        run = arguments.get("run")
        if not isinstance(run, str):
            raise ToolArgumentError(f'The arguments of {RESUME} do not fit: write {{"run": "ID"}}.')
        record, offer = await self.find_offer(exchange, run)
        return await self.go_on(exchange, offer, record)

    async def _go_on(
        self, exchange: Exchange, offer: Offer, run: str, responses: Mapping[str, Any]
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Go on with a paused run, with the answers of the client's user."""
        wrong = MCPError(types.INVALID_PARAMS, "The requestState does not belong to this caller and tool")
        try:
            record, found = await self.find_offer(exchange, run)
        except NotFound as exc:
            raise wrong from exc
        if found.name != offer.name:
            raise wrong
        problem = await self.take_answers(exchange, offer, run, responses)
        if any(getattr(each, "action", None) == "cancel" for each in responses.values()):
            pending = await self.list_pending(record)
            if pending:
                can_return = exchange.access.can_return
                return make_paused(offer, run, pending, can_return=can_return, problem="Nobody has decided.")
        return await self.go_on(exchange, offer, record, problem)

    async def go_on(
        self, exchange: Exchange, offer: Offer, record: RunRecord, problem: str = ""
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Go on with a stored run, to its end or the next questions; return the answer of one that is completed."""
        if record.status == "completed":  # the client has not seen the answer: it asks again
            return make_stored(offer, record.id, record.content)
        found = await self._run_on(exchange, offer, record.id)
        if isinstance(found, types.CallToolResult):
            return found
        return await self.settle_pauses(exchange, offer, *found, problem)

    async def settle_pauses(
        self, exchange: Exchange, offer: Offer, result: RunResult, failed: bool, problem: str = ""
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Ask the client's user as long as the run is paused. Return the answer, or the questions."""
        rounds = 0
        while result.status == "paused":
            run, pending = result.run_id, result.approvals
            rounds += 1
            if not pending or rounds > ROUNDS or not self.may_ask(exchange, offer, pending):
                return make_paused(offer, run, pending, can_return=exchange.access.can_return, problem=problem)
            if exchange.is_modern:
                return types.InputRequiredResult(input_requests=make_requests(pending, problem), request_state=run)
            problem = await self._ask(exchange, result, problem)
            if problem == _DISMISSED:
                return make_paused(offer, run, pending, can_return=exchange.access.can_return, problem=problem)
            found = await self._run_on(exchange, offer, run)
            if isinstance(found, types.CallToolResult):
                return found
            result, failed = found
        return make_answer(offer, result, failed=failed)

    async def _run_on(
        self, exchange: Exchange, offer: Offer, run: str
    ) -> tuple[RunResult, bool] | types.CallToolResult:
        """Resume a run; wait for whoever goes on with the run already, and return the answer that is stored then."""
        for attempt in itertools.count():
            try:
                return await self._run(exchange, offer, Resume(run))
            except RunConflict:
                record = await self.find_run(exchange, run)
                if record.status == "completed":
                    return make_stored(offer, run, record.content)
                if record.status != "running" and attempt > _TRIES:
                    raise
            await trio.sleep(min(1.0, 0.05 * 2**attempt))
        raise AssertionError("the loop has no end")

    async def wait_for(self, exchange: Exchange, record: RunRecord) -> RunRecord:
        """Wait until nobody carries out the run; return the new record."""
        for attempt in itertools.count():
            if record.status != "running":
                break
            await trio.sleep(min(1.0, 0.05 * 2**attempt))
            record = await self.find_run(exchange, record.id)
        return record

    async def _run(
        self, exchange: Exchange, offer: Offer, input: str | Resume, session: str | None = None
    ) -> tuple[RunResult, bool]:
        """Run to the end or to a pause. Return the result, and whether the last call of a tool failed."""
        access = exchange.access
        user = offer.admit(access, session)
        if isinstance(input, Resume):
            user = None  # the run keeps its own user, whom `find_run` has compared
        busy: Literal["enqueue"] | None = None if session is None else "enqueue"
        failed, events = False, None
        try:
            async with self._runtime.stream(offer.runnable, input, session=session, user=user, busy=busy) as events:
                async for path, event in events.within():
                    if isinstance(event, ToolEnded) and not path:
                        failed = event.status == "failed"
                    await exchange.tell(path, event)
        finally:
            if events is not None and events.result is not None:
                access.settle(offer.runnable, events.result, session)
        result = events.result
        assert result is not None, "the stream is over"
        if result.status == "cancelled":
            raise UsageError("the run was cancelled", hint="Call the tool again.")
        return result, failed

    def may_ask(self, exchange: Exchange, offer: Offer, approvals: tuple[Approval, ...]) -> bool:
        """Return whether the client's user may decide all of the approvals, and can be asked."""
        known = self._runtime.runnables
        asked = [known.get(each.agent, offer.runnable) for each in approvals]
        return exchange.has_forms and all(exchange.access.may("decide", each) for each in asked)

    async def find_run(self, exchange: Exchange, run: str) -> RunRecord:
        """Return a stored run of the caller. Raises `NotFound` for any other run."""
        record, _ = await self._load_run(exchange, run)
        return record

    async def find_offer(self, exchange: Exchange, run: str) -> tuple[RunRecord, Offer]:
        """Return a stored run of the caller, and the tool that began the run.

        Raises `NotFound` for any other run, and for a tool that the caller may not call.
        """
        record, entries = await self._load_run(exchange, run)
        asked = read_steps(entries[:1], run)[0].content if entries else None
        offer = await self._offers.of_run(record.agent, asked or "", exchange.access)
        if offer is None:
            raise unknown_run(run)
        return record, offer

    async def _load_run(self, exchange: Exchange, run: str) -> tuple[RunRecord, list[Entry]]:
        memory = self._runtime.memory
        if not isinstance(memory, RunStore) or not exchange.access.can_return:
            raise unknown_run(run)
        record, entries = await memory.load_run(run)
        if not exchange.access.reaches(record.user):
            raise unknown_run(run)
        return record, entries

    async def list_pending(self, record: RunRecord) -> tuple[Approval, ...]:
        """Return the open approvals of a run, and of the runs within."""
        memory = self._runtime.memory
        assert isinstance(memory, RunStore), "the run is stored"
        found: list[Approval] = []
        known, level = {record.id}, [record.id]
        while level:
            for run in level:
                found += await memory.approvals(run=run, status="pending", limit=MOST_APPROVALS)
            within = await memory.runs_within(level)
            level = [each.id for each in within if each.status in ("paused", "running") and each.id not in known]
            known.update(level)
        return tuple(found)

    async def take_answers(
        self, exchange: Exchange, offer: Offer, run: str, responses: Mapping[str, Any], *, strict: bool = True
    ) -> str:
        """Decide approvals of the run by the user's answers. Return the fault of an answer that does not fit, or ""."""
        problem = ""
        for key, response in responses.items():
            if not isinstance(response, types.ElicitResult) or response.action == "cancel":
                continue
            try:
                approval = await self._runtime.approval(key)
            except NotFound:
                continue
            if not await self._belongs_to(approval, run) or not self.may_ask(exchange, offer, (approval,)):
                if not strict:
                    continue
                raise MCPError(types.INVALID_PARAMS, "An answer is not for a question of this call")
            try:
                await decide(self._runtime, approval, response.action, response.content, exchange.access.user)
            except UsageError as exc:
                problem = exc.full_text
        return problem

    async def _belongs_to(self, approval: Approval, run: str) -> bool:
        """Return whether the approval is of the run, or of a run within."""
        memory, place = self._runtime.memory, approval.run
        assert isinstance(memory, RunStore), "the run is stored"
        while place != run:
            record, _ = await memory.load_run(place)
            if record.parent is None:
                return False
            place = record.parent
        return True

    async def _ask(self, exchange: Exchange, result: RunResult, problem: str) -> str:
        """Ask each question, in the earlier protocol. Return the fault of an answer, `_DISMISSED`, or "".

        If the call is cancelled meanwhile, the run is cancelled, too: nobody else knows of it.
        """
        try:
            for approval in result.approvals:
                message = f"{problem}\n{describe(approval)}".strip()
                said = await exchange.elicit(message, make_form(approval))
                if said.action == "cancel":
                    return _DISMISSED
                await decide(self._runtime, approval, said.action, said.content, exchange.access.user)
        except UsageError as exc:
            return exc.full_text
        except trio.Cancelled:
            with trio.move_on_after(_FAREWELL, shield=True):
                await self._runtime.cancel(result.run_id)
            raise
        return ""


_DISMISSED = "Nobody has decided."


def make_requests(approvals: tuple[Approval, ...], problem: str = "") -> dict[str, Any]:
    """Return the approvals as requests to the client, by the approvals' ids."""
    return {
        each.id: types.ElicitRequest(
            params=types.ElicitRequestFormParams(
                message=f"{problem}\n{describe(each)}".strip(), requested_schema=make_form(each)
            )
        )
        for each in approvals
    }
