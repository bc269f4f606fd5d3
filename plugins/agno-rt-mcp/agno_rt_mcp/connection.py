"""The connection to a server: one task opens the connection, lists the tools, and opens a lost connection again.

Runs call through the open connection from their own tasks. The SDK tells the server of a cancelled call.
"""

from __future__ import annotations

import functools
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import anyio
import attrs
import mcp_types
import trio
from mcp.client import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from agno_rt.context import RunContext
from agno_rt.errors import AgnoError
from agno_rt.events import ToolkitChanged
from agno_rt.failures import leaves, text_of
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.tools import Tool, ToolArgumentError
from agno_rt_mcp.errors import (
    LoginNeeded,
    ServerError,
    ServerLost,
    ServerNonsense,
    ServerRefused,
    ServerUnavailable,
    ToolFailed,
)
from agno_rt_mcp.explain import explain_loss, shorten
from agno_rt_mcp.http import open_http_streams
from agno_rt_mcp.link import Link
from agno_rt_mcp.lists import Lists
from agno_rt_mcp.process import open_process_streams
from agno_rt_mcp.prompts import get_prompt, make_prompt_tools
from agno_rt_mcp.questions import Answers, OpenCalls, ask_for_visits, ask_person
from agno_rt_mcp.resources import make_resource_tools
from agno_rt_mcp.results import describe, make_tools, read_result
from agno_rt_mcp.settings import ServerSettings

__all__ = ["Connection", "fetch_prompt", "open_connection", "open_server", "use_server"]

T = TypeVar("T")
News: TypeAlias = Sequence[Tool] | ToolkitChanged

log = logging.getLogger("agno_rt_mcp")
# The SDK logs tracebacks of faults that are errors of calls here. Without any handler they would be on stderr.
logging.getLogger("mcp").addHandler(logging.NullHandler())

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STEADY = 60.0
"""Seconds after which a connection counts as good: the next loss is the first one again."""

PATIENCE = 5.0
"""The most seconds for a call to wait for the next start of a lost server."""

IDLE_TTL = 60.0
"""The least seconds between lists of an unused server whose list does not hold as long. A call lists earlier."""

ROUNDS = 10
"""The most rounds of questions in one call."""

_UNREAD = 16  # lists and losses that wait for a reader
_GOODBYE = 2.0  # seconds for ending a session over HTTP
_REASON = 3.0  # seconds to wait for the reason of a loss


@asynccontextmanager
async def open_server(settings: ServerSettings) -> AsyncIterator[AsyncIterator[News]]:
    """Open a server, and yield the tools: a list at first, and a new list after each change, with losses in between.

    Raises a `ServerError` if the server cannot be opened, and later if the server is lost for good.
    """
    async with open_connection(settings) as (_, lists):
        yield lists


@asynccontextmanager
async def open_connection(settings: ServerSettings) -> AsyncIterator[tuple[Connection, AsyncIterator[News]]]:
    """Open a server as `open_server`, and yield the connection, too. The first list tells that it is open."""
    sent, received = trio.open_memory_channel[News](_UNREAD)
    connection = Connection(settings, sent)
    async with trio.open_nursery() as nursery, received:
        nursery.start_soon(connection.hold)
        yield connection, received
        connection.leave()


async def use_server(settings: ServerSettings, use: Callable[[Connection], Awaitable[T]]) -> T:
    """Open the server, and return the result of `use`. Raises the one error of several tasks."""
    try:
        async with open_connection(settings) as (connection, lists):
            await anext(aiter(lists))
            return await use(connection)
    except BaseExceptionGroup as group:
        for each in leaves(group):
            if isinstance(each, AgnoError | ToolArgumentError):
                raise each from None
        raise


async def fetch_prompt(settings: ServerSettings, name: str, arguments: Mapping[str, str]) -> list[Message]:
    """Open the server, and return the messages of a prompt. Raises `ServerError`."""
    return await use_server(settings, lambda connection: get_prompt(settings, connection.using, name, arguments))


