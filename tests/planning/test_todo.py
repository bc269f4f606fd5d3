"""The todo list of an agent: tools, the place in requests, restarts, kills and forks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, MemoryPolicy, Message, ModelRequest, Runtime, ToolCall
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import Forbidden, ModelError, UsageError
from agno_rt.events import Event, ToolEnded
from agno_rt.memory import Summary
from agno_rt.planning import Todo, TodoItem
from agno_rt.project import load_project
from agno_rt.run_store import Resume
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere
from tests.context.test_compaction import Small, look
from tests.helpers import told

PLAIN, STORED = MemoryPolicy(), MemoryPolicy(journal=True)


def write(*todos: str | tuple[str, str] | dict[str, Any], call: str = "w") -> ToolCall:
    """Return the call to write the list: contents, contents with a status, or whole items."""
    items = [
        each
        if isinstance(each, dict)
        else {"content": each}
        if isinstance(each, str)
        else {"content": each[0], "status": each[1]}
        for each in todos
    ]
    return ToolCall(call, "write_todos", {"todos": items})


def update(id: int, status: str, content: str = "", call: str = "u") -> ToolCall:
    """Return the call to change an item."""
    return ToolCall(call, "update_todo", {"id": id, "status": status, "content": content})


READ = ToolCall("r", "read_todos", "{}")


def planner(model: Any, memory: MemoryPolicy = PLAIN, tools: Sequence[Any] = (Todo(),)) -> Agent:
    """Return an agent with a todo list."""
    return Agent(model, "planner", "Be brief.", tools=tools, memory=memory)


def listed(text: str) -> list[tuple[int, str, str]]:
    """Return the items in a result."""
    return [(item["id"], item["content"], item["status"]) for item in json.loads(text)]


async def test_the_model_writes_changes_and_reads_the_list() -> None:
    """Each tool returns the list; an item keeps the id, found by id or content, and new items get new ids."""
    model = ScriptedModel(
        [
            write("plan", "build", "test"),
            update(1, "completed"),
            write({"content": "build it", "id": 2, "status": "in_progress"}, "test", "ship"),
            READ,
            "done",
        ]
    )
    async with Runtime() as rt:
        result = await rt.run(planner(model), "go", session="s")
        results = [listed(text) for text in told(result)]
        assert results[1] == [(1, "plan", "completed"), (2, "build", "pending"), (3, "test", "pending")]
        assert results[2] == [(2, "build it", "in_progress"), (3, "test", "pending"), (4, "ship", "pending")]
        assert results[3] == results[2]
        assert (await rt.read_todos("s"))[2] == TodoItem(4, "ship", "pending")


async def test_the_next_run_sees_what_is_left_just_before_its_input() -> None:
    """The system message and the history stay the same for the provider's cache."""
    model = ScriptedModel(
        [write(("plan", "completed"), "build"), "later", "again", update(2, "completed"), "done", "bye"]
    )
    agent = planner(model)
    async with Runtime() as rt:
        for _ in range(4):
            await rt.run(agent, "go", session="s")
    first, second, third, _, last = (model.requests[at].messages for at in (1, 2, 3, 4, 5))
    assert second[: len(first)] == first
    assert second[-2].text.splitlines()[1:] == ["1. [x] plan", "2. [ ] build"]
    assert second[-1] == Message("user", "go")
    assert third[: len(second) - 2] == second[:-2]
    assert "todo list" not in "".join(message.text for message in last if message.role == "user")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (write("  "), "no content"),
        (write("x" * 501), "500"),
        (write(*map(str, range(101))), "100"),
        (write(("x", "done")), "done"),
        (update(7, "completed"), "There is no todo 7. The ids are: none."),
    ],
)
async def test_a_bad_list_is_explained_to_the_model(call: ToolCall, expected: str) -> None:
    """Empty and long contents, long lists, unknown statuses and unknown ids change nothing."""
    async with Runtime() as rt:
        result = await rt.run(planner(ScriptedModel([call, READ, "done"])), "go")
    assert expected in told(result)[0]
    assert told(result)[1] == "[]"


