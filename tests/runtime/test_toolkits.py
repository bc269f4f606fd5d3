"""Toolkits that have to be opened: once, by one task, until the runtime closes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

import agno_rt
from agno_rt import Agent, Runnable, Runtime, Tool, ToolCall, Toolkit, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError, PluginError, ToolDefinitionError, UsageError
from agno_rt.events import Event, ToolkitChanged
from agno_rt.from_asyncio import AsyncioRuntime, to_asyncio
from agno_rt.plugins import PluginHost
from agno_rt.readiness import check_ready
from agno_rt.run_store import Resume
from agno_rt.testing import (
    CancelPoint,
    Faults,
    Pauses,
    ScriptedModel,
    cancel_everywhere,
    fail_everywhere,
    pause,
    run_schedules,
)
from tests.helpers import echo, told

MakePoint = Callable[..., EntryPoint]


@attrs.define(eq=False)
class Server:
    """A stand-in for a server, with a nursery for each connection. Notes what happens, and in which task."""

    name: str = "files"
    log: list[str] = attrs.Factory(list)
    tasks: list[trio.lowlevel.Task] = attrs.Factory(list)
    faults: list[BaseException] = attrs.Factory(list)
    open_now: int = 0
    opened: int = 0
    most: int = 0
    opening: float = 0
    closing: float = 0
    closing_error: Exception | None = None
    scope: trio.CancelScope | None = None
    lose: trio.Event = attrs.Factory(trio.Event)
    answers: Callable[[str], str] = str.upper
    tools: Sequence[Any] | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Sequence[Tool | Callable[..., Any]]]:
        """Connect, with a task that listens, and yield the tools."""
        self.tasks.append(trio.lowlevel.current_task())
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        try:
            await trio.sleep(self.opening)
            await pause()
            if self.faults:
                raise self.faults.pop(0)
            self.opened += 1
            self.log.append(f"{self.name} opened")
            number = self.opened

            @tool
            async def ask(text: str) -> str:
                """Ask the server."""
                await trio.lowlevel.checkpoint()
                if number != self.opened or not self.open_now:
                    raise ConnectionError("connection lost")
                return f"{self.answers(text)} {number}"

            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                self.scope = nursery.cancel_scope
                yield [ask] if self.tools is None else self.tools
                self.log.append(f"{self.name} closing")
                await trio.sleep(self.closing)
                nursery.cancel_scope.cancel()
                if self.closing_error is not None:
                    raise self.closing_error
        finally:
            self.open_now -= 1
            self.tasks.append(trio.lowlevel.current_task())
            self.log.append(f"{self.name} closed")

    async def _listen(self) -> None:
        await self.lose.wait()
        self.lose = trio.Event()
        raise ConnectionError("the server hung up")

    def kit(self) -> Toolkit:
        """Make a toolkit of the server."""
        return Toolkit(self.name, open=self.connect)


def asking(*texts: str, name: str = "ask") -> ScriptedModel:
    """A model that asks the tool once for each run, then says what it was told."""
    return ScriptedModel(lambda request: next_step(request, name, texts or ("hi",)))


def next_step(request: Any, name: str, texts: tuple[str, ...]) -> Any:
    """Call the tool with each text, or repeat its last result."""
    if request.messages[-1].role == "tool":
        return request.messages[-1].text
    return [ToolCall(f"c{number}", name, f'{{"text": "{text}"}}') for number, text in enumerate(texts)]


def numbered(number: int) -> Callable[[str], str]:
    """A function that adds the number to what it is asked."""

    def ask(text: str) -> str:
        """Ask."""
        return f"{text} {number}"

    return ask


def watch(told: list[ToolkitChanged]) -> Callable[[Event], None]:
    """An observer that keeps what is told of toolkits."""

    def observe(event: Event) -> None:
        if isinstance(event, ToolkitChanged):
            told.append(event)

    return observe


class TestToolkit:
    def test_stays_a_plain_value(self) -> None:
        """A toolkit with `open` is made without opening anything."""
        server = Server()
        kit = Toolkit("files", open=server.connect)
        assert (kit.name, kit.tools, server.log) == ("files", (), [])

    def test_has_tools_or_open_but_not_both(self) -> None:
        """The tools of a toolkit with `open` come from opening it."""
        with pytest.raises(ToolDefinitionError, match="toolkit 'files' has both tools and open"):
            Toolkit("files", [echo], open=Server().connect)
        with pytest.raises(ToolDefinitionError, match=r"open of toolkit 'files' is .*, not a function"):
            Toolkit("files", open=5)  # type: ignore[arg-type]  # the point of the test


class TestOpening:
    async def test_precedes_the_first_run_and_lasts_until_the_runtime_closes(self) -> None:
        """Two runs share one connection, which is closed after them, by the task that opened it."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            assert (await rt.run(agent, "x")).content == "HI 1"
            assert (await rt.run(agent, "x")).content == "HI 1"
            assert server.log == ["files opened"]
        assert server.log == ["files opened", "files closing", "files closed"]
        assert server.tasks[0] is server.tasks[1]
        assert server.tasks[0] is not trio.lowlevel.current_task()

    async def test_happens_once_for_agents_that_share_the_toolkit(self) -> None:
        """A toolkit is known by identity, whatever the sequence that it lies in."""
        server = Server()
        kit = server.kit()
        async with Runtime() as rt:
            same: list[Sequence[Tool | Toolkit]] = [(kit,), [kit], [kit, echo], (kit,)]
            for tools in same:
                assert (await rt.run(Agent(asking(), "a", tools=tools), "x")).content == "HI 1"
        assert server.opened == 1

    def test_happens_once_for_concurrent_first_runs(self) -> None:
        """Under any schedule, ten first runs wait for one opening."""

        async def scenario() -> None:
            server = Server(opening=1)
            agent = Agent(Pauses().model(asking()), "a", tools=(server.kit(),))
            async with Runtime() as rt, trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(rt.run, agent, "x")
            assert (server.opened, server.most, server.open_now) == (1, 1, 0)

        run_schedules(scenario, 50)

    async def test_of_several_toolkits_is_side_by_side(self, autojump_clock: MockClock) -> None:
        """Three servers that take a second each are open after one second."""
        servers = [Server(name, opening=1, tools=[tool(name=f"ask_{name}")(echo.function)]) for name in "abc"]
        agent = Agent(asking(name="ask_b"), "a", tools=[server.kit() for server in servers])
        began = trio.current_time()
        async with Runtime() as rt:
            assert (await rt.run(agent, "x")).content == "hi"
            assert trio.current_time() - began == 1

    @pytest.mark.parametrize("way", ["run", "stream", "start", "map", "open_tools", "resume"])
    async def test_precedes_every_kind_of_run(self, way: str) -> None:
        """Each way to run an agent opens its toolkits."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),), memory={"journal": True})
        memory = InProcessMemory()
        async with Runtime(memory=memory) as rt:
            if way == "run":
                result = await rt.run(agent, "x")
            elif way == "stream":
                async with rt.stream(agent, "x") as events:
                    async for _ in events:
                        pass
                assert events.result is not None
                result = events.result
            elif way == "start":
                result = await (await rt.start(agent, "x")).wait()
            elif way == "map":
                result = (await rt.map(agent, ["x", "y"]))[1]
            elif way == "open_tools":
                assert list(await rt.open_tools(agent)) == ["ask"] == list(rt.tools(agent))
                result = await rt.run(agent, "x")
            else:
                run = (await rt.run(agent, "x")).run_id
                forked = await rt.fork(run, 1)
                async with Runtime(memory=memory) as other:
                    result = await other.run(agent, Resume(forked))
                    assert result.content == "HI 2"
                    return
        assert result.content == "HI 1"

    async def test_of_a_nested_run_does_not_hold_the_run_around_it(self) -> None:
        """A toolkit opened for a run within a tool stays open for others, outside of that run and of its context."""
        color = contextvars.ContextVar("color", default="none")
        server = Server(answers=lambda text: f"{text} {color.get()}")
        inner = Agent(asking(), "inner", tools=(server.kit(),))

        async with Runtime() as rt:

            @tool
            async def delegate(text: str) -> str:
                """Ask another agent."""
                return (await rt.run(inner, text)).content

            outer = Agent(asking(name="delegate"), "outer", tools=(delegate,))
            deps = Server()
            kept = weakref.ref(deps)
            color.set("of the run")
            assert (await rt.run(outer, "x", deps=deps)).content == "hi of the run 1"
            del deps
            gc.collect()
            assert kept() is None
            color.set("none")
            assert (await rt.run(inner, "x")).content == "hi none 1"

    def test_works_from_synchronous_code(self) -> None:
        """`agno_rt.run` opens and closes what the agent needs."""
        server = Server()
        assert agno_rt.run(Agent(asking(), "a", tools=(server.kit(),)), "x").content == "HI 1"
        assert server.open_now == 0

    async def test_makes_tools_of_functions(self) -> None:
        """A toolkit may yield functions, as an agent may name them."""

        def ask(text: str) -> str:
            """Ask."""
            return f"function {text}"

        server = Server(tools=[ask])
        async with Runtime() as rt:
            assert (await rt.run(Agent(asking(), "a", tools=(server.kit(),)), "x")).content == "function hi"

    async def test_precedes_a_run_with_an_output_tool_and_tool_choice(self) -> None:
        """A tool choice is checked against the opened tools."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),), settings={"tool_choice": "ask"})
        async with Runtime() as rt:
            rt.check(agent)
            assert (await rt.run(agent, "x")).content == "HI 1"
            with pytest.raises(UsageError, match="unknown tool 'nope'"):
                await rt.run(attrs.evolve(agent, settings={"tool_choice": "nope"}), "x")


