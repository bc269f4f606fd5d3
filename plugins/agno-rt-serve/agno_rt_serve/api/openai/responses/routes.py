"""The routes of responses: to make a response, whole or as a stream, and for kept responses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import attrs
import msgspec

from agno_rt import Agent, AgnoError, Message, Runnable, RunResult
from agno_rt.events import Event
from agno_rt_serve.api.agents import tool_names
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.launch import RUN_ERRORS
from agno_rt_serve.api.openai import answers
from agno_rt_serve.api.openai.client_tools import ClientTools, add_tools, without_stand_in
from agno_rt_serve.api.openai.described import describe
from agno_rt_serve.api.openai.models import find_model
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.openai.responses import body
from agno_rt_serve.api.openai.responses.background import check_background, find_kept, is_under_way
from agno_rt_serve.api.openai.responses.items import Item, make_messages, place_items, read_input
from agno_rt_serve.api.openai.responses.resource import make_resource
from agno_rt_serve.api.openai.responses.store import Kept, ResponseStore
from agno_rt_serve.api.openai.responses.stream import ResponseEvents
from agno_rt_serve.api.openai.structured import is_typed, set_format
from agno_rt_serve.api.routing import Answer, Route, path_value, read_query
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.background import BackgroundRuns
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import Reach, admit, caller_of, payer_of, reach_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, json_body, request_id, respond
from agno_rt_serve.http.asgi import Message as Sent

__all__ = ["Responses"]


class _GetQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    include: str | None = None
    includes: str | None = msgspec.field(default=None, name="include[]")
    stream: bool | None = None
    starting_after: int | None = None
    include_obfuscation: bool | None = None


class _UserQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None


class _ItemsQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    include: str | None = None
    includes: str | None = msgspec.field(default=None, name="include[]")


class DeletedResponse(msgspec.Struct):
    """Word of a forgotten response."""

    id: str
    object: str = "response"
    deleted: bool = True


class ItemList(msgspec.Struct):
    """A page of items."""

    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


_ANY: Any = dict[str, Any]
_CREATE = describe(
    "create_response",
    "Make a response",
    (
        Answer(200, _ANY, "The response."),
        Answer(200, None, "With `stream`: the events of the response.", "text/event-stream"),
    ),
    body=body.ResponseBody,
    errors=(*RUN_ERRORS, 404),
)
_GET = describe("get_response", "Get a response", _ANY, _GetQuery)
_DELETE = describe("delete_response", "Forget a response", DeletedResponse, _UserQuery)
_CANCEL = describe("cancel_response", "Cancel a response", _ANY, _UserQuery)
_INPUT = describe("list_input_items", "List the items of a response's input", ItemList, _ItemsQuery)


@attrs.frozen
class _Making:
    """A response to make: run, events, and the parts to keep."""

    asked: body.ResponseBody
    task: Task
    events: ResponseEvents
    input: Sequence[Item]
    added: Sequence[Message]
    taken: ClientTools | None


class Responses:
    """Makes, shows, cancels and forgets responses."""

    def __init__(self, site: Site, background: BackgroundRuns) -> None:
        self._site = site
        self._background = background
        self._faults = Faults(show=site.settings.show_errors)
        self._under_way: dict[str, _Making] = {}

    def routes(self) -> list[Route]:
        """Return the routes; errors have OpenAI's shape."""
        shape = answers.error_body
        return [
            Route("POST", "/v1/responses", self._create, shape, _CREATE),
            Route("GET", "/v1/responses/{id}", self._get, shape, _GET),
            Route("DELETE", "/v1/responses/{id}", self._delete, shape, _DELETE),
            Route("POST", "/v1/responses/{id}/cancel", self._cancel, shape, _CANCEL),
            Route("GET", "/v1/responses/{id}/input_items", self._list_input, shape, _INPUT),
        ]

    @property
    def _store(self) -> ResponseStore:
        return ResponseStore(self._site.runtime.memory)

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        making = await self._prepare(scope, body.decode(await json_body(scope, receive)))
        if making.asked.background:
            await self._start(making, send, request_id(scope))
            return
        try:
            if making.asked.stream:
                await self._stream(making, send, request_id(scope))
                return
            resource = await self._make_whole(making, request_id(scope))
        finally:
            self._under_way.pop(making.events.resource["id"], None)
        await respond(send, 200, JSON, msgspec.json.encode(resource))

    async def _prepare(self, scope: Scope, asked: body.ResponseBody) -> _Making:
        agent = find_model(self._site, asked.model)
        user, created = admit(scope, agent, asked.user or None), int(time.time())
        resource = make_resource(asked, agent, created)
        before = []
        if asked.previous_response_id is not None:
            await self._find(asked.previous_response_id, Reach(user), "previous_response_id")
            before = await self._store.load_chain(asked.previous_response_id, Reach(user))
        # The run has no id yet, and two inputs of a conversation must not share ids.
        given = read_input(asked.input, f"{time.time_ns():x}")
        messages = make_messages([*before, *place_items(given)], self._site.accepts, asked.instructions)
        if asked.background:
            check_background(asked)
        agent, taken = self._equip(agent, asked)
        events = ResponseEvents(resource, hold=is_typed(agent), whole=not asked.stream)
        new = sum(item["type"] == "message" and item.get("role") == "user" for item in given)
        added = [message for message in messages if message.role == "user"][-new:] if new else []
        return _Making(asked, Task(agent, messages, user=user, payer=payer_of(scope)), events, given, added, taken)

    def _equip(self, agent: Runnable, asked: body.ResponseBody) -> tuple[Runnable, ClientTools | None]:
        """Return the runnable with the client's settings, tools and format, and the hook that takes the calls."""
        form, taken = body.read_format(asked), None
        if isinstance(agent, Agent):
            own = tool_names(agent, self._site) if asked.tools else set()
            agent, taken = add_tools(body.apply_settings(agent, asked), own, body.read_tools(asked))
        else:
            body.check_no_settings(asked, agent.kind)
        return agent if form is None else set_format(agent, form, taken, "text.format"), taken

    async def _start(self, making: _Making, send: Send, request: str) -> None:
        """Start the response in the background, and answer once the run is stored and the response kept."""
        task = attrs.evolve(making.task, agent=self._site.logged(making.task.agent))
        started = await self._background.start(task, request)
        resource = making.events.resource
        resource["id"] = f"resp_{started.run}"
        await self._keep(making)
        await respond(send, 200, JSON, msgspec.json.encode(resource))

    async def _make_whole(self, making: _Making, request: str) -> dict[str, Any]:
        """Run to the end and return the response object. Raises `HttpError` for a run without an answer."""
        ends: list[RunResult | HttpError] = []

        async def drop(message: Sent) -> None:
            pass

        def last(end: RunResult | HttpError) -> bytes:
            ends.append(end)
            return b""

        await self._site.runner.stream(making.task, drop, self._feeding(making), last, request)
        [end] = ends
        if isinstance(end, HttpError):
            raise end
        if end.status == "paused":
            raise answers.paused(end)
        self._finish(making, end)
        await self._keep(making)
        return making.events.resource

    async def _stream(self, making: _Making, send: Send, request: str) -> None:
        ends: list[RunResult | HttpError] = []

        def last(end: RunResult | HttpError) -> bytes:
            ends.append(end)
            return b""

        async def keep_and_send(message: Sent) -> None:
            # A client may go on from a response right after the last event, so the response is kept before.
            if ends:
                message = {**message, "body": await self._finish_stream(making, ends[0], request)}
            await send(message)

        await self._site.runner.stream(making.task, keep_and_send, self._feeding(making), last, request)

    def _feeding(self, making: _Making) -> Callable[[Event], bytes]:
        """Return a function to make the events of the response, and to note a response under way."""
        events = making.events

        def feed(event: Event) -> bytes:
            is_first = not events.run_id
            sent = events.feed(event)
            if is_first:
                self._under_way[events.resource["id"]] = making
            return sent

        return feed

    async def _finish_stream(self, making: _Making, end: RunResult | HttpError, request: str) -> bytes:
        """Return the last events, after the response is kept."""
        events, sent = making.events, b""
        if not isinstance(end, HttpError) and end.status == "paused":
            end = answers.paused(end)
        try:
            if isinstance(end, HttpError):
                raise end
            sent = self._finish(making, end)
            await self._keep(making)
        except HttpError as exc:
            return sent + events.fail(exc)
        except AgnoError as exc:
            return sent + events.fail(self._faults.describe(exc, request))
        return sent + events.end()

    def _finish(self, making: _Making, end: RunResult) -> bytes:
        calls = () if making.taken is None else making.taken.calls
        return making.events.finish_items(without_stand_in(end, making.taken), calls, int(time.time()))

    async def _keep(self, making: _Making) -> None:
        if not making.asked.is_stored:
            return
        resource = making.events.resource
        said = "".join(
            part["text"] for item in resource["output"] if item["type"] == "message" for part in item["content"]
        )
        messages = [*making.added, *([Message("assistant", said)] if said else [])]
        await self._store.save(Kept(resource, list(making.input)), messages, making.task.user)

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, _GetQuery)
        if asked.stream or asked.starting_after is not None:
            hint = "Ask for the response without `stream`; it is whole, or has the status in_progress."
            raise Refused("the events of a kept response are not kept", "stream", hint)
        caller_of(scope).check("read", "sessions")
        id_, reach = path_value(scope, "id"), reach_of(scope, asked.user)
        making = self._find_under_way(id_, reach)
        resource = (await self._find(id_, reach)).response if making is None else making.events.resource
        await respond(send, 200, JSON, msgspec.json.encode(resource))

    async def _delete(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).check("write", "sessions")
        id_ = path_value(scope, "id")
        await self._store.delete(id_, reach_of(scope, read_query(scope, _UserQuery).user))
        await respond(send, 200, JSON, msgspec.json.encode(DeletedResponse(id_)))

    async def _cancel(self, scope: Scope, receive: Receive, send: Send) -> None:
        id_, reach = path_value(scope, "id"), reach_of(scope, read_query(scope, _UserQuery).user)
        making = self._find_under_way(id_, reach)
        if making is None:
            await self._cancel_background(scope, send, id_, reach)
            return
        admit(scope, find_model(self._site, making.asked.model), making.task.user)
        if (streamed := self._site.runner.find_stream(making.events.run_id)) is not None:
            streamed.stream.cancel()
        resource = making.events.resource | {"status": "cancelled"}
        await respond(send, 200, JSON, msgspec.json.encode(resource))

    async def _cancel_background(self, scope: Scope, send: Send, id_: str, reach: Reach) -> None:
        kept = await self._find(id_, reach)
        if not is_under_way(kept):
            raise Refused(f"the response is {kept.response['status']} already", "response_id")
        admit(scope, find_model(self._site, kept.response["model"]), kept.response["user"])
        await self._site.runtime.cancel(id_.removeprefix("resp_"))
        kept = await self._find(id_, reach)
        shown = kept.response | ({"status": "cancelled"} if is_under_way(kept) else {})
        await respond(send, 200, JSON, msgspec.json.encode(shown))

    async def _find(self, id_: str, reach: Reach, param: str = "response_id") -> Kept:
        """Return a kept response, up to date. Raises `Refused` 404, whose `param` names the part of the request."""
        return await find_kept(self._site, self._store, id_, reach, param)

    async def _list_input(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).check("read", "sessions")
        asked = read_query(scope, _ItemsQuery)
        id_, reach = path_value(scope, "id"), reach_of(scope, asked.user)
        kept = await self._store.load(id_, reach)
        items = list(kept.input)
        if (previous := kept.response["previous_response_id"]) is not None:
            items = [item for _, item in await self._store.load_chain(previous, reach)] + items
        if asked.order == "desc":
            items.reverse()
        if asked.after is not None:
            places = [at for at, item in enumerate(items) if item["id"] == asked.after]
            if not places:
                raise Refused(f"there is no item {asked.after!r}", "after", "Send the `last_id` of the page before.")
            items = items[places[0] + 1 :]
        page = items[: asked.limit]
        first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        listed = ItemList(page, first, last, len(items) > len(page))
        await respond(send, 200, JSON, msgspec.json.encode(listed))

    def _find_under_way(self, id_: str, reach: Reach) -> _Making | None:
        making = self._under_way.get(id_)
        return making if making is not None and reach.has(making.task.user) else None
