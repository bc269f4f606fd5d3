"""Context providers: texts and tools for a run, their places in a request, and failures."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt import Agent, MemoryPolicy, Message, RunContext, Runtime, Team, ToolCall, Toolkit, tool
from agno_rt.errors import ContextOverflow, HookError, ModelError, NotFound, PluginError, UsageError
from agno_rt.memory import LargeResults
from agno_rt.models import Binder, ModelRequest
from agno_rt.plugins import PluginHost
from agno_rt.project import load_project
from agno_rt.providers import Context
from agno_rt.readiness import check_ready
from agno_rt.run_store import Resume
from agno_rt.testing.scripted import ScriptedModel
from agno_rt.wire.refusals import Peer, refusal
from tests.helpers import told


@tool(inline=True)
def measure() -> str:
    """Measure."""
    return "7 m"


@attrs.frozen
class Given:
    """Gives a fixed context."""

    context: Any = None
    name: str = "given"

    async def provide(self, context: RunContext) -> Any:
        """Return the context, or raise it."""
        if isinstance(self.context, BaseException):
            raise self.context
        return self.context(context) if callable(self.context) else self.context


def shown(request: ModelRequest) -> list[tuple[str, str]]:
    """Return the roles and texts of a request."""
    return [(message.role, message.text) for message in request.messages]


async def test_texts_and_tools_reach_the_model() -> None:
    """Instructions follow the agent's, notes stand before the input, and tools follow the agent's tools."""
    first = Given(Context("Rule one.", "Note one.", [measure]), "first")
    second = Given(lambda run: Context(f"Rule for {run.user}.", f"On {run.input[-1].text}"), "second")
    policy = MemoryPolicy(context=[first, second, Given(None)])
    with ScriptedModel([ToolCall("1", "measure"), "7 m"]) as model:
        async with Runtime() as rt:
            agent = Agent(model, instructions="Be brief.", tools=[tool(inline=True)(lambda_tool)], memory=policy)
            result = await rt.run(agent, "How long?", user="ann")

    assert shown(model.requests[0]) == [
        ("system", "Be brief.\n\nRule one.\n\nRule for ann."),
        ("user", "Note one.\n\nOn How long?"),
        ("user", "How long?"),
    ]
    assert [each.name for each in model.requests[0].tools] == ["lambda_tool", "measure"]
    assert told(result) == ["7 m"]
    assert [message.role for message in result.messages] == ["user", "assistant", "tool", "assistant"]


def lambda_tool() -> str:
    """Do nothing."""
    return ""


async def test_the_beginning_of_requests_stays_the_same() -> None:
    """Notes are not stored: the next request begins with the last request up to the notes."""
    policy = MemoryPolicy(context=[Given(lambda run: Context("Rules.", f"Notes on {run.input[-1].text}"))])
    with ScriptedModel(["A", "B", "C"]) as model:
        async with Runtime() as rt:
            for text in ("a", "b", "c"):
                await rt.run(Agent(model, memory=policy), text, session="s")
            stored = await rt.memory.load("s")

    for before, after in zip(model.requests, model.requests[1:], strict=False):
        same = len(before.messages) - 2  # all but the notes and the input
        assert list(after.messages[:same]) == list(before.messages[:same])
    assert shown(model.requests[2])[-2:] == [("user", "Notes on c"), ("user", "c")]
    assert [message.text for message in stored.messages] == ["a", "A", "b", "B", "c", "C"]


async def test_an_agent_without_providers_is_asked_as_before() -> None:
    """A run without providers has only its instructions and input."""
    with ScriptedModel(["hi"]) as model:
        async with Runtime() as rt:
            await rt.run(Agent(model, instructions="Be brief."), "x")
    assert shown(model.requests[0]) == [("system", "Be brief."), ("user", "x")]


async def test_a_toolset_per_run() -> None:
    """A provider of tools alone is a toolset: each run has the tools for the run's user."""

    def choose(run: RunContext) -> Context:
        @tool(inline=True, name=f"ask_{run.user}", concurrency=1)
        def ask() -> str:
            """Ask the user."""
            return f"{run.user} says yes"

        return Context(tools=[Toolkit("people", [ask])])

    def answer(request: ModelRequest) -> Any:
        if request.messages[-1].role == "tool":
            return request.messages[-1].text
        return ToolCall("1", request.tools[0].name)

    agent = Agent(ScriptedModel(answer), memory=MemoryPolicy(context=[Given(choose)]))
    async with Runtime() as rt:
        results = [await rt.run(agent, "?", user=user) for user in ("ann", "bob")]
        assert rt.tools(agent) == {}
    assert [result.content for result in results] == ["ann says yes", "bob says yes"]