class TestBeforeOpening:
    async def test_an_agent_can_be_checked(self) -> None:
        """`check` opens nothing, and finds the other faults of the agent."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            rt.check(agent)
            wrong = Agent(agent.model, "a", tools=agent.tools, hooks=(5,))  # type: ignore[arg-type]  # the point
            with pytest.raises(UsageError, match=r"agent 'a': .*not a hook"):
                rt.check(wrong)
            with pytest.raises(UsageError, match="not a hook"):
                await rt.run(wrong, "x")
        assert server.log == []

    async def test_the_tools_are_not_known(self) -> None:
        """`tools` does not wait, so that it says how to open."""
        agent = Agent(asking(), "a", tools=(Server().kit(), echo))
        async with Runtime() as rt:
            with pytest.raises(UsageError, match=r"agent 'a': toolkits are not open yet.*'files'") as caught:
                rt.tools(agent)
        assert "open_tools(agent)" in caught.value.hint

    async def test_a_runtime_has_to_be_open(self) -> None:
        """A runtime that is closed opens no toolkit."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),))
        rt = Runtime()
        with pytest.raises(UsageError, match="this runtime is not open"):
            await rt.open_tools(agent)
        async with rt:
            pass
        with pytest.raises(UsageError, match="this runtime is not open"):
            await rt.open_tools(agent)
        assert server.log == []