async def test_the_list_survives_a_restart(tmp_path: Path) -> None:
    """Another process finds the list of the session in the file."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with Runtime(memory=url) as rt:
        await rt.run(planner(ScriptedModel([write("plan"), "later"])), "go", session="s", user="ann")
    model = ScriptedModel([READ, "done"])
    async with Runtime(memory=url) as rt:
        result = await rt.run(planner(model), "go", session="s", user="ann")
        assert listed(told(result)[0]) == [(1, "plan", "pending")]
        with pytest.raises(Forbidden):
            await rt.run(planner(model), "go", session="s", user="bob")
        assert [each.content for each in await rt.read_todos("s")] == ["plan"]
        assert await rt.read_todos("other") == ()


async def test_sessions_and_runs_without_a_session_have_their_own_lists() -> None:
    """A list is not seen in another session, and a run without a session begins with an empty one."""
    async with Runtime() as rt:
        agent = planner(ScriptedModel([write("one"), "a", READ, "b", write("two"), "c", READ, "d"]))
        await rt.run(agent, "go", session="s")
        assert told(await rt.run(agent, "go", session="t")) == ["[]"]
        await rt.run(agent, "go")
        assert told(await rt.run(agent, "go")) == ["[]"]


async def test_a_failed_run_leaves_the_list() -> None:
    """As with messages and state, nothing of a run that fails is stored."""
    agent = planner(ScriptedModel([write("plan"), "ok", write("other"), ModelError("down")]))
    async with Runtime() as rt:
        await rt.run(agent, "go", session="s")
        with pytest.raises(ModelError):
            await rt.run(agent, "go", session="s")
        assert [each.content for each in await rt.read_todos("s")] == ["plan"]


async def test_two_runs_of_two_processes_do_not_lose_each_others_items() -> None:
    """Each run stores changes: new items of both stay, under different ids."""
    memory = InProcessMemory()
    began, go = trio.Event(), trio.Event()

    async with Runtime(memory=memory) as one, Runtime(memory=memory) as two:
        await one.run(planner(ScriptedModel([write("a", "b", "c"), "ok"])), "go", session="s")
        marked = {"content": "a", "id": 1, "status": "completed"}
        slow: list[Any] = [write(marked, "b", "c", "mine"), answer_later(began, go)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: one.run(planner(ScriptedModel(slow)), "slow", session="s"))
            await began.wait()
            quick: list[Any] = [write("a", {"content": "b!", "id": 2}, "theirs"), "ok"]
            await two.run(planner(ScriptedModel(quick)), "quick", session="s")
            go.set()
        items = await one.read_todos("s")
    assert [(each.content, each.status) for each in items] == [
        ("a", "completed"),
        ("b!", "pending"),
        ("mine", "pending"),
        ("theirs", "pending"),
    ]
    assert len({each.id for each in items}) == 4


def answer_later(began: trio.Event, go: trio.Event) -> Any:
    """Return a step of a script: say `began`, wait for `go`, and answer."""

    async def answer(request: ModelRequest) -> str:
        began.set()
        await go.wait()
        return "ok"

    return answer


def test_a_killed_run_goes_on_with_its_list() -> None:
    """Killed before and after each write to the store, the resumed run ends with the list of an undisturbed run."""
    steps = [write("a", "b"), update(2, "completed"), write("a", "c"), "done"]

    async def scenario(point: KillPoint) -> None:
        backend = InProcessMemory()

        def answer(request: ModelRequest) -> Any:
            return steps[request.turn - 1]

        agent = planner(ScriptedModel(answer), STORED)
        async with Runtime(memory=backend) as rt:
            await rt.run(planner(ScriptedModel([write("old"), "ok"])), "before", session="s")
        with point:
            async with Runtime(memory=point.memory(backend)) as rt:
                await rt.run(agent, "go", session="s")
        async with Runtime(memory=backend) as rt:
            if await backend.runs():
                await point.finish(rt, agent, "go")
            else:
                await rt.run(agent, "go", session="s")
            items = await rt.read_todos("s")
        assert [(each.id, each.content) for each in items] == [(2, "a"), (4, "c")]

    assert kill_everywhere(scenario, at_least=8) >= 8


async def test_a_resumed_run_keeps_what_another_run_has_added() -> None:
    """While a stored run is interrupted, another run of the session adds an item: both runs' items stay."""
    memory = InProcessMemory()
    agent = planner(ScriptedModel([write("mine"), ModelError("down"), "done"]), STORED)
    async with Runtime(memory=memory) as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(agent, "go", session="s")
        await rt.run(planner(ScriptedModel([write("theirs"), "ok"])), "other", session="s")
        assert caught.value.result is not None
        await rt.run(agent, Resume(caught.value.result.run_id))
        items = await rt.read_todos("s")
    assert sorted(each.content for each in items) == ["mine", "theirs"]
    assert len({each.id for each in items}) == 2


