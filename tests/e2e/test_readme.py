"""What the README shows, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import COMMAND

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, having: str) -> str:
    """The code block of the README in that language that has this in it."""
    blocks = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if having in text]
    assert len(blocks) == 1, f"the README has {len(blocks)} {language} blocks with {having!r}"
    return str(blocks[0])


def run(*command: str, folder: Path, path: Path | None = None) -> str:
    """What a command prints; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("weights")
def test_the_program(tmp_path: Path) -> None:
    """The program answers, and has stored its session where it says."""
    (tmp_path / "program.py").write_text(block("python", "trio.run(main)"))

    assert run(sys.executable, "program.py", folder=tmp_path).strip()
    assert (tmp_path / "chats.db").exists()


def test_the_plugin(tmp_path: Path) -> None:
    """The plugin, installed as its pyproject.toml says, is listed, and its model answers."""
    installed = tmp_path / "installed"
    metadata = installed / "agno_rt_shout-1.0.dist-info"
    metadata.mkdir(parents=True)
    (installed / "agno_rt_shout.py").write_text(block("python", "agno_rt_register_models"))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: agno-rt-shout\nVersion: 1.0\n")
    entry = re.findall(r'^shout = "(.*)"$', block("toml", "project.entry-points"), re.MULTILINE)[0]
    (metadata / "entry_points.txt").write_text(f"[agno_rt]\nshout = {entry}\n")
    (tmp_path / "agno-rt.toml").write_text('[agents.crier]\nmodel = "shout:loud"\n')

    assert "model shout:loud" in run(COMMAND, "plugins", folder=tmp_path, path=installed)
    assert run(COMMAND, "run", "crier", "hear me", folder=tmp_path, path=installed).strip() == "HEAR ME"
