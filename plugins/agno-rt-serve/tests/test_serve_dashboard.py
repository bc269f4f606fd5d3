"""The dashboard of benchmarks at /benchmarks: the files that are served, and the files that never are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent
from agno_rt.errors import UsageError
from agno_rt.testing import ScriptedModel

PATIENCE = 60.0
Serve = Callable[..., Awaitable[Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published dashboard among other files, beside a secret."""
    made = tmp_path / "html"
    (made / "graphs" / "cpu-Fast one").mkdir(parents=True)
    for name in ("index.html", "graphs.html", "index.json", "asv.js", "asv.css", "regressions.xml", "swallow.png"):
        (made / name).write_text(f"the file {name}")
    (made / "graphs" / "cpu-Fast one" / "a (b).json").write_text("[]")
    (made / "notes.txt").write_text("no part of it")
    (made / ".env").write_text("KEY=1")
    secret = tmp_path / "secret.json"
    secret.write_text('{"key": 1}')
    (made / "leak.json").symlink_to(secret)
    (made / "outside").symlink_to(tmp_path)
    return made


def agent() -> Agent:
    return Agent(ScriptedModel([]), "quick")


async def get(served: Any, target: str, *, method: str = "GET", headers: str = "") -> Any:
    """Send the target unchanged: no client tidies it up."""
    async with await served.dial() as wire:
        await wire.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        return await wire.answer(head_only=method == "HEAD")


class TestServing:
    async def test_files(self, serve_agents: Serve, folder: Path) -> None:
        """Each kind of file has its own type; the pages may load nothing from elsewhere."""
        served = await serve_agents(agent(), benchmarks=str(folder))
        for target, kind in (
            ("/benchmarks/", "text/html; charset=utf-8"),
            ("/benchmarks/index.html", "text/html; charset=utf-8"),
            ("/benchmarks/asv.js?timestamp=1", "text/javascript; charset=utf-8"),
            ("/benchmarks/asv.css", "text/css; charset=utf-8"),
            ("/benchmarks/index.json", "application/json"),
            ("/benchmarks/regressions.xml", "application/xml"),
            ("/benchmarks/swallow.png", "image/png"),
            ("/benchmarks/graphs/cpu-Fast%20one/a%20(b).json", "application/json"),
        ):
            answer = await get(served, target)
            assert (answer.status, answer.headers["content-type"]) == (200, kind), target
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]

        assert (await get(served, "/benchmarks/")).body == b"the file index.html"

    async def test_without_the_slash(self, serve_agents: Serve, folder: Path) -> None:
        """The bare path redirects to the path on which relative links work."""
        answer = await get(await serve_agents(agent(), benchmarks=str(folder)), "/benchmarks")

        assert (answer.status, answer.headers["location"]) == (307, "benchmarks/")

    async def test_what_did_not_change(self, serve_agents: Serve, folder: Path) -> None:
        """A browser with the current file gets a 304, and HEAD gets only the head."""
        served = await serve_agents(agent(), benchmarks=str(folder))
        head = await get(served, "/benchmarks/asv.js", method="HEAD")
        again = await get(served, "/benchmarks/asv.js", headers=f"If-None-Match: {head.headers['etag']}\r\n")

        assert (head.status, head.headers["content-length"]) == (200, str(len("the file asv.js")))
        assert again.status == 304

    async def test_published_anew(self, serve_agents: Serve, folder: Path) -> None:
        """A dashboard published while the server runs is served."""
        served = await serve_agents(agent(), benchmarks=str(folder))
        (folder / "index.html").write_text("newer")

        assert (await get(served, "/benchmarks/")).body == b"newer"

    async def test_the_rest_goes_on(self, serve_agents: Serve, folder: Path) -> None:
        """The agents stay at their paths, and without the setting there is no dashboard."""
        served = await serve_agents(agent(), benchmarks=str(folder))
        assert (await get(served, "/agents")).status == 200

        without = await serve_agents(agent())
        assert (await get(without, "/benchmarks/")).status == 404


class TestRefusing:
    @pytest.mark.parametrize(
        "path",
        [
            "nothing.html",
            "graphs/",
            "notes.txt",
            ".env",
            "leak.json",
            "outside/secret.json",
            "../secret.json",
            "%2e%2e/secret.json",
            "..%2fsecret.json",
            "graphs/../../secret.json",
            "%252e%252e/secret.json",
            "..\\secret.json",
            "/etc/hostname.json",
            "index.html%00.json",
            "x" * 5_000 + ".html",
        ],
    )
    async def test_what_is_not_there(self, serve_agents: Serve, folder: Path, path: str) -> None:
        """No path leads out of the folder, and other files in the folder are not served: 404, in JSON."""
        answer = await get(await serve_agents(agent(), benchmarks=str(folder)), f"/benchmarks/{path}")

        assert answer.status == 404
        error = json.loads(answer.body)["error"]
        assert error["code"] == "not_found"
        assert "/benchmarks/" in error["hint"]

    async def test_writing(self, serve_agents: Serve, folder: Path) -> None:
        """The dashboard is read-only."""
        answer = await get(
            await serve_agents(agent(), benchmarks=str(folder)), "/benchmarks/index.html", method="DELETE"
        )

        assert answer.status == 405
        assert json.loads(answer.body)["error"]["code"] == "method_not_allowed"
        assert (folder / "index.html").exists()

    @pytest.mark.parametrize("missing", ["index.html", "graphs.html", "index.json"])
    async def test_no_dashboard(self, serve_agents: Serve, folder: Path, missing: str) -> None:
        """A folder without a dashboard is an error at start, with the folder and the way to make a dashboard."""
        (folder / missing).unlink()
        with pytest.raises(UsageError, match=f"has no file {missing}") as caught:
            await serve_agents(agent(), benchmarks=str(folder))

        assert str(folder) in caught.value.message
        assert "make dashboard" in caught.value.hint

    def test_the_option(self, tmp_path: Path) -> None:
        """`--benchmarks` overrides the setting; without a dashboard the command ends, without a traceback."""
        (tmp_path / "agno-rt.toml").write_text(
            '[agents.a]\nmodel = "llamacpp:smollm2"\n[plugins.serve]\nbenchmarks = "x"\n'
        )
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "--port", "0", "--benchmarks", "nowhere"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)

        assert done.returncode == 2
        assert "'nowhere'" in done.stderr
        assert "make dashboard" in done.stderr
        assert "Traceback" not in done.stderr