class TestFailure:
    async def test_is_an_error_of_the_run_and_the_next_run_tries_again(self) -> None:
        """The error names the agent, the toolkit and the cause; nothing stays open."""
        server = Server(faults=[ConnectionRefusedError("port 99")])
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            text = "agent 'a': toolkit 'files' cannot be opened: ConnectionRefusedError: port 99"
            with pytest.raises(PluginError, match=text) as caught:
                await rt.run(agent, "x")
            assert caught.value.plugin == "files"
            assert "next run" in caught.value.hint
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert server.open_now == 0
            assert (await rt.run(agent, "x")).content == "HI 1"

    async def test_that_the_user_can_mend_keeps_its_class_and_hint(self) -> None:
        """A `UsageError` from opening stays one, with its remedy."""
        server = Server(faults=[UsageError("no key", hint="Set FILES_KEY.")])
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="toolkit 'files' cannot be opened: no key") as caught:
                await rt.run(Agent(asking(), "a", tools=(server.kit(),)), "x")
        assert caught.value.hint == "Set FILES_KEY."

    def test_reaches_all_who_wait(self) -> None:
        """Under any schedule, those who wait for one opening share its failure, each with an error of its own."""

        async def scenario() -> None:
            server = Server(opening=1, faults=[OSError("down")])
            agent = Agent(asking(), "a", tools=(server.kit(),))
            errors: list[BaseException] = []

            async def attempt(rt: Runtime) -> None:
                try:
                    await rt.run(agent, "x")
                except PluginError as exc:
                    errors.append(exc)

            async with Runtime() as rt:
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(attempt, rt)
                assert len(errors) == len(set(map(id, errors))) == 3
                assert (await rt.run(agent, "x")).content == "HI 1"

        run_schedules(scenario, 20)

    async def test_of_two_toolkits_is_told_of_both(self) -> None:
        """The second failure is a note of the first; what did open stays open."""
        servers = [Server("a", faults=[OSError("one")]), Server("b", faults=[OSError("two")]), Server("c")]
        async with Runtime() as rt:
            with pytest.raises(PluginError) as caught:
                await rt.run(Agent(asking(), "x", tools=[server.kit() for server in servers]), "x")
            told = "\n".join([str(caught.value), *caught.value.__notes__])
            assert "toolkit 'a'" in told
            assert "toolkit 'b'" in told
            assert servers[2].log == ["c opened"]

    @pytest.mark.parametrize(
        ("open_", "text"),
        [
            (lambda: 5, r"its open\(\) returned 5, not an async context manager"),
            (trio.lowlevel.checkpoint, r"its open\(\) returned <coroutine .*, not an async context manager"),
            (lambda: 1 / 0, "cannot be opened: ZeroDivisionError"),
            (lambda: Server(tools=5).connect(), "it yielded 5, not a sequence"),  # type: ignore[arg-type]  # the point
            (lambda: Server(tools="ask").connect(), "it yielded 'ask', not a sequence"),
            (lambda: Server(tools=[5]).connect(), "5 among its tools is not a tool"),
            (lambda: Server(tools=[echo, Tool]).connect(), "Tool'> among its tools is not a tool"),
        ],
    )
    async def test_of_a_wrong_open_says_what_is_wrong(self, open_: Callable[[], Any], text: str) -> None:
        """A wrong return value of `open` and a wrong yield are told."""
        async with Runtime() as rt:
            with pytest.raises(agno_rt.AgnoError, match=f"toolkit 'k' cannot be opened: .*{text}|{text}"):
                await rt.run(Agent(asking(), "a", tools=(Toolkit("k", open=open_),)), "x")

    async def test_by_two_tools_of_one_name_is_told(self) -> None:
        """Names are compared after opening."""
        kits = Server("a").kit(), Server("b").kit()
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="two tools of the agent are called 'ask'"):
                await rt.run(Agent(asking(), "a", tools=kits), "x")

    async def test_by_taking_too_long_is_bounded(self, autojump_clock: MockClock) -> None:
        """A server that never answers is given up after a minute, and the next run tries again."""
        server = Server(opening=1e6)
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            with pytest.raises(PluginError, match=r"cannot be opened: .*longer than 60 s"):
                await rt.run(agent, "x")
            assert trio.current_time() == pytest.approx(60)
            assert server.open_now == 0
            server.opening = 1
            assert (await rt.run(agent, "x")).content == "HI 1"


