"""Errors of the command line: the thing, the place and the remedy, without a traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from agno_rt.cli.app import command

Agno = Callable[..., subprocess.CompletedProcess[str]]

CASES = {
    "agent": (("run", "ekho", "x"), "error: unknown agent 'ekho' (agno-rt.toml)", "Did you mean 'echo'?"),
    "several": (("run", "agents.py", "x"), "error: agents.py has 12 agents", "agents.py:caller"),
    "plugin": (("run", "lost", "x"), "agno-rt.toml, agent 'lost': unknown plugin 'opena' (in 'opena:gpt')", "hint: "),
    "spec": (
        ("run", "memory:gpt", "x"),
        "error: 'memory:gpt' is neither an agent nor a model",
        "agno-rt models",
    ),
    "file": (("run", "agent.py:echo", "x"), "error: no such file: 'agent.py'", "Did you mean 'agents.py'?"),
    "module": (("run", "absent:echo", "x"), "error: unknown module 'absent'", "Name a .py file"),
    "config": (("run", "echo", "x", "-c", "nowhere.toml"), "error: no such file: 'nowhere.toml'", "Did you mean"),
    "empty": (("run", "echo", " "), "error: the input is empty", "hint: "),
    "option": (("run", "echo", "--sesion", "s"), "error: No such option", "agno-rt run --help"),
    "argument": (("run",), "error: no agent is named", "agno-rt run echo"),
    "command": (("rnu", "echo"), "error: unknown command 'rnu'", "Did you mean 'run'?"),
    "broken": (
        ("run", "broken.py", "x"),
        "error: broken.py:2 fails when it is run: NameError",
        "'Agnet' is not defined",
    ),
    "untyped": (
        ("run", "untyped.py", "x"),
        "error: untyped.py, agent 'a': tool 'look': parameter 'x' has no type",
        "Add a type, as in `x: str`.",
    ),
    "key": (("run", "echo", "x", "-c", "key.toml"), "key.toml:2", "Did you mean 'memory'?"),
    "table": (
        ("run", "echo", "x", "-c", "table.toml"),
        "table.toml:3, [plugins.opnai]: unknown plugin 'opnai'",
        "Did you mean 'openai'?",
    ),
    "prefix": (("run", "echo", "x", "-c", "prefix.toml"), "prefix.toml:3", "Write [plugins.serve]."),
    "folder": (
        ("run", "echo", "x", "-c", "folder.toml"),
        "folder.toml, memory: the folder of 'sqlite:///no/dir/a.db' does not exist",
        "mkdir -p no/dir",
    ),
    "bare": (("run", "gpt-5", "x"), "unknown agent 'gpt-5'", "write openai:gpt-5"),
    "local": (("run", "-m", "smollm2", "What is it?"), "unknown model 'smollm2'", "Write llamacpp:smollm2."),
    "elsewhere": (
        ("run", "-m", "deepseek:chat", "What is it?"),
        "unknown plugin 'deepseek' (in 'deepseek:chat')",
        "write openai:deepseek:chat",
    ),
    "nameless": (("run", "echo", "x", "--session", ""), "the name after --session is empty", "leave it out"),
    "memory": (
        ("chat", "echo", "-c", "memory.toml"),
        "error: memory.toml, memory: unknown memory URL scheme 'sqlit'",
        "Did you mean 'sqlite'?",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(agno: Agno, project: Path, case: str) -> None:
    """Each error names the fault and a correct input, and exits with 2."""
    (project / "broken.py").write_text("from agno_rt import Agent\nbot = Agnet('memory:')\n")
    untyped = "def look(x):\n    return x\na = Agent('template:echo', 'a', tools=[look])\n"
    (project / "untyped.py").write_text(f"from agno_rt import Agent\n{untyped}")
    (project / "key.toml").write_text('[runtime]\nmemori = "memory:"\n')
    (project / "memory.toml").write_text('[runtime]\nmemory = "sqlit:///a.db"\nload = ["agents.py"]\n')
    for name, text in (("table", "[plugins.opnai]"), ("prefix", "[plugins.agno-rt-serve]")):
        (project / f"{name}.toml").write_text(f'[runtime]\nload = ["agents.py"]\n{text}\n')
    folder = 'memory = "sqlite:///no/dir/a.db"'
    (project / "folder.toml").write_text(f'[runtime]\nload = ["agents.py"]\n{folder}\n')
    args, problem, remedy = CASES[case]

    done = agno(*args)

    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr


LEAVING = """
import sys
from agno_rt import Agent, ToolCall, tool
from agno_rt.testing import ScriptedModel

@tool
def leave() -> str:
    "Exit."
    sys.exit(3)

