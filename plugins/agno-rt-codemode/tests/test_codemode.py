"""Programs of a model in the sandbox: calls of tools, limits, escapes, pauses, kills and cancellations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_codemode import code_mode
from agno_rt_codemode.stubs import describe_functions

from agno_rt import Agent, MemoryPolicy, ModelRequest, RunResult, Runtime, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import UsageError
from agno_rt.events import Event, ToolEnded
from agno_rt.project import load_project
from agno_rt.run_store import Resume
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere

STORED = MemoryPolicy(journal=True)


class Shop:
    """Tools of a shop, which note their calls."""

    def __init__(self, **options: Any) -> None:
        self.sold: list[str] = []

        @tool
        async def price(item: str, currency: str = "EUR") -> dict[str, Any]:
            """Return the price of an item."""
            if item == "none":
                raise ValueError("there is no such item")
            return {"item": item, "price": len(item), "currency": currency}

        @tool(**options)
        async def sell(item: str) -> str:
            """Sell an item."""
            self.sold.append(item)
            return f"sold {item}"

        self.tools = price, sell


def coder(code: str, tools: Sequence[Any], settings: dict[str, Any] | None = None, **fields: Any) -> Agent:
    """Return an agent that runs the program once."""

    def answer(request: ModelRequest) -> Any:
        return "done" if request.messages[-1].role == "tool" else ToolCall("c", "run_code", {"code": code})

    return Agent(ScriptedModel(answer), "coder", tools=[code_mode(tools, settings)], **fields)


def result_of(result: RunResult) -> str:
    """Return the result as shown to the model."""
    [text] = [message.text for message in result.messages if message.role == "tool"]
    return text


async def run(code: str, settings: dict[str, Any] | None = None, **options: Any) -> str:
    """Run the program; return the result for the model."""
    async with Runtime(**options) as rt:
        return result_of(await rt.run(coder(code, Shop().tools, settings), "go"))


class TestPrograms:
    """Programs, and the answers to the model."""

    async def test_it_calls_the_tools(self) -> None:
        """Objects come back as values; the last value and the printed text go to the model; events see the calls."""
        events: list[Event] = []
        code = 'found = [price(item=x)["price"] for x in ["ab", "abc"]]\nprint("looked", len(found))\nsum(found)'
        assert await run(code, observers=[events.append]) == "looked 2\n5"
        ended = [event.call.name for event in events if isinstance(event, ToolEnded)]
        assert ended == ["price", "price", "run_code"]

    async def test_arguments_by_position(self) -> None:
        """Described functions take arguments by position, too; wrong ones are a TypeError in the program."""
        code = """
out = [price("ab", "USD")["currency"]]
for args in [("a", "b", "c")]:
    try:
        price(*args)
    except TypeError as exc:
        out.append(str(exc))
try:
    price("a", item="b")
except TypeError as exc:
    out.append(str(exc))
out
"""
        assert await run(code) == '["USD","price takes 2 arguments","item is given twice"]'

    async def test_failures_are_exceptions(self) -> None:
        """A failing or missing tool raises in the program."""
        code = """
out = []
for item in ["none", "a"]:
    try:
        out.append(price(item=item)["price"])
    except RuntimeError as exc:
        out.append("no such item" in str(exc))
try:
    pryce(item="a")
except RuntimeError as exc:
    out.append("price" in str(exc))
