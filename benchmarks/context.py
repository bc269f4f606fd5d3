"""What a run pays for context: a provider, a summary that has nothing to do, a bound of results; and a search."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agno_rt import Agent, MemoryPolicy, Message, RunContext, Runtime

from .common import INSTANT, Parts, Times, exact, in_runtime, measured_in, measuring, seconds, sqlite_url

with Parts() as setup:
    from agno_rt.context_providers import search_sessions
    from agno_rt.memory import LargeResults, Summary
    from agno_rt.providers import Context

FOUND = 20


class Rules:
    """A provider with instructions and notes."""

    name = "rules"

    async def provide(self, context: RunContext) -> Context:
        """Return the same each time."""
        return Context("Be brief.", "It is Monday.")


KINDS = ("none", "provider", "summary", "results")


def _make_policy(kind: str) -> MemoryPolicy:
    """Return the policy of a kind."""
    if kind == "provider":
        return MemoryPolicy(context=[Rules()])
    if kind == "summary":
        return MemoryPolicy(summary=Summary(window=100_000))
    return MemoryPolicy(results=LargeResults() if kind == "results" else None)


def _repeat(policy: MemoryPolicy, runtime: Runtime) -> Times:
    """Return runs of an agent with the policy."""
    agent = Agent(INSTANT, "assistant", memory=policy)

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(agent, "hello")

    return runs


class Counts:
    """Exact counts of a run of one turn."""

    params = KINDS
    param_names = ("context",)

    @exact("calls")
    def track_python_calls(self, context: str) -> int:
        """Python calls of a run."""
        return self._count(context, measuring.python_calls)

    @exact("steps")
    def track_scheduler_steps(self, context: str) -> int:
        """Steps of trio's scheduler in a run."""
        return self._count(context, measuring.scheduler_steps)

    def _count(self, context: str, count: Callable[[Times], Awaitable[int]]) -> int:
        async def body(runtime: Runtime) -> int:
            return await count(_repeat(_make_policy(context), runtime))

        return int(in_runtime(body))


class Search:
    """A search over the sessions of one user, of so many messages each: in the process, and in a file."""

    params = (("memory", "sqlite"), (100, 1000))
    param_names = ("memory", "messages")

    @measured_in("ms")
    def track_milliseconds(self, memory: str, messages: int) -> float:
        """Time of a search once the index is made, over ten sessions."""
        with sqlite_url() as url:
            return float(
                in_runtime(
                    lambda runtime: _time_search(runtime, messages), memory=url if memory == "sqlite" else "memory:"
                )
            )


async def _time_search(runtime: Runtime, messages: int) -> float:
    for session in range(10):
        said = [Message("user", f"thing {number} of session {session}") for number in range(messages)]
        await runtime.memory.append(f"s{session}", said, version=0, user="ann")

    async def search(times: int) -> None:
        for _ in range(times):
            found = await search_sessions(runtime.memory, "thing 7", user="ann", limit=FOUND)
            assert len(found) == FOUND or messages < FOUND

    await search(1)
    return 1000 * await seconds(search, times=3)
