"""The Install page, command by command in a clone, in an environment of its own. Takes a minute."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("weights")
@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="needs the git checkout that it clones")
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """Each command succeeds, one after the other in one shell; the agent answers, and the last one removes all."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True, timeout=60)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTUAL_ENV", "PYTHON"))}
    environment["PIP_CONSTRAINT"] = str(REPOSITORY / "constraints.txt")
    environment["PIP_PREFER_BINARY"] = "1"
    # Use the Python of the tests, whatever the machine calls `python3`.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"

    # `doctor` fails if something is missing on this machine, such as a key.
    script = "set -e\n" + "".join(blocks).replace("agno-rt doctor", "agno-rt doctor || true")
    done = subprocess.run(
        ["sh", "-c", script], cwd=clone, env=environment, capture_output=True, text=True, timeout=900, check=False
    )

    assert len(blocks) == 4
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The capital of France is Paris." in done.stdout
    assert "llamacpp:smollm2" in done.stdout
    assert not (clone / "env/bin/agno-rt").exists()


def test_no_readme_says_what_does_not_work() -> None:
    """No README tells a reader to install a distribution from an index that lacks the distribution."""
    pages = [REPOSITORY / "README.md", *REPOSITORY.glob("plugins/*/README.md")]
    for page in pages:
        for line in page.read_text(encoding="utf-8").splitlines():
            command = line.strip().removeprefix("$ ")
            if command.startswith(("pip install agno-rt", "pip install 'agno-rt")):
                pytest.fail(f"{page.relative_to(REPOSITORY)} says `{command}`: point to docs/install.md")
