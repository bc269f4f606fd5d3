"""Projects: agents from a Python file, an import path, a TOML file, or the shipped project."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, MemoryPolicy, Runtime
from agno_rt.config import Config, ConfigWarning, RuntimeConfig
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, check_tables, load_project, shipped_project
from agno_rt.testing import ScriptedModel

AGENTS = """
from agno_rt import Agent
from agno_rt.testing import ScriptedModel

helper = Agent(ScriptedModel(["hello"]))
same = helper
named = Agent("m:x", "boss")
also = named
number = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Enter an empty working directory. Modules imported from the directory are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_nothing_named_and_nothing_here(folder: Path) -> None:
    """The default project is the shipped one: two agents on the embedded model."""
    project = load_project()

    assert list(project.agents) == ["assistant", "librarian"]
    assert project.agent("assistant").model == "llamacpp:smollm2"
    assert project.agent("librarian").memory == MemoryPolicy(context=("files:documents:.",))
    assert project.agents.keys() == shipped_project().agents.keys()
    assert str(folder) not in project.source


def test_a_file_without_agents(folder: Path) -> None:
    """An error for an agent of a file without agents says how to write the agent there."""
    (folder / "agno-rt.toml").write_text("[runtime]\n")

    with pytest.raises(NotFound, match=r"unknown agent 'clerk' \(agno-rt.toml\)") as caught:
        load_project().agent("clerk")
    assert caught.value.hint == "It has no agents: write [agents.clerk] with a model, or load a Python file."


def test_nothing_named_but_a_file_here(folder: Path) -> None:
    """An agno-rt.toml in the working directory is the default project."""
    (folder / "agno-rt.toml").write_text('[agents.mine]\nmodel = "m:x"\ninstructions = "Be."\n')
    project = load_project()

    assert project.agents.keys() == {"mine"}
    assert project.agent("mine").instructions == "Be."
    assert project.agent("mine").name == "mine"


