"""Users with keys are apart in the formats of others, too: responses, and the sessions of AgentOS."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
from agno_rt_serve.auth.key_store import KeyStore, Rights

from agno_rt import Agent
from agno_rt.testing import ScriptedModel


async def test_keys_of_two_users(serve_agents: Any, tmp_path: Path) -> None:
    """Bob neither reads, lists, goes on from nor deletes Ann's response and session, whatever he says; Ann does."""
    store = KeyStore(tmp_path / "keys.json")
    keys = {name: store.add(name, Rights(("*",)), now=time.time())[0] for name in ("ann", "bob")}
    served = await serve_agents(Agent(ScriptedModel(lambda request: "Hello."), "a"), keys_file=str(store.path))
    async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:

        async def ask(key: str, method: str, path: str, **more: Any) -> httpx2.Response:
            return await http.request(method, path, headers={"Authorization": f"Bearer {keys[key]}"}, **more)

        response = (await ask("ann", "POST", "/v1/responses", json={"model": "a", "input": "Secret"})).json()
        session = (await ask("ann", "POST", "/api/v1/sessions", json={"agent_id": "a", "name": "Secret"})).json()
        kept, one = f"/v1/responses/{response['id']}", f"/api/v1/sessions/{session['session_id']}"
        run = {"input": "Hi", "session_id": session["session_id"]}
        refused = [
            await ask("bob", method, f"{path}{said}")
            for said in ("", "?user=ann", "?user_id=ann")
            for path in (kept, f"{kept}/input_items", one, f"{one}/history", f"{one}/summary")
            for method in ("GET", "DELETE")
            if method == "GET" or path in (kept, one)
        ]
        refused += [
            await ask(
                "bob", "POST", "/v1/responses", json={"model": "a", "previous_response_id": response["id"], **who}
            )
            for who in ({}, {"user": "ann"})
        ]
        refused += [
            await ask("bob", "POST", "/api/v1/agents/a/run", json=run),
            await ask("bob", "POST", "/api/v1/agents/a/run", json=run | {"run_context": {"user_id": "ann"}}),
            await ask("bob", "PUT", one, json={"name": "Mine"}),
            await ask("bob", "POST", f"{one}/reuse", json={"agent_id": "b"}),
        ]
        listed = (await ask("bob", "GET", "/api/v1/sessions")).json()
        own = [await ask("ann", "GET", path) for path in (kept, one, f"{kept}/input_items", f"{one}/history")]
        goes_on = await ask("ann", "POST", "/api/v1/agents/a/run", json=run)

    assert {each.status_code for each in refused} <= {400, 403, 404}
    assert not any("Secret" in each.text for each in refused)
    assert listed == {"sessions": [], "count": 0}
    assert [each.status_code for each in (*own, goes_on)] == [200] * 5
    assert session["user_id"] == "ann"
