"""Questions of servers in the middle of a call, in both eras: the run pauses, and any process goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.forms import make_type
from agno_rt_mcp.settings import ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.events import Event, ToolEnded
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.result import RunResult
from agno_rt.testing import ScriptedModel
from agno_rt.testing.clocks import JumpingClock

# The SDK leaves generators of httpx2 unfinished when it has read the answer in a stream of events.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")

SERVER = Path(__file__).with_name("official.py")


class Asker:
    """Runs of an agent that calls a tool of the official server, each in a runtime of its own."""

    def __init__(self, memory: Path, log: Path, url: str = "") -> None:
        self.memory = f"sqlite:///{memory}"
        self.log, self.url = log, url
        self.protocol = "auto"
        self.questions = True
        self.call = ToolCall("1", "order", {"item": "lamp"})

    def calling(self, protocol: str, tool: str, **arguments: Any) -> Asker:
        """Choose the protocol and the call."""
        self.protocol, self.call = protocol, ToolCall("1", tool, arguments)
        return self

    def make_agent(self) -> Agent:
        """Return the agent, which answers with the tool's result."""

        def respond(request: ModelRequest) -> ModelResponse:
            if request.messages[-1].role == "tool":
                return ModelResponse(request.messages[-1].text)
            return ModelResponse("", (self.call,))

        where: dict[str, Any] = {"command": sys.executable, "args": (str(SERVER), "stdio", str(self.log))}
        if self.url:
            where = {"url": self.url}
        settings = ServerSettings("official", protocol=self.protocol, questions=self.questions, grace=1.0, **where)
        return Agent(ScriptedModel(respond), "a", tools=[make_toolkit(settings)], memory=MemoryPolicy(journal=True))

    async def run(self) -> RunResult:
        """Run until the end or a question."""
        async with Runtime(memory=self.memory) as runtime:
            return await runtime.run(self.make_agent(), "go", session="s")

    async def answer(self, paused: RunResult, value: Any) -> RunResult:
        """Answer the one question in another runtime, None to deny, and resume the run."""
        assert paused.status == "paused", paused
        [approval] = paused.approvals
        async with Runtime(memory=self.memory) as runtime:
            runtime.add(self.make_agent())
            if value is None:
                await runtime.deny(approval.id)
            else:
                await runtime.answer(approval.id, value)
            return await runtime.resume(paused.run_id)

    def count(self, entry: Any) -> int:
        """Return how often the server logged the entry."""
        return [json.loads(line) for line in self.log.read_text().splitlines()].count(entry)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve over HTTP for the module; yield the address and the log."""
    log = tmp_path_factory.mktemp("served") / "log"
    log.touch()
    command = [sys.executable, str(SERVER), "http", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp", log
        process.kill()


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


@pytest.fixture
def asker(tmp_path: Path, served: tuple[str, Path]) -> Asker:
    """Return runs that call tools of the server over HTTP; its log is empty."""
    url, log = served
    log.write_text("")
    return Asker(tmp_path / "runs.db", log, url)


async def test_questions_in_an_open_call_pause_the_run(asker: Asker) -> None:
    """A server of the earlier protocol asks twice: each question pauses the run, and is asked once."""
    asker.calling("legacy", "confirm", item="lamp")
    first = await asker.run()
    assert first.approvals[0].kind == "input"
    assert "confirm: Delete lamp?" in first.approvals[0].call.arguments
    second = await asker.answer(first, {"sure": True})
    assert "confirm: Really delete lamp?" in second.approvals[0].call.arguments
    done = await asker.answer(second, {"sure": False})

    assert done.content == "True False"
    assert asker.count("asks about lamp") == 3


async def test_a_denied_question_in_an_open_call_is_declined(asker: Asker) -> None:
    """The server learns of the refusal in the repeated call."""
    asker.calling("legacy", "confirm", item="lamp")
    assert (await asker.answer(await asker.run(), None)).content == "kept: decline"


@pytest.mark.parametrize(("protocol", "tool"), [("legacy", "confirm"), ("auto", "order")])
async def test_without_questions_the_server_is_told_at_once(asker: Asker, protocol: str, tool: str) -> None:
    """`questions = false`: nobody answers, and the run does not pause."""
    asker.calling(protocol, tool, item="lamp")
    asker.questions = False
    assert (await asker.run()).content == {"confirm": "kept: cancel", "order": "no order"}[tool]


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_an_address_to_visit_is_a_question(asker: Asker, tmp_path: Path, transport: str) -> None:
    """The person sees the whole address. The server gets the state of the visit back, though it asks anew.

    A server over stdio has started again meanwhile, and does not know the state: it gets the one of its new question.
    """
    if transport == "stdio":
        asker = Asker(tmp_path / "runs.db", tmp_path / "log")
        asker.log.touch()
    asker.calling("auto", "visit")
    paused = await asker.run()
    question = paused.approvals[0].call.arguments
    assert "visit: Please pay." in question
    address = "https://pay.example/start?token=" + question.partition("?token=")[2][:36]
    done = await asker.answer(paused, "done")

    assert done.content == "visited: accept"
    assert asker.count("visit") == 3
    assert asker.count({"paid": address}) == (transport == "http")


async def test_an_address_to_visit_can_be_refused(asker: Asker) -> None:
    """The server learns of it."""
    asker.calling("auto", "visit")
    assert (await asker.answer(await asker.run(), None)).content == "visited: decline"


async def test_an_address_in_an_open_call_is_a_question(asker: Asker) -> None:
    """The earlier protocol: the address differs in the repeated call, and the question is still answered."""
    asker.calling("legacy", "visit")
    assert (await asker.answer(await asker.run(), "done")).content == "visited: accept"
    assert asker.count("visit") == 2


async def test_a_call_refused_for_a_visit_is_made_after_it(asker: Asker) -> None:
    """The earlier protocol's error with addresses pauses the run; the call goes through after the visit."""
    asker.calling("legacy", "gate")
    paused = await asker.run()
    assert "https://door.example/?a=1" in paused.approvals[0].call.arguments
    with asker.log.open("a") as file:
        file.write(json.dumps("let in") + "\n")
    assert (await asker.answer(paused, "done")).content == "inside"