class Connection:
    """A server, open or about to be opened again, owned by the task `hold`."""

    def __init__(self, settings: ServerSettings, published: trio.MemorySendChannel[News]) -> None:
        self.settings = settings
        self.tools: Sequence[Tool] = ()
        self._published = published
        self._client: Client | None = None
        self._link = Link()
        self._listed: list[Any] | None = None
        self._lists = Lists(settings)
        self._listed_until = math.inf
        self._leaving = trio.Event()
        self._news = trio.Event()  # set and replaced when the state changes
        self._stale = trio.Event()
        self._failure: ServerError | None = None
        self._next_start = 0.0
        self._failed_starts = 0
        self._calls: set[trio.CancelScope] = set()
        self._asked = OpenCalls()

    def leave(self) -> None:
        """Tell the owner to close the connection."""
        self._leaving.set()

    async def hold(self) -> None:
        """Keep the server open until `leave`. Raises a `ServerError` for a server out of reach."""
        delay, failures = FIRST_DELAY, 0
        while not self._leaving.is_set():
            began = trio.current_time()
            failure = await self._open_once()
            if failure is None or self._leaving.is_set():
                return
            if trio.current_time() - began >= STEADY:
                delay, failures = FIRST_DELAY, 0
            failures += 1
            # A login needs a person: the next run tries again.
            if self._listed is None or failures > self.settings.restarts or isinstance(failure, LoginNeeded):
                self._next_start = math.inf
                self._tell()
                raise failure
            # Servers that were lost together do not come back at the same moment.
            wait = delay * random.uniform(0.5, 1.0)
            delay = min(2 * delay, LONGEST_DELAY)
            self._failure, self._next_start = failure, trio.current_time() + wait
            self._tell()
            log.warning("%s; it is opened again in %.1f s", failure, wait)
            self._tell_observers("lost", error=failure.message, retry_in=round(wait, 3))
            with trio.move_on_after(wait):
                await self._leaving.wait()

    async def _open_once(self) -> ServerError | None:
        """Open the server and serve calls until it is lost; return why. Returns None after `leave`."""
        link = Link()
        scope = trio.CancelScope(deadline=trio.current_time() + self.settings.connect_timeout)
        try:
            with scope:
                async with self._make_client(link) as client:
                    self._lists.forget()
                    await self._list_tools(client)
                    scope.deadline = math.inf
                    if self._failure is not None:
                        self._tell_observers("opened", tools=len(self.tools))
                    self._client, self._link, self._failure = client, link, None
                    self._tell()
                    try:
                        await self._serve(client, link)
                    finally:
                        self._client = None
                        scope.deadline = trio.current_time() + _GOODBYE + 2 * self.settings.grace
        except Exception as exc:
            failure: ServerError | None = explain_loss(self.settings.name, exc, link)
        else:
            failure = link.failure
            if failure is None and scope.cancelled_caught and not self._leaving.is_set():
                seconds = self.settings.connect_timeout
                hint = "Is it an MCP server? A larger connect_timeout gives a slow one more time."
                failure = ServerUnavailable(self.settings.name, f"did not answer within {seconds:g} s", hint=hint)
        self._failure = failure
        self._failed_starts += self._link is not link
        link.lost.set()
        self._tell()
        for call in list(self._calls):
            call.cancel()
        return failure

    def _make_client(self, link: Link) -> Client:
        opening = open_http_streams if self.settings.url else open_process_streams
        return Client(
            opening(self.settings, link),
            mode=self.settings.protocol,
            message_handler=self._hear,
            client_info=mcp_types.Implementation(name="agno_rt", version="0.1.0"),
            cache=None,
            elicitation_callback=self._asked.answer,
        )

    async def _serve(self, client: Client, link: Link) -> None:
        async with trio.open_nursery() as nursery:
            self._asked.nursery = nursery
            nursery.start_soon(self._follow_changes, client)
            nursery.start_soon(self._listen, client)
            nursery.start_soon(self._wait_for_end, link, nursery.cancel_scope)

    async def _wait_for_end(self, link: Link, scope: trio.CancelScope) -> None:
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait, link.lost)
            nursery.start_soon(wait, self._leaving)
        scope.cancel()

    async def _hear(self, message: Any) -> None:
        """Note a changed list. All other notifications are ignored."""
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._stale.set()
        elif isinstance(message, mcp_types.PromptListChangedNotification | mcp_types.ResourceListChangedNotification):
            self._lists.forget()

    async def _listen(self, client: Client) -> None:
        """Ask a server of the later protocol to tell of changes. Earlier ones tell unasked."""
        wanted = _list_wanted_changes(client, self.settings)
        if not any(wanted.values()):
            return
        delay = FIRST_DELAY
        while True:
            try:
                async with client.listen(**wanted) as changes:
                    async for change in changes:
                        if isinstance(change, ToolsListChanged):
                            self._stale.set()
                        else:
                            self._lists.forget()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost, TimeoutError):
                pass
            await trio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
            # Changes may have been missed.
            self._stale.set()
            self._lists.forget()

    async def _follow_changes(self, client: Client) -> None:
        """List the tools anew after a change, and when the server's TTL is over.

        The pause bounds a server with a change all the time. A call lists anew, too: see `using`.
        """
        while True:
            left = self._listed_until - trio.current_time()
            with trio.move_on_after(max(left, IDLE_TTL) if left < math.inf else math.inf):
                await self._stale.wait()
            self._stale = trio.Event()
            try:
                with trio.fail_after(self.settings.connect_timeout):
                    await self._list_tools(client)
            except (MCPError, ServerError, ValidationError, trio.TooSlowError) as exc:
                log.warning("the tools of %r cannot be listed anew, and stay: %s", self.settings.name, text_of(exc))
            await trio.sleep(FIRST_DELAY)

    async def _list_tools(self, client: Client) -> None:
        """List all pages and publish changed tools. Raises `ServerNonsense` for endless pages."""
        name = self.settings.name
        found: dict[str, Any] = {}
        if client.server_capabilities.tools is not None:
            entries, seconds = await self._lists.list_pages("tools", client.list_tools)
            self._listed_until = trio.current_time() + seconds if seconds else math.inf
            for each in entries:
                found.setdefault(each.name, each)
        client.session.validate_tool_result = _accept_all  # type: ignore[method-assign]  # see `_check`
        listed = list(found.values())
        if listed != self._listed:
            self._listed = listed
            if missing := [each for each in self.settings.allow if each not in found]:
                log.warning("the MCP server %r has no tool %s, which is allowed", name, ", ".join(map(repr, missing)))
            self.tools = make_tools(self.settings, listed, self.call)
            if self.settings.prompts and client.server_capabilities.prompts is not None:
                self.tools = [*self.tools, *make_prompt_tools(self.settings, self.using)]
            if self.settings.resources and client.server_capabilities.resources is not None:
                self.tools = [*self.tools, *make_resource_tools(self.settings, self.using)]
            await self._published.send(self.tools)

    def _tell_observers(self, state: Any, **more: Any) -> None:
        # Outside of a runtime, nobody may read.
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            self._published.send_nowait(ToolkitChanged(self.settings.name, state, **more))

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    @asynccontextmanager
    async def using(self, what: str) -> AsyncIterator[tuple[Client, Lists]]:
        """Yield the open client and its lists for one request. Raises `ServerError`; `what` names it in errors."""
        client = await self._wait_for_client()
        link = self._link
        if trio.current_time() >= self._listed_until:
            self._stale.set()
        try:
            with trio.CancelScope() as scope:
                self._calls.add(scope)
                try:
                    yield client, self._lists
                finally:
                    self._calls.discard(scope)
        except MCPError as exc:
            raise await self._explain_call(exc, link) from exc
        except ValidationError as exc:
            problem = f"answered {what} with something that is not a result: {shorten(exc)}"
            raise ServerNonsense(self.settings.name, problem) from exc
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as exc:
            raise await self._find_loss(link) from exc
        if scope.cancelled_caught:
            raise await self._find_loss(link)

    async def call(self, name: str, arguments: dict[str, Any], context: RunContext[Any] | None = None) -> Any:
        """Call a tool by the server's name, and return the result for the model. Raises `ServerError`, `ToolFailed`."""
        async with self.using(name) as (client, _):
            result = await self._call_and_ask(client, name, arguments, context)
            return result if isinstance(result, RunResult) else await self._check(client, name, result)

    async def _call_and_ask(
        self, client: Client, name: str, arguments: dict[str, Any], context: RunContext[Any] | None
    ) -> Any:
        """Call the tool, ask a person the server's questions, and call again with the answers.

        Returns the tool's result, or the result of a run that waits for the person.
        """
        answers, spare_state = Answers({}), None
        progress = None if context is None else _Progress(context)
        # The earlier protocol asks in the open call.
        may_ask = context is not None and self.settings.questions and not _is_later(client)
        for _ in range(ROUNDS):
            send = functools.partial(
                client.session.call_tool,
                name,
                arguments,
                progress_callback=progress,
                input_responses=answers.responses or None,
                request_state=answers.state,
                allow_input_required=True,
            )
            try:
                result = await (self._asked.run(context, name, send) if may_ask and context is not None else send())
            except MCPError as exc:
                if exc.error.code == mcp_types.INVALID_PARAMS and spare_state is not None:
                    # The stored state is too old, or of a server that has started again since.
                    answers, spare_state = attrs.evolve(answers, state=spare_state), None
                    continue
                if exc.error.code != mcp_types.URL_ELICITATION_REQUIRED:
                    raise
                done = await ask_for_visits(context if self.settings.questions else None, name, exc.error.data)
                if isinstance(done, RunResult):
                    return done
                if not done:
                    raise
                continue
            if not isinstance(result, mcp_types.InputRequiredResult):
                return result
            asker = context if self.settings.questions else None
            answered = await ask_person(asker, name, result, arguments)
            if isinstance(answered, RunResult):
                return answered
            answers = answered
            spare_state = result.request_state if result.request_state != answers.state else None
        raise ServerNonsense(self.settings.name, f"asks again and again before {name}: {ROUNDS} times")

    async def _check(self, client: Client, name: str, result: Any) -> Any:
        """Return the result as content. A result outside of the tool's schema is a failure with the result's text."""
        content = read_result(result)
        try:
            # The SDK would check within the call, and lose the text.
            await type(client.session).validate_tool_result(client.session, name, result)
        except RuntimeError as exc:
            text = describe(content if isinstance(content, list) else [content])
            raise ToolFailed(f"{text}\n(The result does not fit the schema of {name}: {shorten(exc)})") from exc
        return content

    async def _wait_for_client(self) -> Client:
        """Return the open client; wait a little for the next start. Raises `ServerUnavailable`."""
        before = self._failed_starts
        with trio.move_on_after(PATIENCE):
            while self._client is None or self._link.lost.is_set():
                is_late = self._failure is not None and self._next_start - trio.current_time() > PATIENCE
                if is_late or self._failed_starts > before:
                    break
                await self._news.wait()
        if self._client is not None and not self._link.lost.is_set():
            return self._client
        why = "" if self._failure is None else f": {self._failure.message}"
        hint = "It is opened again by itself, later each time."
        raise ServerUnavailable(self.settings.name, f"is not there now{why}", hint=hint)

    async def _explain_call(self, exc: MCPError, link: Link) -> ServerError:
        """Return the error of a call refused by the protocol, or lost with the connection."""
        name, code, message = self.settings.name, exc.error.code, exc.error.message
        if code == mcp_types.CONNECTION_CLOSED:
            return await self._find_loss(link)
        if code == mcp_types.PARSE_ERROR:
            return ServerNonsense(name, f"answered with something that is not a message: {message}")
        if self.settings.url and code == mcp_types.INVALID_REQUEST and message == "Session terminated":
            link.lose(ServerLost(name, "has forgotten the session"))
            return ServerLost(name, "had forgotten the session, and did not make the call: it is opened anew")
        if code == mcp_types.INTERNAL_ERROR and link.status in (401, 403) and link.refusal is not None:
            return link.refusal
        # The SDK does not tell the status.
        status = f" (HTTP {link.status})" if link.status is not None and code == mcp_types.INTERNAL_ERROR else ""
        return ServerRefused(name, f"refused the call: {message} ({code}){status}", status=code)

    async def _find_loss(self, link: Link) -> ServerLost:
        """Return the error of a call on a lost connection, with the reason if known soon."""
        with trio.move_on_after(_REASON):
            while link.failure is None and not link.lost.is_set():
                await link.lost.wait()
        said = link.failure or self._failure
        why = f": {said.message}" if said is not None else ""
        hint = "The call may have been carried out. The server is opened again by itself."
        return ServerLost(self.settings.name, f"was lost during the call{why}", hint=hint)


class _Progress:
    """Reports a call's progress to the run. The SDK starts a task for each report: an overtaken report is dropped."""

    def __init__(self, context: RunContext[Any]) -> None:
        self._context = context
        self._last = -math.inf

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        if progress <= self._last:
            return
        self._last = progress
        said = {"progress": progress, "total": total, "message": message}
        await self._context.progress({key: value for key, value in said.items() if value is not None})


def _list_wanted_changes(client: Client, settings: ServerSettings) -> dict[str, Any]:
    """Return the kinds of changes to listen for: of lists in use, and only if the server tells of changes."""
    able = client.server_capabilities
    lists: dict[str, Any] = {"tools": able.tools}
    if settings.prompts:
        lists["prompts"] = able.prompts
    if settings.resources:
        lists["resources"] = able.resources
    return {f"{name}_list_changed": each is not None and bool(each.list_changed) for name, each in lists.items()}


def _is_later(client: Client) -> bool:
    return client.protocol_version in MODERN_PROTOCOL_VERSIONS


async def _accept_all(name: str, result: Any) -> None:
    """Check nothing: `Connection._check` does."""