out
"""
        assert await run(code) == "[true,1,true]"

    async def test_its_own_failure_is_told(self) -> None:
        """A traceback names the line; printed text is kept."""
        told = await run("print('begun')\nx = 1 / 0")
        assert told.startswith("begun\n")
        assert "line 2" in told
        assert "ZeroDivisionError" in told
        assert "SyntaxError" in await run("def")

    async def test_nothing_is_kept(self) -> None:
        """Each program begins anew."""
        script = [ToolCall(str(n), "run_code", {"code": code}) for n, code in enumerate(("x = 5\nx", "x"))]
        async with Runtime() as rt:
            agent = Agent(ScriptedModel([*script, "done"]), tools=[code_mode()])
            result = await rt.run(agent, "go")
        texts = [message.text for message in result.messages if message.role == "tool"]
        assert texts[0] == "5"
        assert "NameError" in texts[1]

    async def test_clock_and_chance(self) -> None:
        """There is no clock, and chance is the same when the call is made again."""
        assert "no" in (await run("import time\ntime.time()")).lower()
        code = "import random\n[random.random() for _ in range(2)]"
        assert (await run(code)).startswith("[0.")

    async def test_the_description_has_the_functions(self) -> None:
        """The model sees typed stubs of the tools, and the tools themselves."""
        model = ScriptedModel(["hi"])
        async with Runtime() as rt:
            await rt.run(Agent(model, tools=[code_mode(Shop().tools)]), "go")
        offered = {each.name: each.description for each in model.requests[0].tools}
        assert offered.keys() == {"run_code", "price", "sell"}
        assert "def price(*, item: str, currency: str = 'EUR'):" in offered["run_code"]
        assert "Return the price of an item." in offered["run_code"]

    async def test_the_file_names_the_toolkit(self, tmp_path: Path) -> None:
        """The spec `codemode`, and the settings of the table."""
        file = tmp_path / "agno-rt.toml"
        file.write_text(
            '[agents.coder]\nmodel = "template:echo"\ntools = ["todo", "codemode"]\n[plugins.codemode]\ncalls = 1\n'
        )
        project = load_project(str(file))
        code = "read_todos()\ntry:\n    read_todos()\nexcept RuntimeError as exc:\n    print(exc)"
        model = ScriptedModel([ToolCall("1", "run_code", {"code": code}), "done"])
        async with project.runtime() as rt:
            result = await rt.run(Agent(model, tools=project.agent("coder").tools), "go")
            with pytest.raises(UsageError, match="codemode:x"):
                await rt.run(Agent(model, tools=["codemode:x"]), "go")
        assert result_of(result) == "The program has made too many calls."


ESCAPES = [
    "open('/etc/passwd').read()",
    "open('out.txt', 'w').write('x')",
    "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "from pathlib import Path\n[str(p) for p in Path('/').iterdir()]",
    "import os\nos.environ['HOME']",
    "import os\nos.getenv('HOME')",
    "import os\nos.listdir('/')",
    "import os\nos.system('id')",
    "import subprocess\nsubprocess.run(['id'])",
    "import socket\nsocket.socket()",
    "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "import ctypes\nctypes.CDLL(None)",
    "__import__('os').system('id')",
    "eval('__import__(\"os\")')",
    "().__class__.__base__.__subclasses__()",
    "(lambda: 0).__globals__",
    "(lambda: 0).__code__.co_code",
    "price.__globals__",
    "import sys\nsys.modules['os'].system('id')",
    "import importlib\nimportlib.import_module('os').system('id')",
    "import threading\nthreading.Thread(target=print).start()",
]


class TestSandbox:
    """Ways out of the sandbox, and bombs."""

    @pytest.mark.parametrize("code", ESCAPES)
    async def test_no_way_out(self, code: str) -> None:
        """Files, environment, processes, network and the interpreter's insides are not there."""
        told = await run(code)
        assert "Error" in told
        assert "root:" not in told
        assert "uid=" not in told
        assert not await trio.Path("out.txt").exists()

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("while True: pass", "time limit"),
            ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", "time limit"),
            ("x = []\nwhile True: x.append('a' * 1000000)", "memory limit"),
            ("'a' * 10**10", "memory limit"),
            ("9**9**9", "memory limit"),
            ("def f(): return f()\nf()", "recursion"),
            ("(" * 100000, "nested"),
            ("x = 3\nfor i in range(60): x = x * x\nlen(str(x))", ""),
            ("print('x' * 10000)\n" * 100, "memory limit"),
        ],
    )
    async def test_bombs_end(self, code: str, expected: str) -> None:
        """Endless loops, memory, recursion and output are stopped by a limit, and the next program runs."""
        # Time for every other limit to come first on a busy machine.
        seconds = 0.5 if expected == "time limit" else 20.0
        settings = {"seconds": seconds, "memory": 32_000_000, "characters": 1000}
        agent = coder(code, (), settings)
        with trio.fail_after(60):
            async with Runtime() as rt:
                told = result_of(await rt.run(agent, "go"))
                after = coder("1 + 1", (), settings)
                after.tools = agent.tools
                assert result_of(await rt.run(after, "go")) == "2"
        assert expected in told.lower()
        assert len(told) < 10_000

    async def test_a_long_result_is_cut(self) -> None:
        """The model sees the beginning, and how much is left out."""
        told = await run("'x' * 5000", {"characters": 100})
        assert told == "x" * 100 + "\n[... 4,900 more characters]"

    @pytest.mark.parametrize("settings", [{"seconds": 0}, {"calls": -1}, {"memory": True}])
    def test_wrong_settings(self, settings: dict[str, Any]) -> None:
        """Bounds that are not positive are refused."""
        with pytest.raises(UsageError, match="codemode"):
            code_mode((), settings)