async def test_a_visit_refused_is_the_error_of_the_call(asker: Asker) -> None:
    """The model is told of the server's refusal."""
    asker.calling("legacy", "gate")
    assert "-32042" in str((await asker.answer(await asker.run(), None)).content)


async def test_a_question_among_several_calls_has_nobody_to_answer(asker: Asker, clock: JumpingClock) -> None:
    """The earlier protocol does not tell whose question it is, and so the server is told that nobody answers."""
    is_answered = trio.Event()
    asker.calling("legacy", "confirm", item="lamp")
    calls = (ToolCall("1", "confirm", {"item": "lamp"}), ToolCall("2", "hang"))

    def respond(request: ModelRequest) -> ModelResponse:
        told = [message.text for message in request.messages if message.role == "tool"]
        return ModelResponse(told[0]) if told else ModelResponse("", calls)

    def observe(event: Event) -> None:
        if isinstance(event, ToolEnded) and event.call.name == "confirm":
            is_answered.set()

    async def end_other_call() -> None:
        await is_answered.wait()
        clock.jump(60)

    agent = asker.make_agent()
    agent.model, agent.limits = ScriptedModel(respond), {"tool_timeout": 60.0}
    async with Runtime(observers=[observe]) as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(end_other_call)
        assert (await runtime.run(agent, "go")).content == "kept: cancel"


def test_forms_have_defaults_bounds_and_choices() -> None:
    """Omitted fields get the server's defaults, and an answer outside of the bounds is refused."""
    choices = [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]
    schema = {
        "properties": {
            "name": {"type": "string", "default": "Ann", "minLength": 2},
            "age": {"type": "integer", "default": 30, "minimum": 0, "maximum": 150},
            "score": {"type": "number", "default": 9.5},
            "sure": {"type": "boolean", "default": True},
            "status": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"], "default": "a"},
            "colour": {"type": "string", "oneOf": choices, "default": "g"},
            "colours": {"type": "array", "items": {"anyOf": choices}, "maxItems": 1, "default": ["r"]},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}},
            "e-mail": {"type": "string", "format": "email", "description": "Where to write"},
        },
        "required": ["e-mail"],
    }
    form = make_type(schema)

    def read(**answer: Any) -> Any:
        return msgspec.to_builtins(msgspec.convert({"e-mail": "a@b.example", **answer}, form))

    assert read() == {
        "e-mail": "a@b.example",
        "name": "Ann",
        "age": 30,
        "score": 9.5,
        "sure": True,
        "status": "a",
        "colour": "g",
        "colours": ["r"],
    }
    assert read(tags=["x", "y"])["tags"] == ["x", "y"]
    for wrong in (
        {"name": "A"},
        {"age": 151},
        {"status": "c"},
        {"colour": "b"},
        {"colours": ["r", "g"]},
        {"tags": ["z"]},
    ):
        with pytest.raises(msgspec.ValidationError):
            read(**wrong)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({}, form)
    described = msgspec.json.schema(form)["$defs"]["Form"]["properties"]
    assert described["colour"]["description"] == "(r: Red, g: Green)"
    assert described["e-mail"] == {"type": "string", "description": "Where to write", "format": "email"}


@pytest.mark.parametrize("properties", [[], {"a": 1}, {"a": {"enum": [[]]}}])
def test_a_form_that_is_not_flat_takes_any_object(properties: Any) -> None:
    """The server reads the answer itself."""
    assert msgspec.convert({"a": 1}, make_type({"properties": properties})) == {"a": 1}