async def test_a_resumed_run_sees_its_old_texts_and_has_its_tools(tmp_path: Path) -> None:
    """A resumed run has the texts from its beginning, and the provider's tools."""

    @tool(approve=True, inline=True)
    def send() -> str:
        """Send it."""
        return "sent"

    asked: list[str] = []

    def provide(run: RunContext) -> Context:
        asked.append(run.run_id)
        return Context(f"Rules {len(asked)}.", f"Notes {len(asked)}.", [send])

    policy = MemoryPolicy(context=[Given(provide)], journal=True)
    with ScriptedModel([ToolCall("1", "send"), "done"]) as model:
        agent = Agent(model, name="a", memory=policy)
        async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
            paused = await rt.run(agent, "go", session="s", user="u")
            await rt.approve(paused.approvals[0].id)
        async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
            result = await rt.run(agent, Resume(paused.run_id), user="u")
            stored = await rt.memory.load("s")

    assert paused.status == "paused"
    assert (result.content, told(result)) == ("done", ["sent"])
    assert shown(model.requests[1])[:3] == [("system", "Rules 1."), ("user", "Notes 1."), ("user", "go")]
    assert stored.messages[0].text == "go"
    assert asked == [paused.run_id] * 2


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (ValueError("no disk"), HookError, "the context provider given failed: ValueError: no disk"),
        (NotFound("file", "x", ()), NotFound, "no such file: 'x'"),
        ("text", UsageError, "the context provider given returned 'text', not a Context"),
        (Context(7), UsageError, "not a Context"),  # type: ignore[arg-type]  # the mistake
        (
            Context(tools=[measure, measure]),
            UsageError,
            "the tool 'measure' of the context provider given has the name",
        ),
        (Context(tools=[lambda_tool]), UsageError, "the tool 'lambda_tool' of the context provider given has the name"),
        (Context(tools=[7]), UsageError, "7 among the tools of the context provider given"),  # type: ignore[list-item]
        (Context(tools=[Toolkit("t", open=lambda: None)]), UsageError, "gave a toolkit to open, 't'"),  # type: ignore[arg-type,return-value]
        (Context(tools=[tool(name="ask", approve=True)(lambda_tool)]), UsageError, "'ask' may wait for a person"),
    ],
)
async def test_providers_that_fail(given: Any, error: type[Exception], says: str) -> None:
    """A failing provider, or an unusable context, ends the run with an error about the provider."""
    agent = Agent(ScriptedModel([]), tools=[lambda_tool], memory=MemoryPolicy(context=[Given(given)]))
    async with Runtime() as rt:
        with pytest.raises(error, match=r".") as caught:
            await rt.run(agent, "x")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ("one", "context of a memory policy is 'one', not a list"),
        (Given(), "not a list of providers"),
        ([7], "7 in the context of a memory policy is not a context provider"),
        ([Given], "Make an instance of the class: Given()."),
    ],
)
async def test_things_that_are_not_providers(context: Any, says: str) -> None:
    """A list of other things is refused before the run, with a hint."""
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=r".") as caught:
            rt.check(Agent(ScriptedModel([]), memory=MemoryPolicy(context=context)))
    assert says in caught.value.full_text


@attrs.frozen
class Bound:
    """A provider that reads the runtime's memory."""

    name: str = "bound"
    runtime: Any = None

    def bound(self, runtime: Binder) -> Bound:
        """Return a copy for the runtime."""
        return attrs.evolve(self, runtime=runtime)

    async def provide(self, context: RunContext) -> Context:
        """Count the session's messages."""
        return Context(f"{len((await self.runtime.memory.load('other')).messages)} other messages")

    def check_ready(self) -> None:
        """Never be ready."""
        raise UsageError("no folder", hint="Make it.")


