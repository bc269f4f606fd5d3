"""A stranger's first steps: clone, `make serve`, ask; then install a plugin with pip. Takes a minute or two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import serving

REPOSITORY = Path(__file__).parents[2]


def run(*command: str | Path, folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command, check for success, and return the output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.usefixtures("curl_is_here")
@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="needs the git checkout that it clones")
def test_a_stranger_gets_an_answer_and_adds_a_plugin(tmp_path: Path) -> None:
    """From a fresh clone, with no environment and no weights, `make serve` answers, and a new plugin takes part."""
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", REPOSITORY, clone, folder=tmp_path)
    environment = {"AGNO_RT_CACHE": str(tmp_path / "cache"), "VIRTUAL_ENV": ""}

    with serving(["make", "serve", "PORT=0"], clone, environment) as server:
        body = ["-H", "Content-Type: application/json", "-d", '{"input": "Say hello."}']
        answer = json.loads(run("curl", "-sS", f"{server.url}/agents/assistant/runs", *body, folder=tmp_path))
        assert answer["status"] == "completed"
        assert answer["content"]
        assert server.stop(signal.SIGTERM) is not None

    agno_rt, python = clone / ".venv/bin/agno-rt", clone / ".venv/bin/python"
    run(agno_rt, "plugin", "new", "shout", folder=tmp_path)
    made = tmp_path / "agno-rt-shout"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", made, folder=tmp_path)
    shutil.rmtree(made)

    plugins = json.loads(run(agno_rt, "plugins", "--json", folder=tmp_path))
    assert "shout" in [plugin["name"] for plugin in plugins]
    (tmp_path / "agno-rt.toml").write_text('[agents.parrot]\nmodel = "shout:echo"\ntools = ["shout:shout"]\n')
    assert "hello there" in run(agno_rt, "run", "parrot", "hello there", folder=tmp_path)