class TestCancellation:
    def test_anywhere_leaks_nothing(self) -> None:
        """A run cancelled at any step of opening leaves either an open toolkit or none, and the next run works."""

        async def scenario(point: CancelPoint) -> None:
            server = Server()
            agent = Agent(Pauses().model(asking()), "a", tools=(server.kit(),))
            async with Runtime() as rt:
                with point:
                    await rt.run(agent, "x")
                assert (await rt.run(agent, "x")).content == f"HI {server.opened}"
                assert (server.most, server.open_now) == (1, 1)
            assert server.open_now == 0

        cancel_everywhere(scenario, at_least=10)

    def test_of_the_runtime_closes_what_is_open(self) -> None:
        """A runtime cancelled at any step has closed its toolkits when it is left."""

        async def scenario(point: CancelPoint) -> None:
            server = Server()
            agent = Agent(asking(), "a", tools=(server.kit(),))
            with point:
                async with Runtime() as rt:
                    run = await rt.start(agent, "x")
                    await rt.run(agent, "x")
                    await run.wait()
            assert server.open_now == 0
            assert server.tasks[::2] == server.tasks[1::2]

        cancel_everywhere(scenario, at_least=10)

    async def test_of_one_who_waits_leaves_the_opening_to_the_others(self, autojump_clock: MockClock) -> None:
        """Two runs wait; the first, for which the opening began, is cancelled."""
        server = Server(opening=10)
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt, trio.open_nursery() as nursery:
            first = trio.CancelScope()

            async def cancelled() -> None:
                with first:
                    await rt.run(agent, "x")

            nursery.start_soon(cancelled)
            await wait_all_tasks_blocked()
            nursery.start_soon(rt.run, agent, "x")
            await trio.sleep(5)
            first.cancel()
            assert (await rt.run(agent, "x")).content == "HI 1"
            assert trio.current_time() == 10

    async def test_of_all_who_wait_cancels_the_opening(self, autojump_clock: MockClock) -> None:
        """Nobody waits any more, so that the next run opens anew, once the first opening is undone."""
        server = Server(opening=10)
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            with trio.move_on_after(5):
                await rt.run(agent, "x")
            assert (await rt.run(agent, "x")).content == "HI 1"
            assert (server.most, trio.current_time()) == (1, 15)


