"""The peer Agno: its own API under asyncio, and AgentOS, its server. Run by the driver, in Agno's environment.

Agno keeps the history of a session in its in-process database, and adds the last hundred messages to the context.
Telemetry is off; a run logs nothing by default.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession
from agno.team import Team
from agno.team.mode import TeamMode
from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow

from .protocol import BRANCHES, HISTORY, STEPS, Row, concurrent, made, serve, timed, versions

CALL = {"id": "call", "type": "function", "function": {"name": "double", "arguments": '{"number": 21}'}}


class InstantModel(Model):
    """A model with an immediate answer."""

    def _respond(self, messages: list[Message]) -> ModelResponse:
        return ModelResponse(role="assistant", content="ok")

    def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer."""
        return self._respond(kwargs["messages"])

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer."""
        return self._respond(kwargs["messages"])

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        """Answer in a single piece."""
        yield self._respond(kwargs["messages"])

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        """Answer in a single piece."""
        yield self._respond(kwargs["messages"])

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        raise NotImplementedError

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError


class CallingModel(InstantModel):
    """A model with a tool call before its answer."""

    def _respond(self, messages: list[Message]) -> ModelResponse:
        if messages[-1].role == "tool":
            return super()._respond(messages)
        return ModelResponse(role="assistant", tool_calls=[CALL])


class DelegatingModel(InstantModel):
    """The model of a team's leader, who gives the task to all members before the answer."""

    def _respond(self, messages: list[Message]) -> ModelResponse:
        if messages[-1].role == "tool":
            return super()._respond(messages)
        function = {"name": "delegate_task_to_members", "arguments": '{"task": "hello"}'}
        return ModelResponse(role="assistant", tool_calls=[{**CALL, "function": function}])


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


async def take_step(step_input: StepInput) -> StepOutput:
    """Take a step of a workflow."""
    return StepOutput(content="2")


def _make_workflow(steps: list[Any]) -> Workflow:
    return Workflow(name="workflow", steps=steps, telemetry=False)


def _make_team() -> Team:
    members: list[Any] = [
        Agent(model=INSTANT, name=f"member {at}", id=f"member-{at}", telemetry=False) for at in range(BRANCHES)
    ]
    return Team(
        members=members, mode=TeamMode.broadcast, model=DelegatingModel(id="leader"), name="team", telemetry=False
    )


INSTANT, CALLING = InstantModel(id="instant"), CallingModel(id="calling")


def simple() -> Agent:
    """Make an agent as the first in Agno's documentation."""
    return Agent(model=INSTANT, name="assistant", telemetry=False)


def calling() -> Agent:
    """Make the agent with a tool."""
    return Agent(model=CALLING, name="assistant", tools=[double], telemetry=False)


def remembering(model: Model = INSTANT, db: InMemoryDb | None = None, **options: Any) -> Agent:
    """Make an agent with a memory of sessions."""
    return Agent(
        model=model,
        name="assistant",
        id="assistant",
        db=db or DB,
        add_history_to_context=True,
        num_history_messages=HISTORY,
        telemetry=False,
        **options,
    )


DB = InMemoryDb()


def in_session(model: Model, **options: Any) -> Row:
    """Return the row of runs in a session that begins with a hundred messages."""

    async def row(times: int) -> float:
        db = InMemoryDb()
        agent = remembering(model, db, **options)
        past = [
            RunOutput(
                run_id=f"run-{at}",
                agent_id="assistant",
                session_id="session",
                status=RunStatus.completed,
                content="hello",
                messages=[Message(role="user", content="hello"), Message(role="assistant", content="hello")],
            )
            for at in range(HISTORY // 2)
        ]
        db.upsert_session(AgentSession(session_id="session", agent_id="assistant", runs=past))
        return await timed(lambda: agent.arun("hello", session_id="session"))(times)

    return row


def rows() -> dict[str, Row]:
    """Return the peer's rows."""
    one, team = simple(), _make_team()
    chain = _make_workflow([Step(name=f"step {at}", executor=take_step) for at in range(STEPS)])
    fan = _make_workflow([Parallel(*(Step(name=f"step {at}", executor=take_step) for at in range(BRANCHES)))])
    return {
        "create": made(simple),
        "create_tool": made(calling),
        "create_memory": made(remembering),
        "run": timed(lambda: simple().arun("hello")),
        "run_again": timed(lambda: one.arun("hello")),
        "run_history": in_session(INSTANT),
        "tool": timed(lambda: calling().arun("hello")),
        "tool_history": in_session(CALLING, tools=[double]),
        "concurrent": concurrent(lambda: one.arun("hello")),
        "steps_plain": timed(lambda: chain.arun(input="go")),
        "branches": timed(lambda: fan.arun(input="go")),
        "team": timed(lambda: team.arun("hello")),
    }


def app() -> Any:
    """Make the application with an agent behind AgentOS."""
    from agno.os import AgentOS

    agent = Agent(model=INSTANT, name="assistant", id="assistant", telemetry=False)
    return AgentOS(agents=[agent], telemetry=False).get_app()


def serve_http(port: int, workers: int) -> None:
    """Serve the application on uvicorn with the fast loop and parser, on the loopback address."""
    import uvicorn

    uvicorn.run(
        "benchmarks.peers.agno:app",
        factory=True,
        host="127.0.0.1",
        port=port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_http(int(sys.argv[2]), int(sys.argv[3]))
    else:
        serve(
            {
                "versions": versions("agno"),
                "import": "from agno.agent import Agent",
                "notes": {"team": "with two calls of its leader's model", "branches": "its steps are not recorded"},
            },
            rows(),
            make=simple,
        )
