"""Routes of other plugins: opened with the server, and told of each request's caller and rights."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from agno_rt_serve.auth.key_store import KeyStore, Rights

from agno_rt import Agent, AgnoError, ModelResponse, Runtime, Usage
from agno_rt.access import access_of
from agno_rt.errors import BackendError
from agno_rt.testing import ScriptedModel

Serve = Callable[..., Awaitable[Any]]


class Runs:
    """A route that runs the agents of the path, and answers with the caller's rights or the error's text."""

    def __init__(self, runtime: Runtime, log: list[str]) -> None:
        self._runtime = runtime
        self._log = log

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self._log.append("opened")
        yield
        self._log.append("closed")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        access = access_of(scope)
        name = scope["path"].split("/")[-1]
        try:
            if name == "broken":
                raise BackendError("the password is sesame")
            agent = Agent(ScriptedModel([ModelResponse("hi", usage=Usage(1, 1, cost=0.5))]), name)
            user = access.admit(agent)
            result = await self._runtime.run(agent, "hello", user=user)
            access.settle(agent, result)
            said: dict[str, Any] = {"user": user, "caller": access.caller, "decide": access.may("decide", agent)}
            said |= {"reaches": [access.reaches(owner) for owner in ("ann", "bob", None)], "call": access.may_call("t")}
        except AgnoError as exc:
            said = {"error": access.describe(exc), "code": exc.code}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


KEYS: dict[str, Any] = {
    "all": (("agents:a:run", "agents:a:decide", "tools:t:run"), "ann", {}),
    "a": (("agents:a:run",), "ann", {}),
    "poor": (("agents:*:run",), "bob", {"spend": "0.4/day"}),
}


@pytest.fixture
async def ask(serve_agents: Serve, tmp_path: Path) -> Any:
    """Serve the route at /runs2, and ask for an agent with one of the keys: `await ask("a", "all")`."""
    store, log = KeyStore(tmp_path / "keys.json"), list[str]()
    keys = {
        name: store.add(name, Rights(("routes:runs2:use", *scopes), **limits), now=time.time(), user=user)[0]
        for name, (scopes, user, limits) in KEYS.items()
    }
    served = await serve_agents(
        Agent(ScriptedModel([]), "a"), routes={"runs2": lambda runtime: Runs(runtime, log)}, keys_file=str(store.path)
    )

    async def send(name: str, key: str) -> Any:
        async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:
            answer = await http.get(f"/runs2/{name}", headers={"Authorization": f"Bearer {keys[key]}"})
        assert answer.status_code == 200
        return answer.json()

    send.log = log  # type: ignore[attr-defined]
    return send


class TestAccess:
    async def test_has_the_caller(self, ask: Any) -> None:
        """The route knows the key's user and rights, as the server's own routes do."""
        said = await ask("a", "all")

        assert said["user"] == "ann"
        assert said["caller"].startswith("key:")
        assert (said["decide"], said["call"], said["reaches"]) == (True, True, [True, False, False])

    async def test_refuses(self, ask: Any) -> None:
        """A key without the scope for the agent is refused by name of the scope; budgets hold."""
        refused = await ask("b", "a")
        first = await ask("a", "poor")
        second = await ask("a", "poor")

        assert refused["code"] == "forbidden"
        assert "agents:b:run" in refused["error"]
        assert (first["user"], first["decide"], first["call"]) == ("bob", False, False)
        assert second["code"] == "limit"
        assert "spent its amount" in second["error"]

    async def test_hides_inner_errors(self, ask: Any) -> None:
        """The text of an inner error stays in the server's log."""
        said = await ask("broken", "a")

        assert "sesame" not in said["error"]
        assert "log" in said["error"]

    async def test_is_opened_with_the_server(self, ask: Any) -> None:
        """A route with a method `open` is opened before the first request."""
        assert ask.log == ["opened"]


async def test_runnables_are_known(serve_agents: Serve) -> None:
    """`runtime.runnables` has the runnables that were added, and not those that only ran."""
    async with Runtime() as rt:
        assert dict(rt.runnables) == {}
        added = Agent(ScriptedModel(["hi"]), "a")
        rt.add(added)
        await rt.run(Agent(ScriptedModel(["hi"]), "b", memory={"journal": True}), "hello")

        assert dict(rt.runnables) == {"a": added}


def test_is_local_without_a_server() -> None:
    """A route under another server has the access of a local user."""
    access, agent = access_of({}), Agent(ScriptedModel([]), "a")

    assert access.admit(agent) is access.admit_call("t") is None
    assert access.may("run", agent)
    assert access.may_call("t")
    assert access.reaches("ann")
    assert access.describe(BackendError("no", hint="Try.")) == "no\nTry."
