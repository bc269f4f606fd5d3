"""Pictures over HTTP, the timeline of a stored run, and the task tree of the server."""

from __future__ import annotations

from typing import Any

import httpx2
import trio

from agno_rt import Agent, MemoryPolicy, Team
from agno_rt.testing import ScriptedModel

JOURNAL = MemoryPolicy(journal=True)


def make_team() -> Team[Any, Any]:
    """Make a team of two agents that answer at once, whose runs are stored."""
    members = [Agent(ScriptedModel([f"{name} has read it."]), name, memory=JOURNAL) for name in ("ann", "bob")]
    return Team(members, "sequence", name="readers", memory=JOURNAL)


async def test_a_runnable_is_drawn(serve_agents: Any) -> None:
    """The picture is an SVG with the names of the parts; its policy lets it run nothing."""
    served = await serve_agents(make_team())
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        got = await http.get("/agents/readers/graph")
        unknown = await http.get("/agents/reader/graph")

    assert got.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert got.text.startswith("<svg")
    assert ">ann<" in got.text
    assert ">bob<" in got.text
    assert unknown.status_code == 404
    assert "readers" in unknown.json()["error"]["hint"]


async def test_a_stored_run_is_drawn(serve_agents: Any) -> None:
    """The picture and the timeline of a run have the runs within and their states; another user's run is unknown."""
    served = await serve_agents(make_team())
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        run = (await http.post("/agents/readers/runs", json={"input": "go", "user": "eve"})).json()["run_id"]
        picture = await http.get(f"/runs/{run}/graph", params={"user": "eve"})
        timeline = await http.get(f"/runs/{run}/timeline", params={"user": "eve"})
        hidden = [(await http.get(f"/runs/{run}/{part}")).status_code for part in ("graph", "timeline")]
    rows = timeline.json()["rows"]

    assert ">ann#1<" in picture.text
    assert [row["name"] for row in rows if row["kind"] == "agent"] == ["ann#1", "bob#1"]
    assert {row["state"] for row in rows} == {"completed"}
    assert all(row["began"] <= row["ended"] for row in rows if row["began"] is not None)
    assert hidden == [404, 404]


async def test_tasks(serve_agents: Any) -> None:
    """The runs under way are shown with their calls and the places in the source, without folders; limits too."""
    held, go_on = trio.Event(), trio.Event()

    async def hold(request: Any, emit: Any = None) -> str:
        held.set()
        await go_on.wait()
        return "done"

    served = await serve_agents(Agent(ScriptedModel([hold]), "waiter"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: http.post("/agents/waiter/runs", json={"input": "go", "user": "eve"}))
        with trio.fail_after(30):
            await held.wait()
        shown = (await http.get("/tasks", params={"user": "eve"})).json()
        others = (await http.get("/tasks")).json()
        go_on.set()

    [run] = shown["runs"]
    assert (run["agent"], run["doing"]) == ("waiter", "asking scripted")
    assert run["place"]["function"].endswith("hold")
    assert "/" not in run["place"]["file"]
    assert others["runs"] == []
    assert {"name": "runs", "in_use": 1}.items() <= next(
        one for one in shown["limits"] if one["name"] == "runs"
    ).items()