class TestLoss:
    async def test_is_mended_by_the_next_run(self) -> None:
        """A server that hangs up is connected to again; the old tools are not used."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            assert (await rt.run(agent, "x")).content == "HI 1"
            server.lose.set()
            await wait_all_tasks_blocked()
            assert server.open_now == 0
            assert (await rt.run(agent, "x")).content == "HI 2"
            assert (await rt.run(Agent(asking(), "b", tools=[*agent.tools]), "x")).content == "HI 2"
        assert server.most == 1

    async def test_without_an_error_is_mended_too(self) -> None:
        """A context manager may end by itself, as an idle connection does."""
        server = Server()
        agent = Agent(asking(), "a", tools=(server.kit(),))
        async with Runtime() as rt:
            await rt.run(agent, "x")
            assert server.scope is not None
            server.scope.cancel()
            await wait_all_tasks_blocked()
            assert (await rt.run(agent, "x")).content == "HI 2"

    async def test_fails_the_calls_of_runs_under_way(self) -> None:
        """A run whose toolkit is lost goes on, and its model is told of the failure."""
        server = Server()

        async def answer(request: Any) -> Any:
            if request.turn == 2:
                server.lose.set()
                await wait_all_tasks_blocked()
            return "done" if request.turn == 3 else [ToolCall(f"c{request.turn}", "ask", '{"text": "hi"}')]

        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel(answer), "a", tools=(server.kit(),)), "x")
        assert told(result)[0] == "HI 1"
        assert "connection lost" in told(result)[1]

    def test_at_any_time_is_mended(self) -> None:
        """Under any schedule, runs beside a server that hangs up end, and only one connection is open at a time."""

        async def scenario() -> None:
            server = Server()
            agent = Agent(Pauses().model(asking()), "a", tools=(server.kit(),))
            async with Runtime() as rt:
                async with trio.open_nursery() as nursery:
                    for _ in range(4):
                        nursery.start_soon(rt.run, agent, "x")
                    await pause()
                    server.lose.set()
                server.lose = trio.Event()
                assert (await rt.run(agent, "x")).content.startswith(("HI", "ask failed"))
                assert server.most == 1
                await wait_all_tasks_blocked()
            assert server.open_now == 0

        run_schedules(scenario, 50)

    async def test_over_and_over_ends(self) -> None:
        """A toolkit that is lost as soon as it is open does not keep a run busy for ever."""
        opened = 0

        @asynccontextmanager
        async def flaky() -> AsyncIterator[list[Tool]]:
            nonlocal opened
            opened += 1
            with trio.CancelScope() as scope:
                scope.cancel()
                yield [echo]
            raise OSError("hung up")

        async with Runtime() as rt:
            with pytest.raises(PluginError, match="toolkit 'k' is lost as soon as it is open: OSError: hung up"):
                await rt.run(Agent(asking(), "a", tools=(Toolkit("k", open=flaky),)), "x")
        assert opened == 3


class TestChange:
    def kit(self, changes: list[trio.MemorySendChannel[Any]]) -> Toolkit:
        """A toolkit that yields a channel of lists of tools; the sending end of each opening is kept."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[trio.MemoryReceiveChannel[list[Callable[..., Any]]]]:
            send, receive = trio.open_memory_channel[list[Callable[..., Any]]](10)
            changes.append(send)
            send.send_nowait([numbered(1)])
            async with send, receive:
                yield receive

        return Toolkit("k", open=connect)

    async def test_of_tools_counts_for_the_next_run(self) -> None:
        """A run under way keeps the tools with which it began; the connection stays open."""
        changes: list[trio.MemorySendChannel[Any]] = []

        async def answer(request: Any) -> Any:
            if request.turn == 1:
                changes[0].send_nowait([numbered(2), echo])
                await wait_all_tasks_blocked()
            if request.turn < 3:
                return [ToolCall(f"c{request.turn}", "ask", '{"text": "hi"}')]
            return " ".join(each.text for each in request.messages if each.role == "tool")

        agent = Agent(ScriptedModel(answer), "a", tools=(self.kit(changes),))
        async with Runtime() as rt:
            assert (await rt.run(agent, "x")).content == "hi 1 hi 1"
            assert list(rt.tools(agent)) == ["ask", "echo"]
            assert (await rt.run(Agent(asking(), "a", tools=agent.tools), "x")).content == "hi 2"
            changes[0].close()  # no more changes; the last tools stay
            await wait_all_tasks_blocked()
            assert (await rt.run(Agent(asking(), "a", tools=agent.tools), "x")).content == "hi 2"
        assert len(changes) == 1

    async def test_to_what_is_not_a_list_of_tools_closes_the_toolkit(self) -> None:
        """As any failure while it is open does; the next run opens it anew."""
        changes: list[trio.MemorySendChannel[Any]] = []
        agent = Agent(asking(), "a", tools=(self.kit(changes),))
        async with Runtime() as rt:
            await rt.run(agent, "x")
            changes[0].send_nowait(5)
            await wait_all_tasks_blocked()
            assert (await rt.run(agent, "x")).content == "hi 1"
        assert len(changes) == 2

    async def test_needs_tools_at_first(self) -> None:
        """An iterable that ends before it yields tools is a failure to open."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[trio.MemoryReceiveChannel[list[Tool]]]:
            send, receive = trio.open_memory_channel[list[Tool]](0)
            send.close()
            yield receive
            receive.close()

        async with Runtime() as rt:
            with pytest.raises(UsageError, match="toolkit 'k' cannot be opened: it yielded no tools"):
                await rt.run(Agent(asking(), "a", tools=(Toolkit("k", open=connect),)), "x")


class TestClosing:
    async def test_is_in_reverse_order_after_background_runs_and_before_models(self) -> None:
        """A background run under way keeps what it uses; then the last opened is closed first."""
        log: list[str] = []
        kits = [Server(name, log, tools=[]).kit() for name in "abc"]

        class Slow:
            name = "slow"

            async def respond(self, request: Any, emit: Any = None) -> Any:
                await wait_all_tasks_blocked()
                log.append("run ended")
                return agno_rt.ModelResponse("x")

        async with Runtime() as rt:
            for kit in kits:
                await rt.open_tools(Agent(ScriptedModel([]), tools=(kit,)))
            await rt.start(Agent(Slow(), "a", tools=kits), "x")
        assert log[3:] == [
            "run ended", "c closing", "c closed", "b closing", "b closed", "a closing", "a closed",
        ]  # fmt: skip

    async def test_that_fails_is_told_after_the_others_are_closed(self) -> None:
        """A failure names the toolkit; with an error of the block it is a note of that."""
        bad, good = Server("bad", closing_error=OSError("no")), Server("good", tools=[])
        agent = Agent(ScriptedModel(["x"]), "a", tools=(good.kit(), bad.kit()))
        with pytest.raises(BackendError, match=r"toolkit 'bad' could not be closed: .*OSError: no"):
            async with Runtime() as rt:
                await rt.run(agent, "x")
        assert (bad.open_now, good.open_now) == (0, 0)

        async def fail() -> None:
            async with Runtime() as rt:
                await rt.open_tools(agent)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as caught:
            await fail()
        assert "toolkit 'bad' could not be closed" in caught.value.__notes__[0]

    async def test_that_hangs_is_bounded(self, autojump_clock: MockClock) -> None:
        """A server that does not say goodbye is given ten seconds."""
        servers = [Server("a", closing=1e6), Server("b", closing=1, tools=[])]
        agent = Agent(asking(), "a", tools=[server.kit() for server in servers])
        with pytest.raises(BackendError, match="toolkit 'a' took longer than 10 s to close"):
            async with Runtime() as rt:
                await rt.run(agent, "x")
        assert trio.current_time() == pytest.approx(11)
        assert [server.open_now for server in servers] == [0, 0]

    async def test_of_a_cancelled_runtime_is_shielded_and_bounded(self, autojump_clock: MockClock) -> None:
        """Goodbyes are said although the program is cancelled, within their time."""
        server, hung = Server("a", closing=5), Server("b", closing=1e6, tools=[])
        with trio.move_on_after(1):
            async with Runtime() as rt:
                await rt.run(Agent(asking(), "a", tools=(server.kit(), hung.kit())), "x")
                await trio.sleep_forever()
        assert trio.current_time() == pytest.approx(16)
        assert (server.log[-1], server.open_now, hung.open_now) == ("a closed", 0, 0)

    async def test_while_a_toolkit_opens_gives_up_the_opening(self, autojump_clock: MockClock) -> None:
        """A run outside of the runtime's block meets the error of a closed runtime."""
        server = Server(opening=1e6)
        errors: list[str] = []
        async with trio.open_nursery() as nursery, Runtime() as rt:

            async def late() -> None:
                with pytest.raises(UsageError) as caught:
                    await rt.run(Agent(asking(), "a", tools=(server.kit(),)), "x")
                errors.append(str(caught.value))

            nursery.start_soon(late)
            await wait_all_tasks_blocked()
        assert server.open_now == 0
        assert "this runtime is not open" in errors[0]

    async def test_allows_opening_the_runtime_again(self) -> None:
        """The second time, the runtime opens its toolkits anew."""
        server, rt = Server(), Runtime()
        agent = Agent(asking(), "a", tools=(server.kit(),))
        for number in (1, 2):
            async with rt:
                assert (await rt.run(agent, "x")).content == f"HI {number}"
            assert server.open_now == 0

    async def test_beside_another_runtime_concerns_only_its_own(self) -> None:
        """Each runtime opens a toolkit for itself."""
        server = Server(answers=lambda text: text, tools=[echo])
        agent = Agent(asking(name="echo"), "a", tools=(server.kit(),))
        async with Runtime() as one:
            async with Runtime() as two:
                await one.run(agent, "x")
                await two.run(agent, "x")
                assert server.open_now == 2
            assert server.open_now == 1
            assert (await one.run(agent, "x")).content == "hi"


