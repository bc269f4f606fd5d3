"""The README's examples, run as printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compare.judge import calls
from benchmarks.peers.results import Results
from benchmarks.peers.rows import ROWS
from benchmarks.peers.table import figure
from tests.e2e.conftest import COMMAND

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = ("agno_rt", "agno", "pydantic_ai", "langgraph")


def block(language: str, having: str) -> str:
    """Return the README's code block in the language that contains the text."""
    blocks = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if having in text]
    assert len(blocks) == 1, f"the README has {len(blocks)} {language} blocks with {having!r}"
    return str(blocks[0])


def run(*command: str, folder: Path, path: Path | None = None) -> str:
    """Run a command, check for success, and return the output."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said(program: str) -> list[str]:
    """Return the output of a README's program as told by its comments."""
    return [line.strip().removeprefix("# ") for line in program.splitlines() if line.strip().startswith("# ")]


@pytest.mark.usefixtures("weights")
def test_the_first_example(tmp_path: Path) -> None:
    """The first example prints the README's output, word for word."""
    program = block("python", "class Event")
    (tmp_path / "program.py").write_text(program)

    assert run(sys.executable, "program.py", folder=tmp_path).splitlines() == said(program)


def test_the_program_with_an_approval(tmp_path: Path) -> None:
    """The program pauses, is approved, goes on and answers; only the model is replaced, by one without a key."""
    program = block("python", "trio.run(main)")
    scripted = 'ScriptedModel([[ToolCall("1", "refund", \'{"order": "A1", "amount": 20}\')], "It is refunded."])'
    imports = "from agno_rt import ToolCall\nfrom agno_rt.testing import ScriptedModel\n"
    (tmp_path / "program.py").write_text(imports + program.replace('"openai:gpt-5"', scripted))

    assert run(sys.executable, "program.py", folder=tmp_path).splitlines() == [
        'paused: refund {"order": "A1", "amount": 20}',
        "It is refunded.",
    ]
    assert (tmp_path / "desk.db").exists()


def test_the_workflow(tmp_path: Path) -> None:
    """The workflow runs an agent, a team and a step; only the models are replaced, by ones without a key."""
    program = block("python", "@workflow").replace('"openai:gpt-5"', 'ScriptedModel(lambda request: "Good.")')
    (tmp_path / "program.py").write_text(f"from agno_rt.testing import ScriptedModel\n{program}")

    printed = run(sys.executable, "program.py", folder=tmp_path)
    assert printed == "published: Good. ([style]\nGood.\n\n[facts]\nGood.)\n"


def test_the_three_promises(tmp_path: Path) -> None:
    """The output of `examples/promises.py` equals the README's, except ids, times and the line of limits."""
    printed = run(sys.executable, str(ROOT / "examples/promises.py"), folder=tmp_path)
    printed = "\n".join(line for line in printed.splitlines() if not line.startswith("limits: "))

    assert without_ids(printed) == without_ids(block("text", "See what the children do"))


def without_ids(text: str) -> str:
    """Replace each id and each time in the text by a constant."""
    return re.sub(r"\d+\.\d s", "0.0 s", re.sub(r"\b[0-9a-f]{24}\b", "ID", text)).strip()


def test_every_link_leads_somewhere() -> None:
    """Each file that the README links or shows is in the repository; pictures are small."""
    links = [*re.findall(r"\]\(([^)#]+)[^)]*\)", README), *re.findall(r'src="([^"]+)"', README)]
    here = [link for link in links if "://" not in link]

    assert len(here) > 20
    assert [link for link in here if not (ROOT / link).exists()] == []
    assert [link for link in here if link.endswith(".png") and (ROOT / link).stat().st_size > 250_000] == []


@pytest.mark.parametrize(
    ("row", "unit"), [("run", "costs"), ("bytes", "holds")], ids=["what a run costs", "what an agent holds"]
)
def test_figures_are_those_that_were_measured(row: str, unit: str) -> None:
    """The table's figures are those of the last `make peers`, in its columns."""
    results = Results.load()
    kind = next(each for each in ROWS if each.name == row)
    line = next(
        line for line in README.splitlines() if line.startswith("| **") and line.split("|")[1].endswith(f"{unit} ")
    )
    cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
    wanted = [(figure(results, kind, peer) or "").partition(" (")[0] for peer in COLUMNS]

    assert [re.sub(r"\[(.*)\]\(.*\)", r"\1", cell).replace(" bytes", " B") for cell in cells] == wanted


def test_what_was_tried_is_what_the_comparison_says() -> None:
    """The README has the versions and the day of the comparison; its claims on the trials are in their logs."""
    tried = json.loads((ROOT / "benchmarks/compare/results.json").read_text())
    logs = {name: tried["frameworks"][name]["logs"] for name in COLUMNS}

    assert tried["date"] in README
    for name, package in (("agno", "agno"), ("pydantic_ai", "pydantic-ai-slim"), ("langgraph", "langgraph")):
        version = tried["frameworks"][name]["versions"][package]
        assert f" {version if name == 'agno' else version.rpartition('.')[0]}" in README
    assert [calls(logs[name]["approve_twice"], "pay") for name in COLUMNS] == [1, 2, 2, 2]
    assert [calls(logs[name]["kill"], "left") for name in COLUMNS] == [1, 2, 1, 1]
    assert [calls(logs[name]["kill"], "right") for name in COLUMNS] == [1, 2, 2, 2]
    assert [tried["frameworks"][name]["type"] for name in COLUMNS] == ["Trip", "Any or None", "Trip", "Any"]


def test_every_distribution_is_named() -> None:
    """The table of the repository has the kernel and each plugin, and nothing else."""
    table = README.partition("## What is here")[2].partition("\n## ")[0]
    folders = {folder.parent.name for folder in (ROOT / "plugins").glob("*/pyproject.toml")}

    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == {"agno-rt"} | folders


def test_every_command_of_make_is_there() -> None:
    """Each `make` command of the README is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)", README)) - {"and"} <= targets


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
