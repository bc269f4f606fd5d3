"""Runs over a WebSocket: a run for each message with an input, its events as messages, and words to the run between."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import attrs
import msgspec
import trio

from agno_rt import AgnoError, Event, Runnable
from agno_rt.events import RunStarted
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.routing import WEBSOCKET, Doc, Route, decode_body, path_value
from agno_rt_serve.api.run_format import InputPart, LaunchOptions, RunBody, decode, encode_event, input_of, state_of
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.background import BackgroundRuns, Policy
from agno_rt_serve.api.runs.webhooks import Webhooks
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import admit, payer_of
from agno_rt_serve.errors import ErrorDetail, HttpError
from agno_rt_serve.http.asgi import Message, Receive, Scope, Send, request_id

__all__ = ["RunSockets"]


MOST_WAITING = 16
"""The most inputs of a connection that wait for their turn."""


class Steer(msgspec.Struct, forbid_unknown_fields=True):
    """A word to the run under way: a `message` with its input, a `stop`, or a `cancel`."""

    type: Literal["message", "stop", "cancel"]
    input: str | list[InputPart] | None = None
    when: Literal["next", "end"] = "next"
    at: Literal["model", "tools", "now"] = "tools"
    grace: float | None = None


class Problem(msgspec.Struct, tag="error", tag_field="type"):
    """An error: the request, or the word to the run, was refused. The connection stays open."""

    status: int
    error: ErrorDetail


class Started(msgspec.Struct, tag="started", tag_field="type"):
    """A run in the background is stored."""

    run_id: str


Sent: TypeAlias = Problem | Started


class RunSockets:
    """Answers WebSockets at the path of an agent's runs."""

    def __init__(self, site: Site, background: BackgroundRuns, faults: Faults, webhooks: Webhooks) -> None:
        self._site = site
        self._background = background
        self._faults = faults
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Return the route."""
        doc = Doc("run_socket", "Run an agent, a team or a workflow for each message, and steer the run", ())
        return [Route(WEBSOCKET, "/agents/{name}/runs", self._talk, doc=doc)]

    async def _talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        agent = self._site.project.runnable(path_value(scope, "name"))
        admit(scope, agent)
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        talk = _Talk(agent, _Wire(send))
        note, asked = trio.open_memory_channel[bytes](MOST_WAITING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._make_runs, talk, asked, scope)
            # Read here alone, so that no message is lost between two runs.
            while (text := _read_text(await receive())) is not None:
                if _is_word(text):
                    await self._steer(talk, text)
                else:
                    await note.send(text)
            nursery.cancel_scope.cancel()

    async def _make_runs(self, talk: _Talk, asked: trio.MemoryReceiveChannel[bytes], scope: Scope) -> None:
        """Make the runs of a connection, one after the other."""
        async for text in asked:
            try:
                await self._make_run(talk, decode(text), scope)
            except HttpError as error:
                await talk.wire.refuse(error)
            except AgnoError as error:
                await talk.wire.refuse(self._faults.describe(error, request_id(scope)))
            finally:
                talk.run = None

    async def _make_run(self, talk: _Talk, body: RunBody, scope: Scope) -> None:
        user = admit(scope, talk.agent, body.user, body.session)
        given, payer = input_of(body.input, self._site.accepts), payer_of(scope)
        task = Task(talk.agent, given, body.session, user, busy=body.busy, payer=payer)
        if body.state is not None:
            task = attrs.evolve(task, deps=state_of(body.state, talk.agent))
        talk.run = _Running(task, talk.wire)
        await self._carry_out(talk.run, body, scope)

    async def _carry_out(self, run: _Running, options: LaunchOptions, scope: Scope) -> None:
        request = request_id(scope)
        if options.webhook is not None:
            await self._webhooks.check(options.webhook)
        if not (options.background or options.webhook or options.disconnect not in (None, "cancel")):
            task = attrs.evolve(run.task, within=run.encode_within) if options.within else run.task
            await self._site.runner.stream(task, run.pass_on, run.encode, lambda end: b"", request)
            return
        policy = Policy.read(options.disconnect or "cancel")
        task = attrs.evolve(run.task, agent=self._site.logged(run.task.agent), webhook=options.webhook)
        started = await self._background.start(task, request, detach=policy.detach)
        run.id = started.run
        if policy.grace is not None:
            await self._background.note_grace(started.run, policy.grace)
        if options.background:
            await run.wire.send(Started(started.run))
            return
        with self._background.watching(started.run, policy):
            async with self._site.runtime.follow(started.run) as events:
                async for number, event in events:
                    await run.wire.send_text(encode_event(self._faults.event(event, None), {"id": number}))

    async def _steer(self, talk: _Talk, text: bytes) -> None:
        """Hand a word on to the run; a word that is refused does not end the run."""
        try:
            word = decode_body(text, Steer)
            found = None if talk.run is None else self._site.runner.find_stream(talk.run.id)
            if found is None:
                raise HttpError(409, "run_conflict", "the run has not begun, or is over", "Wait for its first event.")
            if word.type == "cancel":
                found.stream.cancel()
            elif word.type == "stop":
                found.stream.stop(word.at, grace=word.grace)
            elif word.input is None:
                raise HttpError(
                    400, "invalid_body", "the message has no input", 'Send {"type": "message", "input": ...}.'
                )
            else:
                found.stream.send(input_of(word.input, self._site.accepts), word.when)
        except HttpError as error:
            await talk.wire.refuse(error)
        except AgnoError as error:
            await talk.wire.refuse(self._faults.describe(error, ""))


class _Wire:
    """Sends messages of one connection, one after the other."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = trio.Lock()

    async def send(self, message: Sent) -> None:
        """Send the message as JSON."""
        await self.send_text(msgspec.json.encode(message))

    async def send_text(self, text: bytes) -> None:
        """Send JSON."""
        async with self._turn:
            await self._send({"type": "websocket.send", "text": text.decode()})

    async def refuse(self, error: HttpError) -> None:
        """Send the error."""
        told = ErrorDetail(error.code, error.message, error.hint, error.run_id or msgspec.UNSET)
        await self.send(Problem(error.status, told))


class _Running:
    """A run of a connection: numbers the events, and knows the run's id from its first event."""

    def __init__(self, task: Task, wire: _Wire) -> None:
        self.task = task
        self.wire = wire
        self.id = ""
        self._number = 0

    def encode(self, event: Event) -> bytes:
        """Return the event as JSON with its number."""
        if not self.id and isinstance(event, RunStarted):
            self.id = event.run_id
        self._number += 1
        return encode_event(event, {"id": self._number})

    def encode_within(self, path: str, event: Event) -> bytes:
        """Return the event of a run within, with the path of its run."""
        self._number += 1
        return encode_event(event, {"id": self._number, "path": path})

    async def pass_on(self, message: Message) -> None:
        """Send a piece of an HTTP stream as a message of the connection."""
        if body := message.get("body"):
            await self.wire.send_text(body)


@attrs.define
class _Talk:
    """A connection: its agent, and the run under way."""

    agent: Runnable
    wire: _Wire
    run: _Running | None = None


class _Kind(msgspec.Struct):
    type: str | None = None


def _is_word(text: bytes) -> bool:
    """Return whether the message is a word to the run under way: only words have a `type`."""
    try:
        return msgspec.json.decode(text, type=_Kind).type is not None
    except msgspec.MsgspecError:
        return False


def _read_text(message: Message) -> bytes | None:
    """Return the client's message; None if the client left."""
    if message["type"] != "websocket.receive":
        return None
    given: Any = message.get("text")
    return given.encode() if given is not None else message.get("bytes") or b""
