"""Errors for clients: the kind and the run's id; all else is in the log."""

from __future__ import annotations

import json
from typing import Any

import attrs
import httpx2
import pytest
import structlog

from agno_rt import Agent, ModelRequest, ModelResponse, Retry, ToolCall, tool
from agno_rt.context import RunContext
from agno_rt.errors import (
    AgnoError,
    BackendError,
    Blocked,
    ConfigError,
    LimitExceeded,
    ModelError,
    OutputError,
    PluginError,
    SessionConflict,
    ToolDefinitionError,
    UsageError,
)
from agno_rt.events import TextDelta
from agno_rt.hooks import Hook
from agno_rt.messages import Message
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel

SECRET = "/srv/private/key.pem"
SSE = {"Accept": "text/event-stream"}


class Unprintable(Exception):
    """An exception without a printable text."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def caused(error: AgnoError, cause: Exception) -> AgnoError:
    error.__cause__ = cause
    return error


INNER: list[tuple[Exception, int, str, str]] = [
    (RuntimeError(SECRET), 500, "hook", "the run failed in the server"),
    (caused(BackendError(SECRET), Unprintable()), 503, "backend", "the server's stored data"),
    (BackendError(f"{SECRET} is locked"), 503, "backend", "the server's stored data"),
    (
        caused(BackendError("the disk is full", hint="Free some."), OSError(SECRET)),
        503,
        "backend",
        "the server's stored data",
    ),
    (SessionConflict(f"{SECRET} is at version 2, not 1"), 409, "session_conflict", "another run changed the session"),
    (PluginError(SECRET, plugin="p"), 500, "plugin", "the run failed in the server"),
    (ConfigError(f"{SECRET}, line 1"), 500, "config", "lacks a setting"),
    (ToolDefinitionError(f"{SECRET}, line 1"), 500, "tool_definition", "the run failed in the server"),
    (OutputError(f"it said {SECRET}"), 502, "output", "does not fit"),
    (ModelError(f"{SECRET} refused"), 502, "model", "gave no answer"),
    (ModelError(SECRET, status=400), 502, "model", "refused the request"),
    (ModelError(SECRET, hint=SECRET, status=401), 502, "model", "refused the request"),
    (ModelError(SECRET, status=429, retryable=True, retry_after=7), 502, "model", "does not accept more requests"),
    (ModelError(SECRET, status=500, retryable=True), 502, "model", "out of order"),
    (ModelError(SECRET, status=504, retryable=True), 502, "model", "did not answer in time"),
]
TOLD: list[tuple[AgnoError, int]] = [
    (UsageError("say more", hint="Please."), 400),
    (Blocked("not here", guard="g"), 422),
    (LimitExceeded("too many", limit="turns", hint="Fewer."), 422),
]


@attrs.define(eq=False)
class Raising(Hook):
    """A hook that fails."""

    error: Exception

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> tuple[Message, ...] | None:
        raise self.error


class Failing:
    """A model whose own code fails."""

    name = "failing"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        raise RuntimeError(f"cannot read {SECRET}")


def ways(http: httpx2.AsyncClient, input: str = "x") -> list[Any]:
    """The four ways to run an agent."""
    chat = {"model": "a", "messages": [{"role": "user", "content": input}]}
    return [
        http.post("/agents/a/runs", json={"input": input}),
        http.post("/agents/a/runs", json={"input": input}, headers=SSE),
        http.post("/v1/chat/completions", json=chat),
        http.post("/v1/chat/completions", json=chat | {"stream": True}),
    ]


async def answers(served: Any) -> tuple[list[httpx2.Response], list[Any]]:
    """Return the answer of each way, and the log's lines about it."""
    found, logged = [], []
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        for way in ways(http):
            with structlog.testing.capture_logs() as lines:
                found.append(await way)
            logged.append([line for line in lines if line["log_level"] == "error"])
    return found, logged


def agent(error: Exception) -> Agent:
    return Agent(ScriptedModel(["x"] * 9), "a", hooks=[Raising(error)])


@pytest.mark.parametrize(("error", "status", "code", "told"), INNER)
async def test_inner_errors(serve_agents: Any, error: Exception, status: int, code: str, told: str) -> None:
    """An inner error is told by its kind and run; its text is only in the log, with the ids of run and request."""
    found, logged = await answers(await serve_agents(agent(error)))

    assert [answer.status_code for answer in found] == [status, 200, status, 200]
    for answer, [line] in zip(found, logged, strict=True):
        assert SECRET not in answer.text
        assert told in answer.text
        assert (line["run"] in answer.text, line["request"], line["code"]) == (
            True,
            answer.headers["x-request-id"],
            code,
        )
        assert SECRET in str(line)
    body = found[0].json()["error"]
    assert (set(body), body["code"]) == ({"code", "message", "hint", "run_id"}, code)
    assert (found[0].headers.get("retry-after") == "7") == ("429" in str(getattr(error, "status", "")))