async def test_a_provider_has_the_runtimes_memory_and_reports_at_start() -> None:
    """A provider with `bound` gets the runtime; its `check_ready` is asked at start."""
    with ScriptedModel(["hi"]) as model:
        agent = Agent(model, name="a", memory=MemoryPolicy(context=[Bound()]))
        async with Runtime() as rt:
            await rt.memory.append("other", [Message("user", "x")], version=0)
            await rt.run(agent, "x")
            found = await check_ready(rt, agent)
    assert shown(model.requests[0])[0] == ("system", "1 other messages")
    assert [finding.message for finding in found] == ["no folder"]


async def test_a_plugin_offers_providers(plugin_point: Callable[..., EntryPoint], tmp_path: Path) -> None:
    """A plugin offers providers by the hook `agno_rt_register_context`; agno-rt.toml names them as `plugin:name`."""

    def register_context(register: Any) -> None:
        register("rules", lambda rest, settings: Given(Context(f"{rest} {settings}")), "Rules.")
        register("broken", lambda rest, settings: 7)

    point = plugin_point("p", agno_rt_register_context=register_context)
    (tmp_path / "agno-rt.toml").write_text(
        "[agents.a]\nmodel = 'p:m'\n[agents.a.memory]\ncontext = ['p:rules:x']\n[plugins.p]\nk = 1\n"
    )
    project = load_project(str(tmp_path / "agno-rt.toml"))
    with ScriptedModel(["hi"]) as model:
        agent = attrs.evolve(project.agent("a"), model=model)
        async with Runtime(plugins=PluginHost([point]), settings={"p": {"k": 1}}) as rt:
            await rt.run(agent, "x")
            with pytest.raises(NotFound, match="unknown context 'p:rule'"):
                await rt.run(attrs.evolve(agent, memory=MemoryPolicy(context=["p:rule"])), "x")
            with pytest.raises(PluginError, match="made a int of 'p:broken', which is not a ContextProvider"):
                await rt.run(attrs.evolve(agent, memory=MemoryPolicy(context=["p:broken"])), "x")
    assert shown(model.requests[0])[0] == ("system", "x {'k': 1}")


@pytest.mark.parametrize(
    "memory", [MemoryPolicy(context=[Given()]), {"context": [Given()]}, {"results": LargeResults()}]
)
async def test_a_team_has_no_context_of_its_own(memory: Any) -> None:
    """The policy of a team is refused with context or a bound of results: its members ask the models."""
    team = Team([Agent(ScriptedModel([]), name="a")], memory=memory)
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="the memory policy of a team has"):
            await rt.run(team, "x")


def refuse(body: bytes, status: int = 400) -> ModelError:
    """Read a service's refusal."""
    return refusal(Peer(name="m", provider="p", model="m", url="u"), status, {}, body, 0.0)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "context_length_exceeded", "message": "too much"}}',
        b'{"error": {"message": "This model\\u0027s maximum context length is 8192 tokens."}}',
        b'{"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}',
        b'{"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}}',
        b'{"message": "Input is too long for requested model."}',
        b'{"message": "too many tokens: size limit exceeded by 9 tokens"}',
        b'{"error": {"message": "input length and `max_tokens` exceed context limit: 9 + 3 > 10"}}',
        b'{"error": {"message": "Invalid request: Your request exceeded model token limit: 8 (requested: 9)"}}',
        b'{"error": "This model\'s maximum prompt length is 8 but the request contains 9 tokens."}',
        b'{"error": {"message": "InternalError.Algo.InvalidParameter: Range of input length should be [1, 8]"}}',
        b'{"error": {"code": "1261", "message": "Prompt too long"}}',
        b'{"error": {"code": "1261", "message": "Prompt exceeds max length"}}',
        b'{"error": {"code": "InvalidParameter", "message": "Input length 9 exceeds the maximum length 8"}}',
        b'{"error": {"type": "exceed_context_size_error", "message": "it exceeds the available context size"}}',
    ],
)
def test_refusals_for_size_are_recognised(body: bytes) -> None:
    """Each service has its own words for a request that is too large; a limit of tokens a minute is another thing."""
    assert type(refuse(body)) is ContextOverflow
    assert type(
        refuse(body.replace(b"context_length_exceeded", b"x").replace(b"exceed_context_size_error", b"x"), 429)
    ) is (ModelError)
    assert type(refuse(b'{"error": {"message": "temperature is too high"}}')) is ModelError
