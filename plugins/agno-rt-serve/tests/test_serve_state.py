"""The first state of a declared workflow, in the body of a run."""

from __future__ import annotations

from typing import Any

import attrs
import httpx2
import pytest

from agno_rt import Agent, State, Workflow
from agno_rt.testing import ScriptedModel

SSE = {"Accept": "text/event-stream"}


@attrs.define
class Plan:
    """The state of a workflow."""

    count: int = 1
    notes: list[str] = attrs.field(factory=list)


def tell(text: str, state: State[Plan]) -> str:
    """Tell the state."""
    return f"{text} {state.count} {','.join(state.notes)}"


def make_workflow() -> Workflow:
    """Return a workflow that tells its first state."""
    return Workflow("plan", [tell], state=Plan)


async def test_a_run_begins_with_the_state(serve_agents: Any) -> None:
    """Fields that are left out have their defaults; a stream begins with the state, too."""
    served = await serve_agents(make_workflow())
    async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:
        body = {"input": "go", "state": {"notes": ["a", "b"]}}
        plain = (await http.post("/agents/plan/runs", json={"input": "go"})).json()
        given = (await http.post("/agents/plan/runs", json=body)).json()
        streamed = await http.post("/agents/plan/runs", json=body, headers=SSE)

    assert (plain["content"], given["content"]) == ("go 1 ", "go 1 a,b")
    assert '"content":"go 1 a,b"' in streamed.text


@pytest.mark.parametrize(
    ("name", "state", "problem", "hint"),
    [
        ("plan", {"count": "many"}, "the given state does not fit Plan: Expected `int`, got `str`", "count, notes"),
        ("plan", {"cuont": 2}, "the given state has 'cuont', which Plan does not have", "count"),
        ("bare", {}, "workflow 'bare' has no state", "state="),
        ("clerk", {}, "'clerk' has no state to begin with", "Leave `state` out"),
    ],
)
async def test_refused(serve_agents: Any, name: str, state: dict[str, Any], problem: str, hint: str) -> None:
    """A state that does not fit is the client's fault, and the answer names the field."""
    clerk = Agent(ScriptedModel(["hi"]), "clerk")
    served = await serve_agents(make_workflow(), Workflow("bare", [clerk]), clerk)
    async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:
        answer = await http.post(f"/agents/{name}/runs", json={"input": "go", "state": state})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_body")
    assert problem in error["message"]
    assert hint in error["hint"]
