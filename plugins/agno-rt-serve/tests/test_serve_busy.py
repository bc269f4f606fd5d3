"""Runs over HTTP on a session in use: the field `busy`."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import trio

from agno_rt import Agent, Emit, ModelRequest, ModelResponse
from agno_rt.events import TextDelta


class Slow:
    """A model that answers at once, except to the word "wait": then it streams a word and hangs."""

    name = "slow"

    def __init__(self) -> None:
        self.asked = trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        if request.messages[-1].text == "wait":
            if emit is not None:
                await emit(TextDelta("half"))
            self.asked.set()
            await trio.sleep_forever()
        return ModelResponse(" ".join(message.text for message in request.messages if message.role == "user"))


def client(served: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False)


async def post(http: httpx2.AsyncClient, input: str, **more: Any) -> httpx2.Response:
    """Make one run of the session."""
    return await http.post("/agents/slow/runs", json={"input": input, "session": "s", **more})


async def test_reject(serve_agents: Any) -> None:
    """A refused run is a 409 that names the session and the run."""
    model = Slow()
    async with client(await serve_agents(Agent(model, "slow"))) as http, trio.open_nursery() as nursery:
        nursery.start_soon(post, http, "wait")
        await model.asked.wait()
        refused = await post(http, "two", busy="reject")
        assert refused.status_code == 409
        error = refused.json()["error"]
        assert error["code"] == "session_busy"
        assert "session 's' is in use by run" in error["message"]
        nursery.cancel_scope.cancel()


async def test_interrupt_and_rollback(serve_agents: Any) -> None:
    """The run before ends with a 409 and the reason; the new run sees its question, or nothing of it."""
    model = Slow()
    async with client(await serve_agents(Agent(model, "slow"))) as http:
        for busy, code, seen in (("interrupt", "interrupted", "wait two"), ("rollback", "rolled_back", "wait two two")):
            stopped: list[httpx2.Response] = []

            async def hang(stopped: list[httpx2.Response] = stopped) -> None:
                stopped.append(await post(http, "wait"))

            async with trio.open_nursery() as nursery:
                model.asked = trio.Event()
                nursery.start_soon(hang)
                await model.asked.wait()
                done = await post(http, "two", busy=busy)
            assert done.json()["content"] == seen
            assert stopped[0].status_code == 409
            assert stopped[0].json()["error"]["code"] == code


async def test_a_stream_that_is_interrupted(serve_agents: Any) -> None:
    """The stream of the run before ends with the event that tells the reason."""
    model, events = Slow(), list[dict[str, Any]]()
    async with client(await serve_agents(Agent(model, "slow"))) as http:

        async def follow() -> None:
            body, headers = {"input": "wait", "session": "s"}, {"accept": "text/event-stream"}
            async with http.stream("POST", "/agents/slow/runs", json=body, headers=headers) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        events.append(json.loads(line[6:]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await model.asked.wait()
            assert (await post(http, "two", busy="interrupt")).status_code == 200
    assert (events[-1]["type"], events[-1]["status"], events[-1]["code"]) == ("run_ended", "cancelled", "interrupted")


async def test_mistakes(serve_agents: Any) -> None:
    """An unknown policy is a 400, and so is one without a session."""
    async with client(await serve_agents(Agent(Slow(), "slow"))) as http:
        unknown = await post(http, "one", busy="queue")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "invalid_body")
        assert "busy" in unknown.json()["error"]["message"]
        alone = await http.post("/agents/slow/runs", json={"input": "one", "busy": "reject"})
        assert (alone.status_code, alone.json()["error"]["code"]) == (400, "usage")