class TestNumber:
    async def test_of_idle_toolkits_is_bounded(self) -> None:
        """Agents made for each run, with toolkits of their own, do not keep a connection each."""
        server = Server(tools=[echo])
        async with Runtime() as rt:
            for _ in range(250):
                assert (await rt.run(Agent(asking(name="echo"), "a", tools=(server.kit(),)), "x")).content == "hi"
            await wait_all_tasks_blocked()
            assert server.open_now <= 100
            [limit] = [limit for limit in rt.statistics() if limit.name == "toolkits"]
            assert (limit.total, limit.in_use, limit.waiting) == (100, server.open_now, 0)
        assert server.open_now == 0

    def test_may_be_passed_by_runs_at_once(self) -> None:
        """Under any schedule, runs that open more toolkits at once than are kept idle do not close each other's."""

        async def scenario() -> None:
            server = Server(tools=[echo])
            async with Runtime(limits={"runs": 300}) as rt, trio.open_nursery() as nursery:
                for number in range(130):
                    if number % 10 == 0:
                        await pause()
                    agent = Agent(asking(name="echo"), "a", tools=(server.kit(), Server("b", tools=[]).kit()))
                    nursery.start_soon(rt.run, agent, "x")
            assert server.opened == 130

        run_schedules(scenario, 3)

    async def test_never_closes_a_toolkit_in_use(self) -> None:
        """Runs under way keep their toolkits open, however many there are; toolkits used of late stay, too."""
        used, going = Server("used"), trio.Event()
        others = Server("others", tools=[echo])

        async def answer(request: Any) -> Any:
            if request.turn == 1:
                await going.wait()
                return [ToolCall("c", "ask", '{"text": "hi"}')]
            return request.messages[-1].text

        async with Runtime() as rt:
            run = await rt.start(Agent(ScriptedModel(answer), "a", tools=(used.kit(),)), "x")
            favourite = Agent(asking(name="echo"), "f", tools=(Server("favourite", tools=[echo]).kit(),))
            for _ in range(150):
                await rt.run(Agent(asking(name="echo"), "a", tools=(others.kit(),)), "x")
                await rt.run(favourite, "x")
                assert len(rt.tools(favourite)) == 1
            going.set()
            assert (await run.wait()).content == "HI 1"
            assert used.opened == 1

    async def test_of_agents_leaves_nothing_behind(self) -> None:
        """A toolkit that is closed for room is not kept by the runtime."""
        kits: list[weakref.ref[Toolkit]] = []
        server = Server(tools=[echo])
        async with Runtime() as rt:
            for _ in range(220):
                kit = server.kit()
                kits.append(weakref.ref(kit))
                await rt.run(Agent(asking(name="echo"), "a", tools=(kit,)), "x")
                del kit
            await wait_all_tasks_blocked()
            gc.collect()
            assert sum(ref() is not None for ref in kits) <= 101


