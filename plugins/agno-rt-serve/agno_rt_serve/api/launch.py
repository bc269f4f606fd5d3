"""The ways to answer a request for a run: whole, as a stream, or as a run that goes on without the client."""

from __future__ import annotations

import attrs
import msgspec

from agno_rt import RunResult
from agno_rt.events import Event
from agno_rt.run_store import Resume
from agno_rt_serve.api.approvals import Shown
from agno_rt_serve.api.routing import Answer
from agno_rt_serve.api.run_format import (
    LaunchOptions,
    RunAnswer,
    encode_answer,
    result_body,
    server_sent_event,
    server_sent_event_within,
)
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.background import BackgroundRuns, Policy, Started
from agno_rt_serve.api.runs.events import RunEvents
from agno_rt_serve.api.runs.idempotency import Ask, IdempotencyKeys, Kept
from agno_rt_serve.api.runs.webhooks import Webhooks
from agno_rt_serve.api.runs.within import EventsWithin
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import JSON, PROBLEM, Scope, Send, header, request_id, respond

__all__ = ["LAUNCH_HEADERS", "RUN_ANSWERS", "RUN_ERRORS", "Launcher", "Numbered"]


class StartedRun(msgspec.Struct):
    """A run that is stored, and goes on in the background."""

    run_id: str


RUN_ERRORS = (409, 422, 500, 501, 502, 504)
"""The statuses of a run that ended without an answer, and of options that the memory cannot honour."""

RUN_ANSWERS = (
    Answer(200, RunAnswer, "The run is completed, or paused: then `approvals` are open."),
    Answer(200, None, "With `Accept: text/event-stream`: the run's events.", "text/event-stream"),
    Answer(202, StartedRun, "With `background`: the run is stored, and `Location` leads to it."),
)
LAUNCH_HEADERS = {"Accept": "`text/event-stream` for the run's events as they happen."}


class Numbered:
    """Numbers the events of one stream, from 1."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, event: Event) -> bytes:
        self._number += 1
        return server_sent_event(self._number, event)

    def number_within(self, path: str, event: Event) -> bytes:
        """Return the event of a run within, with the path of its run."""
        self._number += 1
        return server_sent_event_within(self._number, path, event)


class Launcher:
    """Starts and resumes runs for requests."""

    def __init__(self, site: Site, background: BackgroundRuns, events: RunEvents, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._site = site
        self._background = background
        self._events = events
        self._keys = IdempotencyKeys(site.runtime)
        self._shown = Shown(site)

    async def answer(self, task: Task, options: LaunchOptions, scope: Scope, send: Send) -> None:
        """Answer with the run's result, or with its events if the client accepts them."""
        if options.background or options.disconnect not in (None, "cancel") or options.webhook is not None:
            await self.answer_stored(task, options, scope, send)
            return
        if b"text/event-stream" in header(scope, b"accept"):
            numbered = Numbered()
            if options.within:
                task = attrs.evolve(task, within=numbered.number_within)
            await self._site.runner.stream(task, send, numbered, lambda end: b"", request_id(scope))
        else:
            result = await self._site.runner.run(task)
            await respond(send, 200, JSON, self._encode_result(result, task))

    async def answer_stored(
        self, task: Task, options: LaunchOptions, scope: Scope, send: Send, ask: Ask | None = None
    ) -> None:
        """Answer by a run in the background of the server, which may go on without the client.

        With a key, `ask`, a repeated request gets the run of the first one.
        """
        if options.webhook is not None:
            await self._webhooks.check(options.webhook)
        is_stream = b"text/event-stream" in header(scope, b"accept")
        within = EventsWithin() if options.within and is_stream and not options.background else None
        put = None if within is None else within.put
        task = attrs.evolve(task, agent=self._site.logged(task.agent), webhook=options.webhook, within=put)
        # Who resumes a run has seen the events up to its pause.
        seen = await self._site.event_log().find_last_event(task.input.run_id) if isinstance(task.input, Resume) else 0
        policy = Policy.read(options.disconnect or ("cancel" if ask is None else "detach"))
        run = await self._find_or_start(task, policy, scope, ask)
        if options.background:
            headers = [*JSON, (b"location", f"/runs/{run.run}".encode())]
            await respond(send, 202, headers, msgspec.json.encode(StartedRun(run.run)))
            return
        with self._background.watching(run.run, policy):
            if is_stream:
                await self._events.stream(run.run, seen, send, within)
            else:
                status, body = await self._wait(run, task, ask)
                await respond(send, status, JSON if status < 400 else PROBLEM, body)

    async def _find_or_start(self, task: Task, policy: Policy, scope: Scope, ask: Ask | None) -> Started | Kept:
        async def keep(started: Started) -> None:
            if ask is not None:
                await self._keys.keep_answer(ask, started.run, *self._encode_end(started, task))

        async def start() -> Started:
            # A keyed run that its client leaves before it is known would be made twice: see `find_or_start`.
            detach = policy.detach and ask is None
            started = await self._background.start(task, request_id(scope), keep, detach=detach)
            if policy.grace is not None:
                await self._background.note_grace(started.run, policy.grace)
            if task.webhook is not None:
                await self._background.note_webhook(started.run, task.webhook)
            return started

        return await start() if ask is None else await self._keys.find_or_start(ask, start)

    async def _wait(self, run: Started | Kept, task: Task, ask: Ask | None) -> tuple[int, bytes]:
        """Wait for the end of the run. Return the answer: the same for each request with the same key."""
        known = run if isinstance(run, Started) else self._background.find(run.run)
        if known is not None:
            await known.over.wait()
            return self._encode_end(known, task)
        kept = run if isinstance(run, Kept) and run.status else await self._await_elsewhere(run.run, ask)
        if kept is not None and kept.status:
            return kept.status, kept.body.encode()
        return 200, encode_answer(await self._events.read_answer(run.run))

    async def _await_elsewhere(self, run: str, ask: Ask | None) -> Kept | None:
        """Wait for the end of a run in another process, and return the answer that it has kept, if any."""
        await self._events.wait_end(run)
        return None if ask is None else await self._keys.find(ask)

    def _encode_end(self, started: Started, task: Task) -> tuple[int, bytes]:
        end = started.end
        assert end is not None, "the run is over"
        return (end.status, error_body(end)) if isinstance(end, HttpError) else (200, self._encode_result(end, task))

    def _encode_result(self, result: RunResult, task: Task) -> bytes:
        approvals = self._shown.all(result.approvals) if result.status == "paused" else None
        return result_body(result, task.shown_session, approvals, self._site.runtime.citations(result))
