"""The events of stored runs, by their numbers: replayed, and followed as they happen, from any worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
import trio

from agno_rt import AgnoError, Event
from agno_rt.events import RunEnded
from agno_rt.messages import Usage
from agno_rt.run_store import LATE_SECONDS, MOST_APPROVALS, EventLog, tells_end
from agno_rt_serve import log
from agno_rt_serve.api.approvals import Shown
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.routing import WEBSOCKET, Answer, Doc, Route, path_value, read_query
from agno_rt_serve.api.run_format import RunAnswer, encode_event, server_sent_event
from agno_rt_serve.api.runner import STREAM_HEADERS
from agno_rt_serve.api.runs.background import BackgroundRuns
from agno_rt_serve.api.runs.within import EventsWithin
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Message, Receive, Scope, Send, header, respond

__all__ = ["RunEvents"]


_decode = msgspec.json.Decoder(Event).decode


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The number of the last event that the client has, and the run's user."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    user: str | None = None


_EVENTS = Doc(
    "follow_run",
    "Get the events of a run, from the first or after a number, and follow the run",
    (
        Answer(200, None, "The events, until the run is over or paused.", "text/event-stream"),
        Answer(204, None, "The run is over, and has no event after the number: do not connect again.", ""),
    ),
    query=EventsQuery,
    errors=(501,),
    headers={"Last-Event-ID": "The number of the last event that the client has, in place of `after`."},
    about="Any worker has the events. A run keeps them if its memory policy says `events`, or if the run began with "
    "`background`, `disconnect` or an `Idempotency-Key`. A client that connects again with the last number that it has "
    "gets each event once.",
)


_SOCKET = Doc("follow_run_socket", "Get the events of a run, each as a message", (), query=EventsQuery)


class RunEvents:
    """Streams the events of stored runs, and waits for the ends of runs in other processes."""

    def __init__(self, site: Site, background: BackgroundRuns, faults: Faults) -> None:
        self._site = site
        self._background = background
        self._faults = faults
        self._shown = Shown(site)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/runs/{id}/events", self._get, doc=_EVENTS),
            Route(WEBSOCKET, "/runs/{id}/events", self._follow, doc=_SOCKET),
        ]

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        run, after = await self._find(scope)
        given = header(scope, b"last-event-id")
        if given:
            after = _read_number(given)
        if await self._is_read(run, after):
            await respond(send, 204, [], b"")
            return
        with self._background.watching(run, await self._background.find_policy(run)):
            await self.stream(run, after, send)

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events as messages over a WebSocket, and close it after the last one."""
        run, after = await self._find(scope)
        policy = await self._background.find_policy(run)
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        with self._background.watching(run, policy):
            async with self._site.runtime.follow(run, after) as events:
                async for number, event in events:
                    text = encode_event(self._faults.event(event, None), {"id": number})
                    await send({"type": "websocket.send", "text": text.decode()})
        await send({"type": "websocket.close", "code": 1000})

    async def _find(self, scope: Scope) -> tuple[str, int]:
        asked = read_query(scope, EventsQuery)
        record, _ = await self._site.load_run(scope, path_value(scope, "id"), asked.user)
        self._site.event_log()
        return record.id, asked.after

    async def _is_read(self, run: str, after: int) -> bool:
        """Return whether the run is over, and the client has its last event."""
        events: EventLog = self._site.event_log()
        record, _ = await self._site.run_store().load_run(run)
        last = await events.find_last_event(run)
        if not 0 < last <= after:
            return False
        if record.status == "running":
            return bool(await self._site.runtime.find_stopped([record]))
        if record.updated_at < time.time() - LATE_SECONDS:
            return True
        try:
            return tells_end(_decode((await events.load_events(run, after=last - 1))[0][1]), record)
        except msgspec.MsgspecError:
            return False  # a newer version wrote the event: following it says so

    async def stream(self, run: str, after: int, send: Send, within: EventsWithin | None = None) -> None:
        """Send the events with numbers above `after` as server-sent events, until the run is over or paused.

        The events of runs within are sent in between.
        """
        async with self._site.runtime.follow(run, after) as events:
            await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
            if within is None:
                last = await self._send_events(run, events, send)
            else:
                last = await self._send_both(run, events, within, send)
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_events(self, run: str, events: AsyncIterator[tuple[int, Event]], send: Send) -> bytes:
        """Send the events; return what the stream ends with."""
        try:
            async for number, event in events:
                data = server_sent_event(number, self._faults.event(event, None))
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except AgnoError as error:
            log.write("error", "events cannot be read", run=run, error=error.full_text)
            return b": the events cannot be read; connect again with the last id\n\n"
        return b""

    async def _send_both(
        self, run: str, events: AsyncIterator[tuple[int, Event]], within: EventsWithin, send: Send
    ) -> bytes:
        turn = trio.Lock()  # one piece at a time

        async def send_in_turn(message: Message) -> None:
            async with turn:
                await send(message)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(within.send_all, send_in_turn)
                last = await self._send_events(run, self._end_last(run, events, within), send_in_turn)
                nursery.cancel_scope.cancel()
        finally:
            within.close()
        return last

    async def _end_last(
        self, run: str, events: AsyncIterator[tuple[int, Event]], within: EventsWithin
    ) -> AsyncIterator[tuple[int, Event]]:
        """Hold back the run's end until the events of runs within are sent: a client may stop reading at the end."""
        async for number, event in events:
            if isinstance(event, RunEnded):
                if (started := self._background.find(run)) is not None:
                    await started.read.wait()
                await within.finish()
            yield number, event

    async def wait_end(self, run: str) -> RunEnded | None:
        """Wait until a run of any process is over or paused. Return its last event, if the run has logged events."""
        last: Event | None = None
        async with self._site.runtime.follow(run) as events:
            async for _, event in events:
                last = event
        return last if isinstance(last, RunEnded) else None

    async def read_answer(self, run: str) -> RunAnswer:
        """Return the answer of a run that is over, from its record and events: without reasoning and typed output."""
        store = self._site.run_store()
        record, _ = await store.load_run(run)
        end = await self.wait_end(run)
        told = None if end is None else self._faults.event(end, None)
        error = told.error if isinstance(told, RunEnded) else None
        paused = record.status == "paused"
        approvals = await store.approvals(run=run, status="pending", limit=MOST_APPROVALS) if paused else []
        usage = Usage() if end is None else end.usage
        shown = self._shown.all(approvals) if paused else msgspec.UNSET
        return RunAnswer(run, record.status, record.content, "", None, record.session, usage, error, shown)


def _read_number(given: bytes) -> int:
    text = given.strip()
    if not text.isdigit() or len(text) > 16:
        hint = "Send the id of the last event that you have, a number, or leave the header out."
        raise HttpError(400, "invalid_query", "the Last-Event-ID is not the number of an event", hint)
    return int(text)
