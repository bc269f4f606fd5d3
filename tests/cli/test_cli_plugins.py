"""`agno-rt plugins`, `agno-rt plugin new` and `agno-rt init`, from a checkout and from a wheel."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

REPOSITORY = Path(__file__).parents[2]


def install(source: Path, target: Path) -> None:
    """Install a distribution into a folder, as pip does without a network."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(target), str(source)], check=True, timeout=120, capture_output=True)


def test_lists_what_plugins_provide(agno: Agno, distribution: Callable[..., Path]) -> None:
    """Plugins are listed with what they provide; a broken one has its reason and remedy, and the exit code is 0."""
    site = distribution("broken", "raise OSError('no such library')")

    done = agno("plugins", env={"PYTHONPATH": str(site)})

    assert done.returncode == 0
    rows = {line.split()[0]: line.split(None, 3) for line in done.stdout.splitlines()}
    assert rows["sqlite"][2:] == ["agno-rt", "memory sqlite:; knowledge sqlite:"]
    assert rows["broken"][1:] == ["1.2", "broken-plugin", "FAILED"]
    assert "error: plugin 'broken' (broken-plugin 1.2) failed to load: OSError: no such library" in done.stderr
    assert "hint: Upgrade or uninstall it" in done.stderr


def test_lists_plugins_as_json(agno: Agno, project: Path, distribution: Callable[..., Path]) -> None:
    """`--json` gives scripts the same list; a blocked plugin is left out, and never imported."""
    site = distribution("broken", "raise OSError('no such library')")
    with (project / "agno-rt.toml").open("a") as file:
        file.write('block = ["sqlite"]\n')

    done = agno("plugins", "--json", env={"PYTHONPATH": str(site)})

    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert "sqlite" not in plugins
    assert plugins["broken"]["error"]["code"] == "plugin"
    assert [offer["kind"] for offer in plugins["memory"]["provides"]] == ["context", "memory", "knowledge"]
    helps = [offer["help"] for plugin in plugins.values() for offer in plugin["provides"]]
    assert [text for text in helps if not (text[:1].isupper() and text.endswith("."))] == []


def test_debug_shows_where_a_plugin_fails(agno: Agno, distribution: Callable[..., Path]) -> None:
    """With `--debug` the author of a broken plugin sees the line that fails."""
    site = distribution("broken", "raise OSError('no such library')")

    assert 'broken_plugin.py", line 1' in agno("plugins", "--debug", env={"PYTHONPATH": str(site)}).stderr


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_shows_a_line_for_each_plugin(
    terminal: Callable[..., Any], environment: dict[str, str], columns: int
) -> None:
    """In a terminal each plugin is a line that fits, with its whole name and the numbers of its things."""
    environment["COLUMNS"] = str(columns)
    with terminal("plugins") as person:
        person.expect("guardrails  ")
        person.expect("  5 guardrails\r\n")
        person.expect("prometheus  ")
        person.expect("agno-rt plugins NAME")
        assert person.leave() == 0
    assert max(map(len, person.seen.split("\r\n")[:-2])) <= columns


def test_a_plugin_is_shown_in_full(agno: Agno) -> None:
    """A name, or `-v`, shows everything that a plugin provides; an unknown name is answered with the nearest."""
    shown = agno("plugins", "sqlite", "log").stdout

    assert "memory sqlite:: Sessions, runs and facts in an SQLite file.\n" in shown
    assert "observer: " in shown
    assert "guardrail guardrails:pii: Redact or block personal data." in agno("plugins", "-v").stdout
    assert "Did you mean 'sqlite'?" in agno("plugins", "sqlit").stderr


def test_a_new_plugin_works_at_once(agno: Agno, project: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """A new plugin can be installed, is listed, its model and its tool run, and its own tests pass."""
    made = agno("plugin", "new", "my-parrot", "--dir", "made")
    folder, site = project / "made" / "agno-rt-my-parrot", tmp_path / "site"
    assert (made.returncode, made.stderr) == (0, "")
    assert f"cd {folder.relative_to(project)}" in made.stdout
    assert not [path for path in folder.rglob("*") if "template" in str(path.relative_to(folder))]
    assert not [path for path in folder.rglob("*") if path.is_file() and "template" in path.read_text().lower()]

    install(folder, site)
    path = {"PYTHONPATH": str(site)}
    source = "import agents\nfrom agno_rt import Agent\nbot = Agent('my-parrot:echo')\n"
    (project / "parrot.py").write_text(f"{source}loud = Agent(agents.Caller(), tools=['my-parrot:shout'])\n")

    listed = agno("plugins", env=path).stdout
    assert "model my-parrot:echo; tool my-parrot:shout" in listed
    assert agno("run", "parrot.py:bot", "Hello!", env=path).stdout == "Hello!\n"
    assert "← shout: HI[31M!" in agno("run", "parrot.py:loud", "Go.", env=path).stderr
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    tests = subprocess.run(
        pytest, env=environment | path, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert tests.returncode == 0, tests.stdout


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("My_Parrot", "'My_Parrot' cannot be the name of a plugin", ": my-parrot"),
        ("agno-rt-parrot", "has the prefix already", "agno-rt plugin new parrot"),
        ("sqlite", "a plugin 'sqlite' is installed already", "Choose another name"),
        ("taken", "agno-rt-taken exists already", "--dir"),
    ],
)
def test_a_bad_name_is_refused(agno: Agno, project: Path, name: str, problem: str, remedy: str) -> None:
    """An impossible or taken name is an error that suggests a good one, and nothing is written."""
    (project / "agno-rt-taken").mkdir()
    before = sorted(project.rglob("*"))

    done = agno("plugin", "new", name)

    assert done.returncode == 2
    assert problem in done.stderr
    assert remedy in done.stderr
    assert sorted(project.rglob("*")) == before