async def test_a_fork_goes_on_with_the_list_of_its_place() -> None:
    """A fork before the second change has the list after the first one."""
    memory = InProcessMemory()
    agent = planner(ScriptedModel([write("a"), write("a", "b"), "done", READ, "forked"]), STORED)
    async with Runtime(memory=memory) as rt:
        run = (await rt.run(agent, "go", session="s")).run_id
        _, entries = await memory.load_run(run)
        first = next(entry.seq for entry in entries if entry.kind == "called")
        fork = await rt.fork(run, first + 1)
        result = await rt.run(agent, Resume(fork))
    assert listed(told(result)[1]) == [(1, "a", "pending")]


async def test_a_compacted_conversation_keeps_what_is_left() -> None:
    """The list follows the summary, and is not summarised again."""
    steps = iter([write("plan", ("build", "in_progress")), *(look_at(number) for number in range(12))])
    model = Small(lambda request: next(steps, "done"))
    memory = MemoryPolicy(messages=None, summary=Summary(tokens=50))
    async with Runtime() as rt:
        await rt.run(planner(model, memory, (Todo(), look)), "go", session="s")
        systems = [request.messages[0].text for request in model.requests]
        assert await rt.read_summary("s") == "what was said"
    assert systems[-1].endswith("what was said\n\nYour todo list at that time:\n1. [ ] plan\n2. [>] build")
    assert len(model.summaries) > 1
    assert "Your todo list" not in "".join(message.text for each in model.summaries for message in each.messages)


def look_at(number: int) -> ToolCall:
    """Return a call with a long result."""
    return ToolCall(f"c{number}", "look", {"number": number})


async def test_the_events_have_the_list() -> None:
    """The end of each call carries the whole list, for a page."""
    events: list[Event] = []
    async with Runtime(observers=[events.append]) as rt:
        await rt.run(planner(ScriptedModel([write("a"), "done"])), "go")
    [ended] = [event for event in events if isinstance(event, ToolEnded)]
    assert listed(ended.content) == [(1, "a", "pending")]


async def test_the_spec_and_the_file_name_the_toolkit(tmp_path: Path) -> None:
    """`tools = ["todo"]` works in code and in agno-rt.toml; anything after the name is refused."""
    async with Runtime() as rt:
        result = await rt.run(planner(ScriptedModel([write("a"), "done"]), tools=["todo"]), "go")
        with pytest.raises(UsageError, match="todo:x"):
            await rt.run(planner(ScriptedModel(["done"]), tools=["todo:x"]), "go")
    assert listed(told(result)[0]) == [(1, "a", "pending")]
    file = tmp_path / "agno-rt.toml"
    file.write_text('[agents.planner]\nmodel = "answers:hello"\ntools = ["todo"]\n')
    assert load_project(str(file)).agent("planner").tools == ("todo",)


async def test_damaged_todos_are_told(tmp_path: Path) -> None:
    """An unreadable list stops the run with the session's name, and is not overwritten."""
    memory = SQLiteMemory(tmp_path / "a.db")
    async with Runtime(memory=memory) as rt:
        await memory.append("s", [Message("user", "x")], version=0, data=b'{"format":1,"todos":{"items":3}}')
        with pytest.raises(Exception, match="todos of session 's' are damaged"):
            await rt.run(planner(ScriptedModel(["done"])), "go", session="s")
    await memory.aclose()
