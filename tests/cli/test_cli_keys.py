"""`agno-rt keys`: keys are kept, listed by name and removed, and never printed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Agno: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "sk-planted-0123456789"


def test_keys_are_kept_listed_and_removed(agno: Agno, tmp_path: Path) -> None:
    """A key comes from standard input; `list` has its name alone, and tells if a variable counts instead."""
    done = agno("keys", "set", "ACME_KEY", input=f"{SECRET}\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "ACME_KEY is kept in ~/.config/agno-rt/keys.toml." in done.stderr
    assert SECRET in (tmp_path / ".config" / "agno-rt" / "keys.toml").read_text()

    listed = agno("keys", "list", env={"ACME_KEY": "sk-env"})
    rows = [json.loads(line) for line in agno("keys", "list", "--json").stdout.splitlines()]
    assert "ACME_KEY" in listed.stdout
    assert "the environment variable counts" in listed.stdout
    assert rows == [{"name": "ACME_KEY", "file": "~/.config/agno-rt/keys.toml", "overridden": False}]

    removed = agno("keys", "remove", "ACME_KEY")
    assert "ACME_KEY is removed" in removed.stderr
    again = agno("keys", "remove", "ACME_KEY")
    assert again.returncode != 0
    assert "unknown key" in again.stderr
    assert "There are no keys" in agno("keys", "list").stderr

    for each in (done, listed, removed, again):
        assert SECRET not in each.stdout + each.stderr
        assert "sk-env" not in each.stdout + each.stderr


def test_a_kept_key_makes_models_ready(agno: Agno) -> None:
    """`models` and `doctor` find the key of the file, name its place, and do not show it."""
    env = {"OPENAI_API_KEY": ""}
    before = agno("models", "--json", env=env)
    agno("keys", "set", "OPENAI_API_KEY", input=SECRET)
    after = agno("models", "--json", env=env)
    assert read_ready(before) is False
    assert read_ready(after) is True
    told = agno("doctor", env=env)
    assert SECRET not in after.stdout + after.stderr + told.stdout + told.stderr


def test_a_wrong_key_is_refused_unseen(agno: Agno, tmp_path: Path) -> None:
    """A key of two lines is refused with a remedy, is not shown, and nothing is kept."""
    done = agno("keys", "set", "ACME_KEY", input=f"{SECRET}\n{SECRET}\n")
    assert done.returncode != 0
    assert "Copy the key again" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert not (tmp_path / ".config" / "agno-rt" / "keys.toml").exists()


def read_ready(done: subprocess.CompletedProcess[str]) -> object:
    """Return whether `models --json` calls gpt-5 ready."""
    models = {model["spec"]: model for model in map(json.loads, done.stdout.splitlines())}
    return models["openai:gpt-5"]["ready"]
