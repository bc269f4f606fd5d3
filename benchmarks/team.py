"""The cost of a team: three members whose models answer at once, in each mode, against three runs by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime, ToolCall

from .common import ANSWER, INSTANT, Parts, Times, checkpoints, exact, in_runtime, measured_in, measuring, ratio

with Parts() as setup:
    from agno_rt import Team
    from agno_rt.teams import Broadcast, Leader, Sequence

MEMBERS = [Agent(INSTANT, f"member {number}") for number in range(3)]


class DelegatingModel:
    """A model that gives a task to each of three members at once, and then answers: two turns."""

    name = "delegating"

    def __init__(self) -> None:
        calls = (ToolCall(each.name, "delegate", {"member": each.name, "task": "go"}) for each in MEMBERS)
        self._first = ModelResponse(tool_calls=tuple(calls))

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Delegate, or answer once the results are there."""
        return ANSWER if request.messages[-1].role == "tool" else self._first


def _make_team(mode: str) -> Any:
    """Return the team of a mode."""
    if mode == "leader":
        return Team(MEMBERS, Leader(Agent(DelegatingModel(), "leader")), name="team")
    return Team(MEMBERS, Sequence() if mode == "sequence" else Broadcast(), name="team")


def _repeat(team: Any, runtime: Runtime) -> Times:
    """Return runs of the team, or of its members by themselves without a team."""

    async def runs(times: int) -> None:
        for _ in range(times):
            if team is not None:
                await runtime.run(team, "hello")
                continue
            for member in MEMBERS:
                await runtime.run(member, "hello")

    return runs


class Modes:
    """A run of a team of three; `alone` is three runs without a team."""

    params = ("alone", "sequence", "broadcast", "leader")
    param_names = ("mode",)

    def setup(self, mode: str) -> None:
        """Make the team."""
        self.team = None if mode == "alone" else _make_team(mode)

    def time_100_runs(self, mode: str) -> None:
        """A hundred runs of the team, one after another; opening the runtime is in the time too."""
        in_runtime(lambda runtime: _repeat(self.team, runtime)(100))

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, mode: str) -> float:
        """Time of a run in bare trio checkpoints."""

        async def body(runtime: Runtime) -> float:
            return await ratio(_repeat(self.team, runtime), checkpoints, times=100)

        return float(in_runtime(body))


class Counts:
    """Exact counts of a run of a team of three. Not of a broadcast: trio orders the branches of a group at random."""

    params = ("alone", "sequence", "leader")
    param_names = ("mode",)

    def setup(self, mode: str) -> None:
        """Make the team."""
        self.team = None if mode == "alone" else _make_team(mode)

    @exact("calls")
    def track_python_calls(self, mode: str) -> int:
        """Python calls of a run."""
        return self._count(measuring.python_calls)

    @exact("steps")
    def track_scheduler_steps(self, mode: str) -> int:
        """Steps of trio's scheduler in a run."""
        return self._count(measuring.scheduler_steps)

    def _count(self, count: Callable[[Times], Awaitable[int]]) -> int:
        async def body(runtime: Runtime) -> int:
            return await count(_repeat(self.team, runtime))

        return int(in_runtime(body))


class Hundred:
    """A run of a broadcast team of a hundred."""

    @measured_in("x")
    def track_ratio_to_runs(self) -> float:
        """Time relative to a hundred runs of the members at once, without a team."""
        members = [Agent(INSTANT, f"member {number}") for number in range(100)]
        team = Team(members, Broadcast(), name="team")

        async def body(runtime: Runtime) -> float:
            async def runs(times: int) -> None:
                for _ in range(times):
                    async with trio.open_nursery() as nursery:
                        for member in members:
                            nursery.start_soon(runtime.run, member, "hello")

            async def teams(times: int) -> None:
                for _ in range(times):
                    await runtime.run(team, "hello")

            return await ratio(teams, runs, times=1, rounds=100)

        return float(in_runtime(body))


class Members:
    """A run of a team with many members at once."""

    params = (10, 100, 1000)
    param_names = ("members",)

    @measured_in("checkpoints")
    def track_checkpoints_a_member(self, members: int) -> float:
        """Time of a run in bare trio checkpoints, divided by the members."""
        team = Team([Agent(INSTANT, f"member {number}") for number in range(members)], Broadcast(), name="team")

        async def body(runtime: Runtime) -> float:
            async def runs(times: int) -> None:
                for _ in range(times):
                    await runtime.run(team, "hello")

            return await ratio(runs, checkpoints, times=5, rounds=5) / members

        return float(in_runtime(body))