def test_the_wheel_brings_what_is_copied(environment: dict[str, str], tmp_path: Path) -> None:
    """Installed from a wheel, `plugin new` and `init` find their templates without a checkout."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install(REPOSITORY, site)

    for args in (("plugin", "new", "parrot"), ("init",)):
        command = [sys.executable, "-P", "-m", "agno_rt.cli", *args]
        env = environment | {"PYTHONPATH": str(site)}
        done = subprocess.run(command, env=env, cwd=empty, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    assert (empty / "agno-rt-parrot" / "agno_rt_parrot" / "model.py").is_file()
    assert {path.name for path in empty.iterdir()} == {"AGENTS.md", "agents.py", "agno-rt.toml", "agno-rt-parrot"}


def test_init_writes_a_project(agno: Agno, tmp_path: Path) -> None:
    """`init` writes a project for immediate use, prints the next commands, and never overwrites a file."""
    folder = tmp_path / "fresh"

    done = agno("init", str(folder))
    assert done.returncode == 0
    assert f"wrote {folder / 'agno-rt.toml'}" in done.stdout
    assert f"wrote {folder / 'AGENTS.md'}" in done.stdout
    assert 'agno-rt run assistant "Hello!"' in done.stdout
    assert "agno-rt run timekeeper" in done.stdout
    assert "Known: assistant, librarian, timekeeper." in agno("run", "asistant", "Hello!", cwd=folder).stderr

    (folder / "agno-rt.toml").write_text("[agents.echo]\nmodel = 'template:echo'\n")
    again = agno("init", cwd=folder)
    assert again.returncode == 2
    assert "there already" in again.stderr
    assert (folder / "agno-rt.toml").read_text().startswith("[agents.echo]")


def test_init_leaves_a_guide_that_is_there(agno: Agno, tmp_path: Path) -> None:
    """A repository with an AGENTS.md keeps the file, and gets the rest."""
    (tmp_path / "AGENTS.md").write_text("Be brief.\n")

    done = agno("init", cwd=tmp_path)

    assert done.returncode == 0
    assert "left AGENTS.md as it was" in done.stdout
    assert (tmp_path / "AGENTS.md").read_text() == "Be brief.\n"
    assert (tmp_path / "agno-rt.toml").is_file()


def test_the_guide_of_a_new_project_is_right(agno: Agno, tmp_path: Path) -> None:
    """The agent in TOML, the tool and the test of the written AGENTS.md work."""
    agno("init", cwd=tmp_path)
    text = (tmp_path / "AGENTS.md").read_text(encoding="utf-8")
    (table,), (function, test) = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("toml", "python"))
    with open(tmp_path / "agno-rt.toml", "a", encoding="utf-8") as file:
        file.write(f"\n{table}")
    agents = (tmp_path / "agents.py").read_text(encoding="utf-8")
    agents = agents.replace("timekeeper =", f"{function}\n\ntimekeeper =").replace("[now]", "[now, weather]")
    (tmp_path / "agents.py").write_text(agents, encoding="utf-8")
    (tmp_path / "test_agents.py").write_text(test, encoding="utf-8")

    listed = agno("agents", cwd=tmp_path).stdout
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    tests = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert "translator" in listed
    assert "now, weather" in listed
    assert tests.returncode == 0, tests.stdout


def test_init_writes_for_its_owner(agno: Agno, tmp_path: Path) -> None:
    """Files for keys can be read by the owner only; a plugin's sources have the usual mode."""
    agno("init", str(tmp_path / "fresh"))
    agno("plugin", "new", "parrot", cwd=tmp_path)

    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "fresh").iterdir()} == {0o600}
    model = tmp_path / "agno-rt-parrot" / "agno_rt_parrot" / "model.py"
    assert stat.S_IMODE(model.stat().st_mode) & 0o044 == 0o044