calls = Agent(ScriptedModel([ToolCall("1", "leave"), "Done."]), "calls", tools=[leave])
exits = Agent(ScriptedModel([SystemExit(3), "Still here."]), "exits")

@tool(inline=True)
def quit_all() -> str:
    "Exit as at a prompt, which closes the standard input too."
    exit()

quits = Agent(ScriptedModel([ToolCall("1", "quit_all"), "One.", "Two."]), "quits", tools=[quit_all])
"""


def test_an_exit_in_the_users_code_is_told(agno: Agno, project: Path) -> None:
    """A file, a tool or a model that calls `exit` does not end the command silently; a conversation goes on."""
    (project / "leaving.py").write_text(LEAVING, encoding="utf-8")
    (project / "gone.py").write_text("import sys\nsys.exit(0)\n", encoding="utf-8")

    called = agno("run", "leaving.py:calls", "Go.")
    failed = agno("run", "leaving.py:exits", "Go.")
    talked = agno("chat", "leaving.py:exits", input="one\ntwo\n")
    quit_ = agno("chat", "leaving.py:quits", input="one\ntwo\n")
    gone = agno("run", "gone.py", "Go.")

    assert (called.returncode, called.stdout) == (0, "Done.\n")
    assert "leave failed: SystemExit: 3" in called.stderr
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "failed: SystemExit: 3" in failed.stderr
    assert talked.stdout == "Still here.\n"
    assert (quit_.returncode, quit_.stdout) == (0, "One.\nTwo.\n")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "gone.py:2 fails when it is run: SystemExit: 0" in gone.stderr


MISSING = {
    "serve": ("serve",),
    "bench": ("bench", "--quick"),
    "bench for profile": ("profile", "cpu", "x.py"),
    "llamacpp": ("run", "local", "Hi."),
    "openai": ("run", "openai:x", "Hi."),
}


@pytest.mark.parametrize("plugin", MISSING)
def test_a_missing_plugin_is_offered(agno: Agno, project: Path, plugin: str) -> None:
    """A command or a model of a missing plugin of ours is an error whose hint names the distribution."""
    agent = '[agents.local]\nmodel = "llamacpp:smollm2"\n'
    blocked = '[runtime]\nblock = ["serve", "bench", "llamacpp", "openai"]\n'
    (project / "agno-rt.toml").write_text(f"{blocked}{agent}")

    done = agno(*MISSING[plugin])

    assert done.returncode == 2
    assert f"pip install agno-rt-{plugin.partition(' ')[0]}" in done.stderr


def test_help_lists_every_command(agno: Agno, distribution: Callable[..., Path]) -> None:
    """`--help` shows the built-in verbs and those of plugins; a broken plugin is named and harms nothing."""
    distribution("broken", "raise OSError('no such library')")
    site = distribution(
        "greet",
        """
        import click
        from agno_rt import hookimpl

        @hookimpl
        def agno_rt_register_commands(register):
            register("greet", lambda: click.Command("greet", callback=lambda: click.echo("Hi.")), help="Say hi.")
        """,
    )

    done = agno("--help", env={"PYTHONPATH": str(site)})

    assert done.returncode == 0
    for line in ("run ", "chat ", "init ", "plugins ", "plugin ", "greet "):
        assert f"\n  {line}" in done.stdout
    assert "Say hi." in done.stdout
    assert "Failed to load: broken." in done.stdout
    assert agno("greet", env={"PYTHONPATH": str(site)}).stdout == "Hi.\n"
    assert "no such library" in agno("broken", env={"PYTHONPATH": str(site)}).stderr


def test_help_is_in_sentences() -> None:
    """Every command and every option is described by sentences."""
    found = list(described(command))

    assert len(found) > 100
    assert [text for _, text in found if not (text[:1].isupper() and text.rstrip("]").endswith("."))] == []


def described(parent: click.Group) -> Iterator[tuple[str, str]]:
    """Yield each command below the group, and each of its options, with its help."""
    context = click.Context(parent)
    for name in parent.list_commands(context):
        found = parent.get_command(context, name)
        assert found is not None
        yield name, found.get_short_help_str(limit=200)
        yield from ((name, option.help or "") for option in found.params if isinstance(option, click.Option))
        if isinstance(found, click.Group):
            yield from described(found)


def test_version_loads_nothing_heavy(agno: Agno) -> None:
    """`--version` prints one line, and imports neither the kernel nor rich nor the verbs."""
    done = agno("--version", env={"PYTHONPROFILEIMPORTTIME": "1"})

    assert done.stdout.startswith("agno-rt ")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"rich", "trio", "attr", "agno_rt.cli.verbs.run", "agno_rt.cli.verbs.chat"}
