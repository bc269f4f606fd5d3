"""The files of the page as served: typed, cached, open to all, and allowed nothing beyond themselves."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import httpx2
import pytest

from agno_rt import Agent
from agno_rt.testing import ScriptedModel

AGENT = Agent(ScriptedModel(["Hello."]), "a")


async def test_policy(serve_agents: Any) -> None:
    """The page may run only its own files, and none of its scripts can turn text into markup."""
    served = await serve_agents(AGENT)
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        page = await http.get("/")
    policy = page.headers["content-security-policy"]

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|<script(?![^>]* src=)|style=| on\w+=|https?://", page.text)


async def test_all_files(serve_agents: Any) -> None:
    """Every file that the page names is served, with its type and the page's policy; other files are not."""
    served = await serve_agents(AGENT)
    asked = {"/"}
    seen: dict[str, httpx2.Response] = {}
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        while asked:
            path = asked.pop()
            seen[path] = answer = await http.get(path)
            assert answer.status_code == 200, path
            found = re.findall(r'(?:href|src)="(page/[^"]+)"|from "(\./[^"]+)"|import "(\./[^"]+)"', answer.text)
            for one in filter(None, (name for names in found for name in names)):
                folder = path.rpartition("/")[0]
                asked |= {f"/{one}" if path == "/" else f"{folder}/{one[2:]}"} - seen.keys()
        left_out = [await http.get(path) for path in ("/page/vendor/README.md", "/page/index.html", "/page/../app.py")]

    assert {answer.status_code for answer in left_out} == {404}
    types = {path.rpartition(".")[2]: answer.headers["content-type"] for path, answer in seen.items() if path != "/"}
    assert types == {
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
    assert all("default-src 'none'" in answer.headers["content-security-policy"] for answer in seen.values())
    served_files = {path.rpartition("/")[2] for path in seen}
    kept = resources.files("agno_rt_serve") / "page"
    assert {each.name for each in kept.iterdir() if each.name.endswith((".js", ".css"))} <= served_files


async def test_cache(serve_agents: Any) -> None:
    """A browser with the current file gets a 304; browsers that accept gzip get packed files."""
    served = await serve_agents(AGENT)
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        first = await http.get("/page/main.js")
        again = await http.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
        other = await http.get("/page/main.js", headers={"If-None-Match": '"other"'})
        plain = await http.get("/page/main.js", headers={"Accept-Encoding": "identity"})

    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200
    assert "content-encoding" not in plain.headers
    assert plain.text == first.text == other.text


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/vendor/marked.esm.js"])
async def test_no_key_is_needed(serve_agents: Any, path: str) -> None:
    """The page's files hold no secrets: they need no key on a server with a key."""
    served = await serve_agents(AGENT, key="k" * 20)
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        assert (await http.get(path)).status_code == 200
        assert (await http.get("/agents")).status_code == 401


async def test_limits_are_told(serve_agents: Any) -> None:
    """The page is told how large an attached file may be."""
    served = await serve_agents(AGENT, max_media=1234)
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        assert "&quot;max_media&quot;: 1234" in (await http.get("/")).text
