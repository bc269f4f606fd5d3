"""The operations of A2A on tasks, without a word about their forms on the wire.

A task is a stored run in the background of the server: it goes on without its client, in any worker, and the store has
the truth about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

import attrs
import trio

from agno_rt import Runnable
from agno_rt.run_store import ApprovalConflict, Entry, Resume, RunConflict, RunRecord
from agno_rt_serve.api.a2a.decisions import Decided, names_approval, read_decisions
from agno_rt_serve.api.a2a.follow import Followers, Tell
from agno_rt_serve.api.a2a.messages import read_input
from agno_rt_serve.api.a2a.push import PushNotifications
from agno_rt_serve.api.a2a.refusals import (
    INVALID_PARAMS,
    TASK_NOT_CANCELABLE,
    UNSUPPORTED_OPERATION,
    Refusal,
    unknown_task,
)
from agno_rt_serve.api.a2a.shapes import (
    TERMINAL,
    A2AMessage,
    A2ATask,
    CancelRequest,
    ConfigRequest,
    ConfigsRequest,
    GetRequest,
    ListRequest,
    PushConfig,
    PushConfigs,
    SendConfiguration,
    SendRequest,
    SubscribeRequest,
    TaskPage,
)
from agno_rt_serve.api.a2a.stream import state_of_end
from agno_rt_serve.api.a2a.tasks import Shown, Tasks, context_of
from agno_rt_serve.api.cursors import make_cursor, read_cursor
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.background import BackgroundRuns
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import admit, caller_of, payer_of, reach_of
from agno_rt_serve.auth.gate import check_own
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope, request_id

__all__ = ["Operations", "Peer"]

MOST_LISTED = 10_000
"""The most runs to look through for a list of tasks."""

CANCEL_SECONDS = 5.0
"""The seconds to wait for the end of a cancelled run."""

_USUAL_PAGE = 50


@attrs.frozen
class Peer:
    """The client of a request: its scope, the runnable of the path, the user that it names, and its version."""

    scope: Scope
    runnable: Runnable
    said: str | None = None
    version: str = "1.0"


@attrs.frozen
class _Begun:
    """A task that a message has begun or moved on; `after` is the last event before, None if the task still waits."""

    run: str
    after: int | None = 0


class Operations:
    """Carries out the operations of A2A."""

    def __init__(
        self, site: Site, background: BackgroundRuns, tasks: Tasks, push: PushNotifications, followers: Followers
    ) -> None:
        self._site = site
        self._background = background
        self._tasks = tasks
        self._push = push
        self._followers = followers

    async def send(self, peer: Peer, asked: SendRequest) -> A2ATask:
        """Begin or move on a task, and return it: at its end or pause, or at once if the client asks for that."""
        how = asked.configuration or SendConfiguration()
        begun = await self._take(peer, asked, how)
        if not how.return_immediately:
            await self._followers.wait_end(begun.run, begun.after or 0)
        record, entries = await self._site.run_store().load_run(begun.run)
        return await self._tasks.render(record, entries, Shown(how.history_length))

    async def stream(self, peer: Peer, asked: SendRequest, tell: Tell) -> None:
        """Begin or move on a task, and tell of it until its end or pause."""
        how = asked.configuration or SendConfiguration()
        begun = await self._take(peer, asked, how)
        await self._followers.follow(begun.run, tell, after=begun.after, history=how.history_length)

    async def subscribe(self, peer: Peer, asked: SubscribeRequest, tell: Tell) -> None:
        """Tell of a task until its end, also after pauses. Raises `Refusal` for a task that is over."""
        record, _ = await self._load(peer, asked.id)
        if state_of_end(record.status, record.code) in TERMINAL:
            hint = "GetTask has its result."
            raise Refusal(UNSUPPORTED_OPERATION, f"the task {record.id!r} is over", hint)
        with self._background.watching(record.id, await self._background.find_policy(record.id)):
            await self._followers.follow(record.id, tell, whole=True)

    async def get(self, peer: Peer, asked: GetRequest) -> A2ATask:
        """Return a task."""
        record, entries = await self._load(peer, asked.id)
        return await self._tasks.render(record, entries, Shown(asked.history_length))

    async def list_tasks(self, peer: Peer, asked: ListRequest) -> TaskPage:
        """Return a page of tasks, the last changed first."""
        check_own(caller_of(peer.scope))
        store, reach = self._site.run_store(), reach_of(peer.scope, peer.said)
        found = await store.runs(
            session=asked.context_id or None, user=reach.user, unowned=reach.unowned, limit=MOST_LISTED
        )
        mine = [each for each in found if _is_task(each, peer.runnable)]
        if asked.status is not None:
            mine = [each for each in mine if await self._is_in_state(each, asked.status)]
        if asked.status_timestamp_after is not None:
            since = asked.status_timestamp_after.timestamp()
            mine = [each for each in mine if each.updated_at >= since]
        after = None if not asked.page_token else _read_token(asked.page_token)
        rest = mine if after is None else [each for each in mine if (each.updated_at, each.id) < after]
        size = asked.page_size or _USUAL_PAGE
        page = rest[:size]
        token = make_cursor(page[-1].updated_at, page[-1].id) if len(rest) > size else ""
        shown = Shown(asked.history_length, artifacts=bool(asked.include_artifacts))
        tasks = [await self._render_listed(each, shown) for each in page]
        return TaskPage(tasks, token, size, len(mine))

    async def _render_listed(self, record: RunRecord, shown: Shown) -> A2ATask:
        entries: Sequence[Entry] = ()
        if shown.history != 0:
            _, entries = await self._site.run_store().load_run(record.id)
        return await self._tasks.render(record, entries, shown)

    async def _is_in_state(self, record: RunRecord, wanted: str) -> bool:
        if record.status != "paused":
            return state_of_end(record.status, record.code) == wanted
        return (await self._tasks.read_status(record)).state == wanted

    async def cancel(self, peer: Peer, asked: CancelRequest) -> A2ATask:
        """Cancel a task, and return it. Raises `Refusal` for a task that is over."""
        record, _ = await self._load(peer, asked.id, "run")
        if record.status not in ("running", "paused") or not await self._site.runtime.cancel(record.id):
            hint = "GetTask has its state."
            raise Refusal(TASK_NOT_CANCELABLE, f"the task {record.id!r} is over", hint)
        caller_of(peer.scope).note("run_cancelled", run=record.id)
        if record.status == "running":
            with trio.move_on_after(CANCEL_SECONDS):
                await self._followers.wait_end(record.id)
        else:
            await self._push.tell(record.id)  # nobody carries out a paused run, and so nobody tells of its end
        record, entries = await self._site.run_store().load_run(record.id)
        return await self._tasks.render(record, entries, Shown())

    async def create_config(self, peer: Peer, asked: PushConfig) -> PushConfig:
        """Keep an address to notify of the task."""
        await self._push.check(asked)
        record, _ = await self._load(peer, asked.task_id, "run")
        return await self._push.add(record.id, asked, peer.version)

    async def get_config(self, peer: Peer, asked: ConfigRequest) -> PushConfig:
        """Return an address to notify of the task."""
        self._push.require()
        record, _ = await self._load(peer, asked.task_id, "run")
        return await self._push.find(record.id, asked.id)

    async def list_configs(self, peer: Peer, asked: ConfigsRequest) -> PushConfigs:
        """Return the addresses to notify of the task."""
        self._push.require()
        record, _ = await self._load(peer, asked.task_id, "run")
        return PushConfigs(await self._push.list_all(record.id))

    async def delete_config(self, peer: Peer, asked: ConfigRequest) -> None:
        """Forget an address to notify of the task, if there is one."""
        self._push.require()
        record, _ = await self._load(peer, asked.task_id, "run")
        await self._push.remove(record.id, asked.id)

    async def _load(self, peer: Peer, task: str, action: str = "read") -> tuple[RunRecord, list[Entry]]:
        """Return a run of the runnable within reach. Raises `Refusal`, and `HttpError` 403 without the right."""
        check_own(caller_of(peer.scope))
        self._site.run_store()
        try:
            record, entries = await self._site.load_run(peer.scope, task, peer.said, action)
        except HttpError as exc:
            raise unknown_task(task) if exc.status == 404 else exc from exc
        if not _is_task(record, peer.runnable):
            raise unknown_task(task)
        return record, entries

    async def _take(self, peer: Peer, asked: SendRequest, how: SendConfiguration) -> _Begun:
        """Begin a task for the message, or hand the message to its task."""
        if asked.message.role != "ROLE_USER":
            raise Refusal(INVALID_PARAMS, "the message is not of role ROLE_USER", field="message.role")
        if how.task_push_notification_config is not None:
            await self._push.check(how.task_push_notification_config)
        if asked.message.task_id:
            return await self._continue(peer, asked.message, how)
        return await self._begin(peer, asked.message, how)

    async def _begin(self, peer: Peer, message: A2AMessage, how: SendConfiguration) -> _Begun:
        is_anonymous = caller_of(peer.scope).kind == "anonymous"
        context = message.context_id or None
        session = context if is_anonymous else context or str(uuid4())
        user = admit(peer.scope, peer.runnable, peer.said, session)
        given = read_input(message, self._site.accepts)
        logged = self._site.logged(peer.runnable)
        task = Task(logged, given, session, user, payer=payer_of(peer.scope))

        async def keep(run: str) -> None:
            await self._keep_config(run, how, peer.version)

        started = await self._background.start(task, request_id(peer.scope), detach=True, on_start=keep)
        return _Begun(started.run)

    async def _continue(self, peer: Peer, message: A2AMessage, how: SendConfiguration) -> _Begun:
        record, _ = await self._load(peer, message.task_id or "", "run")
        if message.context_id and message.context_id != context_of(record):
            problem = f"the task {record.id!r} is not of the context {message.context_id!r}"
            raise Refusal(INVALID_PARAMS, problem, "Leave contextId out.", "message.contextId")
        if state_of_end(record.status, record.code) in TERMINAL:
            hint = "Send the message with its contextId and without taskId: a new task goes on with the conversation."
            raise Refusal(UNSUPPORTED_OPERATION, f"the task {record.id!r} is over", hint)
        pending = await self._tasks.load_pending(record)
        # A decision that comes too late is refused: it must not reach the run's model as a message.
        is_decision = bool(pending) or names_approval(message)
        decided = read_decisions(message, pending) if is_decision else []
        given = None if is_decision else read_input(message, self._site.accepts)
        # A question of a run within is about the agent within, as over the server's own routes.
        for name in {record.agent, *(each.approval.agent for each in decided)} if decided else ():
            self._site.check(peer.scope, "decide", name)
        admit(peer.scope, peer.runnable, peer.said)
        await self._keep_config(record.id, how, peer.version)
        after = await self._followers.find_last(record)
        for each in decided:
            await self._decide(peer, each)
        if given is not None:
            await self._send_on(record.id, given)
        if record.status == "paused":
            # Looked at again: two clients may have answered a question each.
            if decided and await self._tasks.load_pending(record):
                return _Begun(record.id, None)
            await self._resume(peer, record)
        return _Begun(record.id, after)

    async def _resume(self, peer: Peer, record: RunRecord) -> None:
        user, session, payer = record.user, record.session, payer_of(peer.scope)
        task = Task(self._site.logged(peer.runnable), Resume(record.id), user=user, of_session=session, payer=payer)
        # Somebody else may resume the run at the same moment: it has the answer all the same.
        with suppress(RunConflict):
            await self._background.start(task, request_id(peer.scope), detach=True)

    async def _keep_config(self, run: str, how: SendConfiguration, version: str) -> None:
        if how.task_push_notification_config is not None:
            await self._push.add(run, how.task_push_notification_config, version)

    async def _send_on(self, run: str, given: object) -> None:
        try:
            await self._site.runtime.send(run, given)  # type: ignore[arg-type]  # an input of a run
        except RunConflict as exc:
            raise Refusal(UNSUPPORTED_OPERATION, f"the task {run!r} is over") from exc

    async def _decide(self, peer: Peer, decided: Decided) -> None:
        runtime, approval, by = self._site.runtime, decided.approval.id, caller_of(peer.scope).user
        try:
            if decided.decision == "approve":
                await runtime.approve(approval, decided.value, by=by)
            elif decided.decision == "deny":
                await runtime.deny(approval, decided.reason, by=by)
            else:
                await runtime.answer(approval, decided.value, by=by)
        except ApprovalConflict as exc:
            hint = "GetTask has the state of the task."
            raise Refusal(INVALID_PARAMS, "somebody has decided the approval already", hint) from exc
        run = decided.approval.run
        caller_of(peer.scope).note("approval_decided", approval=approval, run=run, decision=decided.decision, by=by)


def _is_task(record: RunRecord, runnable: Runnable) -> bool:
    """Return whether the run is a task of the runnable: not a run within another, nor a journal kept for a run."""
    return record.agent == runnable.name and record.parent is None and record.continued_by is None


def _read_token(text: str) -> tuple[float, str]:
    try:
        return read_cursor(text)
    except HttpError as exc:
        hint = "Send the nextPageToken of the page before."
        raise Refusal(INVALID_PARAMS, "the pageToken is not a place in the list", hint, "pageToken") from exc
