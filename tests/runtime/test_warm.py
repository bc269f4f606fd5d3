"""`Runtime.warm`: connections and models ahead of the first run."""

from __future__ import annotations

import pytest
import trio

from agno_rt import Agent, Fallback, ModelRequest, ModelResponse, Retry, Runtime, Team
from agno_rt.errors import ModelError
from agno_rt.testing import open_wire_server


class Warmed:
    """A model that notes how often it was warmed."""

    def __init__(self, name: str, fault: BaseException | None = None) -> None:
        self.name = name
        self.times = 0
        self.fault = fault

    async def respond(self, request: ModelRequest, emit: object = None) -> ModelResponse:
        """Answer with the name."""
        return ModelResponse(self.name)

    async def warm(self) -> None:
        """Count."""
        self.times += 1
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault


async def test_each_model_is_warmed_once() -> None:
    """Models of a team's members, and models within wrappers, are warmed once each."""
    one, two = Warmed("one"), Warmed("two")
    team = Team([Agent(Retry(one), "a"), Agent(Fallback(one, two), "b")], "team")
    async with Runtime() as runtime:
        await runtime.warm(team, Agent(two))
    assert (one.times, two.times) == (1, 1)


async def test_all_are_tried_and_the_first_failure_is_raised() -> None:
    """A model that cannot be reached does not keep the others cold; an unknown error names the model."""
    bad, worse, good = (
        Warmed("bad", ModelError("down", provider="x")),
        Warmed("worse", ValueError("no")),
        Warmed("good"),
    )
    async with Runtime() as runtime:
        with pytest.raises(ModelError, match="down"):
            await runtime.warm(*map(Agent, (bad, worse, good)))
        with pytest.raises(ModelError, match="warming the model worse failed: ValueError: no"):
            await runtime.warm(Agent(worse))
    assert good.times == 1


async def test_a_connection_is_opened_without_a_key() -> None:
    """The server sees one request without a key; the first run finds the connection open."""
    async with open_wire_server() as server:
        settings = {"openai": {"base_url": f"{server.url}/v1", "api_key": "sk-secret-secret"}}
        async with Runtime(settings=settings) as runtime:
            agent = Agent("openai:m")
            await runtime.warm(agent)
            assert [limit.in_use for limit in runtime.statistics() if "max_connections" in limit.name] == [0]
        (asked,) = server.requests
        assert asked.method == "HEAD"
        assert "authorization" not in asked.headers
        assert server.most_connections == 1


async def test_a_server_that_is_not_running() -> None:
    """A server that is not running is told."""
    async with open_wire_server() as gone:
        url = gone.url
    async with Runtime(settings={"openai": {"base_url": f"{url}/v1"}}) as runtime:
        with pytest.raises(ModelError, match="cannot be reached"):
            await runtime.warm(Agent("openai:m"))