class TestSpecs:
    def host(self, plugin_point: MakePoint, server: Server) -> tuple[PluginHost, list[tuple[str, Any]]]:
        """A plugin whose tools are toolkits that have to be opened, and what its factory was asked for."""
        made: list[tuple[str, Any]] = []

        def factory(rest: str, settings: Any) -> Toolkit:
            made.append((rest, dict(settings)))
            return server.kit()

        def register_tools(register: Any) -> None:
            register("*", factory)

        return PluginHost([plugin_point("remote", agno_rt_register_tools=register_tools)]), made

    async def test_name_a_toolkit_that_is_made_and_opened_once(self, plugin_point: MakePoint) -> None:
        """Agents with the same spec share the connection, whatever else they name."""
        server = Server()
        host, made = self.host(plugin_point, server)
        async with Runtime(plugins=host, settings={"remote": {"key": 1}}) as rt:
            rt.check(Agent(asking(), tools=("remote:./server.py",)))
            same: list[Sequence[str | Tool]] = [("remote:./server.py",), ["remote:./server.py", echo]]
            for tools in same:
                assert (await rt.run(Agent(asking(), "a", tools=tools), "x")).content == "HI 1"
        assert made == [("./server.py", {"key": 1})]

    async def test_are_named_where_opening_fails(self, plugin_point: MakePoint) -> None:
        """The error says which plugin it was."""
        server = Server(faults=[OSError("down")])
        host, _ = self.host(plugin_point, server)
        async with Runtime(plugins=host) as rt:
            with pytest.raises(PluginError, match="toolkit 'files' cannot be opened") as caught:
                await rt.run(Agent(asking(), tools=("remote:x",)), "x")
        assert caught.value.plugin == "remote"


class TestPauses:
    def agent(self, server: Server) -> Agent:
        """An agent whose opened tool needs a person's approval."""

        @tool(approve=True)
        async def ask(text: str) -> str:
            """Ask the server."""
            return f"asked {text}"

        server.tools = [ask]
        return Agent(asking(), "a", tools=(server.kit(),))

    async def test_are_known_when_the_run_begins(self) -> None:
        """A tool that pauses is found by opening, so that its run is stored, and goes on elsewhere."""
        server, memory = Server(), InProcessMemory()
        agent = self.agent(server)
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "x")
            assert paused.status == "paused"
        async with Runtime(memory=memory) as rt:
            rt.add(agent)
            await rt.approve(paused.approvals[0].id)
            assert server.open_now == 0  # a plain decision needs no tool
            assert (await rt.resume(paused.run_id)).content == "asked hi"

    async def test_have_their_new_arguments_checked_by_the_opened_tool(self) -> None:
        """Other arguments are compared with the tool, which is opened for that."""
        server, memory = Server(), InProcessMemory()
        agent = self.agent(server)
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "x")
        async with Runtime(memory=memory) as rt:
            rt.add(agent)
            with pytest.raises(UsageError, match="cannot be approved"):
                await rt.approve(paused.approvals[0].id, {"text": 5})
            assert server.open_now == 1
            await rt.approve(paused.approvals[0].id, {"text": "bye"})
            assert (await rt.resume(paused.run_id)).content == "asked bye"


class TestReadiness:
    async def test_opens_toolkits_where_asked(self) -> None:
        """A fault in opening is a finding with the toolkit's name; without `toolkits` nothing is opened."""
        server = Server(faults=[OSError("down")])
        agent = Agent(asking(), "a", tools=(server.kit(), echo), settings={"tool_choice": "ask"})
        async with Runtime() as rt:
            assert await check_ready(rt, agent, memory=False) == []
            assert server.log == []
            [finding] = await check_ready(rt, agent, memory=False, toolkits=True)
            assert finding.level == "error"
            assert "toolkit 'files' cannot be opened: OSError: down" in finding.message

    async def test_asks_the_opened_tools(self) -> None:
        """Tools that are found by opening may say that they are not ready."""

        def check_key() -> None:
            raise UsageError("no key", hint="Set it.")

        server = Server(tools=[tool(check_ready=check_key)(echo.function)])
        async with Runtime() as rt:
            [finding] = await check_ready(rt, Agent(asking(), "a", tools=(server.kit(),)), memory=False, toolkits=True)
        assert (finding.level, finding.message) == ("warning", "no key")