@pytest.mark.parametrize(("error", "status"), TOLD)
async def test_what_the_client_can_mend(serve_agents: Any, error: AgnoError, status: int) -> None:
    """An error that the client can mend or wait out is told in full."""
    found, logged = await answers(await serve_agents(agent(error)))

    assert [answer.status_code for answer in found] == [status, 200, status, 200]
    assert all(error.message in answer.text and error.hint in answer.text for answer in found)
    assert logged == [[], [], [], []]


async def test_a_model_that_raises(serve_agents: Any) -> None:
    """An exception from a model's own code is told nowhere, also not in the events of a stream."""
    found, logged = await answers(await serve_agents(Agent(Failing(), "a")))

    assert all(SECRET not in answer.text for answer in found)
    assert all(SECRET in str(line) for [line] in logged)


async def test_an_agent_that_cannot_run(serve_agents: Any) -> None:
    """A fault of an agent is for its author: no client can mend it."""
    found, logged = await answers(await serve_agents(Agent("nothing:at-all", "a")))

    assert [answer.status_code for answer in found] == [500] * 4
    assert all("nothing" not in answer.text and "cannot run as it stands" in answer.text for answer in found)
    assert all("'nothing'" in str(line) for [line] in logged)


async def test_for_developers(serve_agents: Any) -> None:
    """With `show_errors` clients are told everything."""
    found, _ = await answers(await serve_agents(agent(BackendError(SECRET)), show_errors=True))

    assert all(SECRET in answer.text for answer in found)


@pytest.mark.parametrize("show", [False, True])
async def test_tools_that_fail(serve_agents: Any, show: bool) -> None:
    """A stream says that a tool failed; the log has the text that the model got."""

    @tool
    def read() -> str:
        """Read."""
        raise OSError(f"cannot open {SECRET}")

    model = ScriptedModel([ToolCall("c1", "read"), "It failed."])
    served = await serve_agents(Agent(model, "a", tools=[read]), show_errors=show)
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        with structlog.testing.capture_logs() as logged:
            stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

    events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: ")]
    [ended] = [event for event in events if event["type"] == "tool_ended"]
    assert ended["status"] == "failed"
    assert (SECRET in stream.text) is show
    assert SECRET in model.requests[1].messages[-1].text
    assert show or [(line["tool"], SECRET in line["error"]) for line in logged] == [("read", True)]


async def test_a_model_that_is_asked_again(serve_agents: Any) -> None:
    """Clients are not told why a turn begins anew."""

    class Stumbling:
        name = "stumbling"
        asked = 0

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            self.asked += 1
            if self.asked == 1:
                if emit is not None:
                    await emit(TextDelta("We"))
                raise ModelError(f"{SECRET} is away", retryable=True)
            return ModelResponse("Well.")

    served = await serve_agents(Agent(Retry(Stumbling(), wait=0.001), "a"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

    assert "event: turn_restarted" in stream.text
    assert SECRET not in stream.text


async def test_what_is_logged_steers_nothing(serve_agents: Any) -> None:
    """An error whose text would steer a terminal, or add a line, is logged in plain characters."""
    _, logged = await answers(await serve_agents(agent(BackendError("gone\x1b[2J\n2026 [info] all is well\u202e"))))

    assert all(line["error"] == "gone\\x1b[2J\\n2026 [info] all is well\\u202e" for [line] in logged)


BROKEN = """
from agno_rt import Agent

class Broken:
    name = "broken"

    async def respond(self, request, emit=None):
        local = "kept" + "back"
        raise RuntimeError("cannot read the key")

a = Agent(Broken(), "a")
"""


@pytest.mark.parametrize(
    ("options", "settings", "shown"),
    [((), "", False), (("--show-errors",), "", True), (("--debug",), "", True), ((), "show_errors = true", True)],
)
def test_options(launch: Any, address: Any, options: tuple[str, ...], settings: str, shown: bool) -> None:
    """Developers can have errors shown in full; errors are in the log anyway, with the run's id."""
    process = launch(BROKEN, *options, settings=settings)
    answer = httpx2.post(f"{address(process)}/agents/a/runs", json={"input": "x"}, timeout=60)
    process.terminate()
    logged = "".join(process.communicate(timeout=60))

    assert (answer.status_code, "cannot read the key" in answer.text) == (502, shown)
    assert "cannot read the key" in logged
    assert answer.json()["error"]["run_id"] in logged
    assert ("Traceback" in logged) is shown
    assert "keptback" not in logged


@pytest.mark.parametrize("path", ["/%1b[31m", "/a%0ab", "/%e2%80%aecba", "/%c2%9b31m", "/%00", "/%e2%80%a8"])
def test_paths_that_steer_terminals(launch: Any, address: Any, path: str) -> None:
    """Any path that a client requests is logged in one line of plain characters."""
    process = launch(BROKEN, "--access-log")
    answer = httpx2.get(address(process) + path, timeout=60)
    process.terminate()
    [line] = [line for line in "".join(process.communicate(timeout=60)).split("\n") if "GET" in line and "404" in line]

    assert answer.status_code == 404
    assert line.isprintable()
    assert line.isascii()
