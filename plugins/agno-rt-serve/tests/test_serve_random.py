"""Random requests made from the OpenAPI document: no answer is a server's fault, and none is undocumented."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CODE = """
from agno_rt import Agent, ToolCall, tool
from agno_rt.testing import ScriptedModel


@tool(approve=True)
def refund(order: str) -> str:
    return f"refunded {order}"


def says(request):
    last = request.messages[-1]
    return last.text if last.role == "tool" else ToolCall("1", "refund", '{"order": "A1"}')


a = Agent(ScriptedModel(lambda request: "Hello."), "a")
desk = Agent(ScriptedModel(says), "desk", tools=[refund])
"""

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
EXAMPLES = 6


@pytest.fixture
def server_url(
    launch: Callable[..., subprocess.Popen[str]], address: Callable[[subprocess.Popen[str]], str], tmp_path: Path
) -> str:
    """Start a server with some runs, a session and knowledge. Return its address."""
    settings = f'[knowledge.kb]\nstore = "sqlite:///{tmp_path / "kb.db"}"\n'
    return address(launch(CODE, settings=settings, memory=f"sqlite:///{tmp_path / 'serve.db'}"))


def _make_things(url: str) -> dict[str, list[str]]:
    """Return values for the parameters of paths that lead to things which exist."""
    with httpx2.Client(base_url=url, timeout=30) as http:
        ran = http.post("/agents/a/runs", json={"input": "Hi.", "session": "s", "background": True}).json()["run_id"]
        paused = http.post("/agents/desk/runs", json={"input": "Refund."}).json()
        http.get(f"/runs/{ran}/events")
        return {
            "/agents": ["a", "desk"],
            "/runs": [ran, paused["run_id"]],
            "/approvals": [paused["approvals"][0]["id"]],
            "/sessions": ["s"],
            "/knowledge": ["kb"],
        }


def test_random_requests(server_url: str) -> None:
    """Each operation gets requests that fit its description, half of them about things that exist."""
    things = _make_things(server_url)
    schema = schemathesis.openapi.from_url(f"{server_url}/openapi.json")
    tried = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        _try_operation(operation, next((found for start, found in things.items() if start in operation.path), []))
        tried.append(operation.label)
    assert len(tried) > 60


def _try_operation(operation: Any, known: list[str]) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(), st.sampled_from([None, *known]))
    def check(case: Any, thing: str | None) -> None:
        if thing is not None and case.path_parameters:
            case.path_parameters = dict.fromkeys(case.path_parameters, thing)
        case.validate_response(case.call(timeout=30), checks=CHECKS)

    check()
