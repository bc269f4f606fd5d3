"""The OpenAPI document: made of the tables of routes, complete, and consistent in itself."""

from __future__ import annotations

import re
from typing import Any

import httpx2

from agno_rt import Agent
from agno_rt.testing import ScriptedModel

AGENT = Agent(ScriptedModel(["Hello."]), "a")


async def _get_document(served: Any) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        document: dict[str, Any] = (await http.get("/openapi.json")).raise_for_status().json()
    return document


def _list_operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, each) for path, found in document["paths"].items() for method, each in found.items()]


async def test_every_route_is_described(serve_agents: Any) -> None:
    """Every route of the server is in the document, except for the page's files and single agents' routes."""
    served = await serve_agents(AGENT, key="k" * 20, profile=True)
    document = await _get_document(served)

    told = {(method.upper(), path) for method, path, _ in _list_operations(document)}
    table = {
        (route.method, re.sub(r":path\}", "}", route.path))
        for route in served.server.app.routes
        if not route.path.startswith(("/page/", "/agents/a/", "/debug/")) and route.path not in ("/", "/docs")
    }
    assert {each for each in table if each[0] != "WEBSOCKET"} - told == set()


async def test_references(serve_agents: Any) -> None:
    """Each reference in the document leads to a component; each operation has an id of its own and an answer."""
    document = await _get_document(await serve_agents(AGENT))
    text = str(document)

    for kind, name in re.findall(r"#/components/(\w+)/([\w.]+)", text):
        assert name in document["components"][kind]
    ids = [each["operationId"] for _, _, each in _list_operations(document)]
    assert len(ids) == len(set(ids))
    for _, path, each in _list_operations(document):
        assert any(status.startswith("2") for status in each["responses"]), path
        named = {parameter["name"] for parameter in each.get("parameters", ()) if parameter["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))


async def test_key(serve_agents: Any) -> None:
    """The document says which routes need the server's key; reading the document needs none."""
    document = await _get_document(await serve_agents(AGENT, key="k" * 20))

    assert document["security"] == [{"key": []}]
    open_to_all = {path for _, path, each in _list_operations(document) if each.get("security") == []}
    assert {"/health", "/openapi.json", "/sign-in"} <= open_to_all
    assert "/agents" not in open_to_all
    open_server = await _get_document(await serve_agents(AGENT))
    assert {} in open_server["security"]


async def test_problems(serve_agents: Any) -> None:
    """An error is problem details of RFC 9457, with the code and the hint in `error`."""
    served = await serve_agents(AGENT)
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        answers = [await http.get("/runs?limit=none"), await http.get("/nothing"), await http.post("/agents")]

    errors = ((400, "invalid_query"), (404, "not_found"), (405, "method_not_allowed"))
    for answer, (status, code) in zip(answers, errors, strict=True):
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert (answer.status_code, told["status"], told["type"]) == (status, status, "about:blank")
        assert told["error"]["code"] == code
        assert told["detail"] == told["error"]["message"]
        assert told["error"]["hint"]
