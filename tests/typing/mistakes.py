"""Mistakes for a type checker to find. Each is ignored in its line; a missed mistake is an unused ignore."""

from __future__ import annotations

from typing import Any

from agno_rt import Agent, Output, Runtime, run

from .outputs import City, Database, Trip


def wrong_output(agent: Agent[Any, Trip]) -> None:
    """The answer is used as something else."""
    city: City = run(agent, "hi").output  # type: ignore[assignment]
    name = run(agent, "hi").output.name  # type: ignore[attr-defined]
    text = run(Agent("m:x"), "hi").output.upper()  # type: ignore[attr-defined]
    print(city, name, text)


def wrong_agent() -> None:
    """An agent has wrong arguments, or a wrong type."""
    Agent("m:x", output=3)  # type: ignore[call-overload]
    Agent("m:x", outptu=Trip)  # type: ignore[call-overload]
    Agent("m:x", tools=[3])  # type: ignore[list-item]
    Agent("m:x", settings=[1])  # type: ignore[call-overload]
    Output(Trip, mode="words")  # type: ignore[arg-type]
    other: Agent[Any, City] = Agent("m:x", output=Trip)  # type: ignore[arg-type]
    print(other)


async def wrong_dependencies(rt: Runtime, agent: Agent[Database, Trip]) -> None:
    """The run has another dependency than the agent."""
    await rt.run(agent, "hi", deps=City("x"))  # type: ignore[misc]
    run(agent, "hi", deps="text")  # type: ignore[misc]