class TestPython:
    """Agents from Python."""

    def test_a_file(self, folder: Path) -> None:
        """Agents at the top level of a file have their own name or the variable's."""
        (folder / "agents.py").write_text(AGENTS)
        project = load_project("agents.py")

        assert project.agents.keys() == {"helper", "same", "boss"}
        assert project.agent("helper").name == "helper"
        assert project.config.runtime.load == ("agents.py",)

    def test_an_import_path(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Agents are loaded from a module by import path."""
        (folder / "throwaway_project").mkdir()
        (folder / "throwaway_project" / "__init__.py").write_text("")
        (folder / "throwaway_project" / "agents.py").write_text(AGENTS)
        monkeypatch.syspath_prepend(str(folder))

        assert load_project("throwaway_project.agents").agents.keys() == {"helper", "same", "boss"}

    def test_a_file_may_import_its_neighbours(self, folder: Path) -> None:
        """A file of agents imports modules of the same folder, from any working directory."""
        (folder / "sub").mkdir()
        (folder / "sub" / "throwaway_neighbour.py").write_text("TEXT = 'Be brief.'")
        (folder / "sub" / "agents.py").write_text(
            "from throwaway_neighbour import TEXT\nfrom agno_rt import Agent\na = Agent('m:x', 'a', TEXT)"
        )

        assert load_project("sub/agents.py").agent("a").instructions == "Be brief."

    def test_a_file_may_use_its_own_annotations(self, folder: Path) -> None:
        """Annotations of tools and classes are looked up in the file of agents."""
        (folder / "agents.py").write_text(
            "from __future__ import annotations\nimport attrs\nfrom agno_rt import Agent, tool\n"
            "@attrs.define\nclass Place:\n    name: str\n"
            "@tool\ndef look(place: Place) -> str:\n    'Look.'\n    return place.name\n"
            "a = Agent('m:x', tools=[look], output=Place)\n"
        )

        output: Any = load_project("agents.py").agent("a").output
        assert output.__name__ == "Place"

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("1 / 0", "agents.py:1 fails when it is run: ZeroDivisionError"),
            ("def", "SyntaxError"),
            ("import no_such_module", "ModuleNotFoundError"),
            ("x = 5", "agents.py has no agents"),
            ("from agno_rt import Agent\na = Agent('m', 'x')\nb = Agent('m', 'x')", "two agents named 'x'"),
        ],
    )
    def test_a_file_that_cannot_be_used(self, folder: Path, code: str, reason: str) -> None:
        """An error names the file and the fault."""
        (folder / "agents.py").write_text(code)
        with pytest.raises(ConfigError, match=reason) as caught:
            load_project("agents.py")

        assert "agents.py" in caught.value.message

    @pytest.mark.parametrize(
        ("argument", "remedy"),
        [
            ("temperature", r"Write settings=\{'temperature': \.\.\.\}\."),
            ("instruction", r"Did you mean 'instructions'\?"),
        ],
    )
    def test_an_unknown_argument_of_an_agent(self, folder: Path, argument: str, remedy: str) -> None:
        """The hint has the nearest field of an agent, or the settings of the model."""
        (folder / "agents.py").write_text(f"from agno_rt import Agent\na = Agent('m:x', {argument}=1)")
        with pytest.raises(ConfigError, match=f"agents.py:2 fails when it is run: .*'{argument}'") as caught:
            load_project("agents.py")
        assert re.search(remedy, str(caught.value.hint))

    def test_an_error_of_ours_stays_as_it_is(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A `ToolDefinitionError` in a file or module is passed on, with its place."""
        (folder / "throwaway_bad.py").write_text("from agno_rt import tool\n@tool\ndef t(x): ...")
        monkeypatch.syspath_prepend(str(folder))
        for source, place in (("throwaway_bad.py", "throwaway_bad.py:2"), ("throwaway_bad", "throwaway_bad")):
            with pytest.raises(UsageError, match=f"^{place}: tool 't': parameter 'x' has no type"):
                load_project(source)

    @pytest.mark.parametrize("source", ["agent.py", "no/agents.py"])
    def test_a_file_that_is_not_there(self, folder: Path, source: str) -> None:
        """A missing file is an error."""
        (folder / "agents.py").write_text(AGENTS)
        with pytest.raises(NotFound, match="no such file:"):
            load_project(source)

    @pytest.mark.parametrize("source", ["no_such_module", "no_such.module", "json.no_such_module", "a/b"])
    def test_a_module_that_is_not_there(self, folder: Path, source: str) -> None:
        """An error for a missing module says what may be named."""
        with pytest.raises(NotFound, match="unknown module") as caught:
            load_project(source)

        assert ".toml" in caught.value.hint

    @pytest.mark.parametrize(
        ("code", "reason"), [("import no_such_module", "no_such_module"), ("1 / 0", "ZeroDivisionError")]
    )
    def test_a_module_that_fails(self, folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str) -> None:
        """An error for a failing module does not call the module missing."""
        (folder / "throwaway_failing.py").write_text(code)
        monkeypatch.syspath_prepend(str(folder))
        with pytest.raises(ConfigError, match=f"throwaway_failing fails when it is imported: .*{reason}"):
            load_project("throwaway_failing")

    @pytest.mark.parametrize("source", ["", ".relative", ".."])
    def test_a_source_that_is_none(self, folder: Path, source: str) -> None:
        """An invalid source is a usage error."""
        with pytest.raises(UsageError):
            load_project(source)


class TestToml:
    """Agents from TOML."""

    def test_hooks(self, folder: Path) -> None:
        """An agent's guardrails are spec strings."""
        (folder / "agno-rt.toml").write_text('[agents.a]\nmodel = "m:x"\nhooks = ["guardrails:pii:output"]\n')

        assert load_project().agent("a").hooks == ("guardrails:pii:output",)

    def test_loads_python_beside_it(self, folder: Path) -> None:
        """Files to load are found beside the TOML file, from any working directory."""
        (folder / "sub").mkdir()
        (folder / "sub" / "agents.py").write_text(AGENTS)
        (folder / "sub" / "my.toml").write_text('[runtime]\nload = ["agents.py"]\n[agents.a]\nmodel = "m:x"\n')

        assert load_project("sub/my.toml").agents.keys() == {"a", "helper", "same", "boss"}

    def test_a_name_twice(self, folder: Path) -> None:
        """An agent's name both in TOML and in Python is refused."""
        (folder / "agents.py").write_text(AGENTS)
        (folder / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\n[agents.boss]\nmodel = "m:x"\n')
        with pytest.raises(ConfigError, match=r"agno-rt.toml: .*'boss' in \[agents\] and in agents.py"):
            load_project()

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        """An error for a missing TOML file offers the nearest file."""
        (folder / "agno-rt.toml").write_text("")
        with pytest.raises(NotFound, match=r"no such file: 'agno_rt.toml'") as caught:
            load_project("agno_rt.toml")

        assert "agno-rt.toml" in caught.value.hint


def test_an_unknown_agent(folder: Path) -> None:
    """An error for an unknown agent tells the source and the nearest name."""
    with pytest.raises(NotFound, match="unknown agent 'asistant'") as caught:
        shipped_project().agent("asistant")

    assert "Did you mean 'assistant'?" in caught.value.hint
    assert "ship with agno_rt" in caught.value.message


async def test_the_runtime_is_as_configured(folder: Path) -> None:
    """The runtime gets memory, limits, observers, blocked plugins and settings of the file."""
    (folder / "agno-rt.toml").write_text(
        '[runtime]\nmemory = "sqlite:///mine.db"\nblock = ["files"]\nobservers = ["log"]\n[limits]\nruns = 3\n'
    )
    project = load_project()
    runtime = project.runtime()

    assert isinstance(runtime, Runtime)
    assert "files" not in project.plugins().names()
    async with runtime:
        await runtime.run(Agent(ScriptedModel(["x"])), "x", session="s")
        assert runtime.statistics()[0].total == 3
    assert (folder / "mine.db").exists()


class TestTables:
    """Settings of plugins that are not loaded."""

    def test_a_plugin_that_is_not_installed(self) -> None:
        """Settings of a known plugin without an installation give a warning with the command to install."""
        config = Config(plugins={"openai": {}})
        with pytest.warns(ConfigWarning, match=r"(?s)\[plugins.openai\]: .*not installed.*pip install agno-rt-openai"):
            check_tables(config, PluginHost([]))

    def test_a_plugin_that_is_blocked(self) -> None:
        """Settings of a blocked plugin are accepted."""
        check_tables(Config(runtime=RuntimeConfig(block=("openai",)), plugins={"openai": {}}), PluginHost([]))

    def test_a_plugin_that_nobody_knows(self) -> None:
        """Settings of an unknown plugin are an error with the nearest name."""
        with pytest.raises(ConfigError, match="unknown plugin 'opnai'") as caught:
            check_tables(Config(plugins={"opnai": {}}), PluginHost([]))
        assert "Did you mean 'openai'?" in caught.value.hint

    def test_a_wrong_memory_is_told_before_the_runtime_opens(self) -> None:
        """A project with an invalid memory URL makes no runtime."""
        with pytest.raises(NotFound, match="memory: unknown memory URL scheme 'bolt'"):
            Project("here", {}, Config(runtime=RuntimeConfig(memory="bolt://x"))).runtime()


def test_a_module_that_grows_while_it_is_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lazy value that changes its module during the search hides no agent."""
    monkeypatch.chdir(tmp_path)
    lazy = "class Lazy:\n    @property\n    def __class__(self):\n        globals()['more'] = 1\n        return Lazy\n"
    Path("lazy_agents.py").write_text(f"from agno_rt import Agent\n{lazy}lazy = Lazy()\na = Agent('template:echo')\n")

    assert load_project("lazy_agents.py").agents.keys() == {"a"}