class TestAsyncio:
    def test_opens_toolkits_in_the_thread_of_the_runtime(self) -> None:
        """An asyncio program runs such agents, and the toolkit may call back into its event loop."""
        loops: list[Any] = []

        @to_asyncio
        async def hello() -> None:
            loops.append(asyncio.get_running_loop())

        @asynccontextmanager
        async def connect() -> AsyncIterator[list[Tool]]:
            await hello()
            yield [echo]
            await hello()

        async def main() -> None:
            agent = Agent(asking(name="echo"), "a", tools=(Toolkit("k", open=connect),))
            async with AsyncioRuntime() as rt:
                assert (await rt.run(agent, "x")).content == "hi"
                assert list(await rt.call(Runtime.open_tools, agent)) == ["echo"]
            assert loops == [asyncio.get_running_loop()] * 2

        asyncio.run(main())


class TestTestingKit:
    def test_injects_faults_into_opening_and_closing(self) -> None:
        """A failure at any point of a toolkit's life is told by name, and nothing stays open."""

        async def scenario(faults: Faults) -> None:
            server = Server()
            agent = Agent(asking(), "a", tools=(faults.tool(server.kit()),))
            told = ""
            try:
                async with Runtime() as rt:
                    result = await rt.run(agent, "x")
                    told = result.content
            except agno_rt.AgnoError as exc:
                told = str(exc)
            assert server.open_now == 0
            assert not faults.fired or "toolkit 'files'" in told or "ask failed" in told

        fail_everywhere(scenario, at_least=3)


class TestParts:
    async def test_of_a_flow_are_opened_by_their_own_first_runs(self) -> None:
        """A runnable over agents opens what its run reaches; `open_tools` opens everything within it."""

        @attrs.define
        class First(Runnable[Any, Any]):
            name: str
            members: Sequence[Agent]

            def parts(self) -> Sequence[Agent]:
                return self.members

            async def conduct(self, flow: Any, input: Any) -> Any:
                return await flow.run(self.members[0], input)

        used, unused = Server("used"), Server("unused")
        members = [Agent(asking(), server.name, tools=(server.kit(),)) for server in (used, unused)]
        first = First("first", members)
        async with Runtime() as rt:
            rt.check(first)
            assert (await rt.run(first, "x")).content == "HI 1"
            assert (used.open_now, unused.open_now) == (1, 0)
            assert await rt.open_tools(first) == {}
            assert (used.opened, unused.opened) == (1, 1)
            assert await check_ready(rt, first, memory=False, toolkits=True) == []
        assert used.open_now == unused.open_now == 0


class TestObservers:
    async def test_hear_of_openings_changes_and_losses(self) -> None:
        """The runtime tells of openings, changes and failures; a toolkit tells of losses, under its own name."""
        send, receive = trio.open_memory_channel[Any](0)

        @asynccontextmanager
        async def connect() -> AsyncIterator[Any]:
            yield receive

        heard: list[ToolkitChanged] = []
        agent = Agent(asking(), tools=[Toolkit("files", open=connect)])
        async with Runtime(observers=[watch(heard)]) as runtime, trio.open_nursery() as nursery:
            nursery.start_soon(send.send, [numbered(1)])
            await runtime.run(agent, "go")
            await send.send(ToolkitChanged("other", "lost", error="it ended", retry_in=0.5))
            await send.send([numbered(1), echo])
            await wait_all_tasks_blocked()
        assert heard == [
            ToolkitChanged("files", "opened", tools=1),
            ToolkitChanged("files", "lost", error="it ended", retry_in=0.5),
            ToolkitChanged("files", "changed", tools=2),
        ]

    async def test_hear_of_a_connection_that_fails(self) -> None:
        """An opening in vain and a lost connection are failures with a reason."""
        server = Server(faults=[ConnectionError("refused")])
        heard: list[ToolkitChanged] = []
        async with Runtime(observers=[watch(heard)]) as runtime:
            agent = Agent(asking(), tools=[server.kit()])
            with pytest.raises(PluginError):
                await runtime.run(agent, "go")
            await runtime.run(agent, "go")
            server.lose.set()
            await wait_all_tasks_blocked()
        assert [(event.state, event.error) for event in heard] == [
            ("failed", "refused"),
            ("opened", None),
            ("failed", "the server hung up"),
        ]

    async def test_that_fail_are_dropped(self) -> None:
        """A failing observer does not end the toolkit, and is not called again."""
        calls = []

        def fail(event: Event) -> None:
            calls.append(event)
            raise ValueError("no")

        agent = Agent(asking(), tools=[Server().kit()])
        async with Runtime(observers=[fail]) as runtime:
            with pytest.warns(RuntimeWarning, match="is dropped"):
                await runtime.open_tools(agent)
            assert (await runtime.run(agent, "go")).content == "HI 1"
        assert len(calls) == 1