def list_workers() -> set[int]:
    """Return the ids of this process's children that are workers of Monty."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text() if entry.name.isdigit() else ""
            if f" {os.getpid()} " in status and "monty" in status.split(")")[0]:
                found.add(int(entry.name))
        except OSError:
            continue
    return found


SELL_BOTH = """
import random
out = [sell(item="pen")]
out.append(sell(item="car"))
out.append(random.random() < 2)
out
"""
TRY_BOTH = """
out = []
for item in ["a", "b"]:
    try:
        out.append(sell(item=item))
    except RuntimeError as exc:
        out.append(str(exc))
out
"""


class TestRuns:
    """Programs in runs that pause, are killed, and are cancelled."""

    async def test_a_call_waits_for_a_person(self) -> None:
        """The run pauses in the middle of the program; resumed elsewhere, the program sells nothing twice."""
        shop = Shop(approve=lambda item: item == "car")
        code = SELL_BOTH
        memory = InProcessMemory()
        agent = coder(code, shop.tools, memory=STORED)
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "go")
            assert [approval.call.name for approval in paused.approvals] == ["sell"]
            assert shop.sold == ["pen"]
            await rt.approve(paused.approvals[0].id)
        async with Runtime(memory=memory) as rt:
            result = await rt.run(agent, Resume(paused.run_id))
        assert result_of(result) == '["sold pen","sold car",true]'
        assert shop.sold == ["pen", "car"]

    async def test_a_denial_is_an_exception(self) -> None:
        """The program is told of the denial, and may go on."""
        shop = Shop(approve=True)
        code = "try:\n    sell(item='car')\nexcept RuntimeError as exc:\n    print(exc)"
        agent = coder(code, shop.tools, memory=STORED)
        async with Runtime() as rt:
            paused = await rt.run(agent, "go")
            await rt.deny(paused.approvals[0].id, "too dear")
            result = await rt.run(agent, Resume(paused.run_id))
        assert (result_of(result), shop.sold) == ("sell was denied: too dear", [])

    def test_a_killed_run_sells_nothing_twice(self) -> None:
        """Killed at any write, the resumed run repeats no finished call."""

        async def scenario(point: KillPoint) -> None:
            backend, shop = InProcessMemory(), Shop()
            code = TRY_BOTH
            agent = coder(code, shop.tools, memory=STORED)
            with point:
                async with Runtime(memory=point.memory(backend)) as rt:
                    await rt.run(agent, "go")
            async with Runtime(memory=backend) as rt:
                result = await point.finish(rt, agent, "go")
            assert result.content == "done"
            assert len(shop.sold) == len(set(shop.sold))
            for item in ("a", "b"):
                assert item in shop.sold or "not known" in result_of(result)

        assert kill_everywhere(scenario, at_least=8) >= 8

    async def test_a_cancellation_kills_the_program(self) -> None:
        """An endless program ends at once with its run, and no process of it stays."""
        began = trio.Event()

        @tool
        async def begin() -> str:
            """Say that the program has begun."""
            began.set()
            return "yes"

        agent = coder("begin()\nwhile True: pass", (begin,), {"seconds": 600})
        async with Runtime() as rt:
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(rt.run, agent, "go")
                    await began.wait()
                    assert list_workers()
                    nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            while list_workers():  # the system tells nobody when it has buried them
                await trio.lowlevel.checkpoint()

    async def test_programs_run_beside_each_other(self) -> None:
        """Several programs of a turn run at once, as many as `at_once` allows, each with its own calls."""
        calls = [ToolCall(str(n), "run_code", {"code": f"price(item='{'x' * n}')['price']"}) for n in range(1, 6)]
        agent = Agent(ScriptedModel([calls, "done"]), tools=[code_mode(Shop().tools, {"at_once": 2})])
        async with Runtime() as rt:
            result = await rt.run(agent, "go")
        assert [message.text for message in result.messages if message.role == "tool"] == ["1", "2", "3", "4", "5"]


def test_stubs() -> None:
    """Types follow from the schemas: choices, unions, lists, and parameters without a default."""

    @tool
    def search(words: list[str], limit: int | None = None, order: Any = ...) -> str:
        """Search.

        Args:
            words: the words
        """
        return ""

    text = describe_functions([search])
    assert text.splitlines()[0].startswith("def search(*, words: list[str], limit: int | None = None")
