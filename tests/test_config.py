"""Reading agno-rt.toml and plugin settings: right tables become values, errors name file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from agno_rt.config import AgentConfig, Config, RuntimeConfig, load_config, read_settings
from agno_rt.errors import ConfigError
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.models import ModelSettings

WHOLE = """
[runtime]
memory = "sqlite:///agents.db"
load = ["agents.py"]
observers = ["log"]
block = ["files"]

[limits]
turns = 4
run_timeout = 30

[agents.assistant]
model = "llamacpp:smollm2"
instructions = \"\"\"
Be brief.
\"\"\"
tools = ["files:search"]
hooks = ["guardrails:pii", "guardrails:length:cut:4000"]
memory = { messages = 20 }

[agents.assistant.settings]
temperature = 0.5
stop = ["END"]
extra = { top_k = 5 }

[agents.assistant.limits]
turns = 2

[agents."a b"]
model = "x:y"

[plugins.openai]
anything = { goes = [1] }
"""


def test_a_whole_file(tmp_path: Path) -> None:
    """Every table becomes a value."""
    path = tmp_path / "agno-rt.toml"
    path.write_text(WHOLE)

    assert load_config(path) == Config(
        path,
        RuntimeConfig("sqlite:///agents.db", ("agents.py",), ("log",), ("files",)),
        Limits(turns=4, run_timeout=30),
        {
            "assistant": AgentConfig(
                "llamacpp:smollm2",
                "Be brief.\n",
                ("files:search",),
                MemoryPolicy(20),
                ModelSettings(temperature=0.5, stop=("END",), extra={"top_k": 5}),
                Limits(turns=2),
                ("guardrails:pii", "guardrails:length:cut:4000"),
            ),
            "a b": AgentConfig("x:y"),
        },
        {"openai": {"anything": {"goes": [1]}}},
    )


def test_an_empty_file(tmp_path: Path) -> None:
    """An empty file is valid."""
    path = tmp_path / "agno-rt.toml"
    path.write_text("# nothing here\n")

    assert load_config(path) == Config(path)


AGENT = '[agents.a]\nmodel = "m:x"\n'


@pytest.mark.parametrize(
    ("toml", "line", "said"),
    [
        # the file as a whole
        ("[runtim]\n", 1, ["unknown key 'runtim'", "'runtime'"]),
        ("x = 1\n", 1, ["unknown key 'x'", "at the top"]),
        ('path = "x"\n', 1, ["unknown key 'path'"]),
        ("runtime = 5\n", 1, ["'runtime' is not a table", "[runtime]"]),
        ("[[agents]]\nmodel = 1\n", 1, ["'agents' is not a table"]),
        # [runtime]
        ('\n[runtime]\n\nmemmory = "x"\n', 4, ["[runtime]", "unknown key 'memmory'", "'memory'"]),
        ("[runtime]\nmemory = 5\n", 2, ["[runtime]", "'memory'", "expected `str`, got `int`"]),
        (
            '[runtime]\nload = "agents.py"\n',
            2,
            ["'load'", "expected `array`, got `str`", 'Write a list: load = ["..."]'],
        ),
        ("[runtime]\nblock = [1]\n", 2, ["'block'", "expected `str`"]),
        # [limits]
        ("[limits]\nturn = 1\n", 2, ["[limits]", "unknown key 'turn'", "'turns'"]),
        ('[limits]\nruns = 1\nturns = "many"\n', 3, ["'turns'", "expected `int`"]),
        ("[limits]\nruns = 1\nturns = 0\n", 3, ["turns", "at least 1"]),
        ("[limits]\nrun_timeout = -1.5\n", 2, ["run_timeout", "above 0"]),
        # [agents.NAME]
        ("[agents.a]\n", 1, ["[agents.a]: missing required field `model`", "Add the key to the table: model = ..."]),
        ("[agents]\na = 5\n", 2, ["'a' is not a table", "[agents.a]"]),
        (AGENT + "tool = []\n", 3, ["[agents.a]", "unknown key 'tool'", "'tools'"]),
        (AGENT + "tools = [1]\n", 3, ["[agents.a]", "'tools'", "expected `str`"]),
        (AGENT + 'hooks = "guardrails:pii"\n', 3, ["[agents.a]", "'hooks'", "expected `array`"]),
        (AGENT + "hook = []\n", 3, ["[agents.a]", "unknown key 'hook'", "'hooks'"]),
        (AGENT + "settings = 5\n", 3, ["[agents.a]", "settings"]),
        (AGENT + "[agents.a.settings]\ntemprature = 1\n", 4, ["[agents.a.settings]", "'temprature'", "'temperature'"]),
        (AGENT + '[agents.a.settings]\ntemperature = "hot"\n', 4, ["'temperature'", "expected `float"]),
        (AGENT + "[agents.a.limits]\nturns = 0\n", 4, ["[agents.a.limits]", "turns", "at least 1"]),
        (AGENT + "[agents.a.memory]\nmessages = -1\n", 4, ["[agents.a.memory]", "-1"]),
        (AGENT + '\n[agents."b c"]\nmodle = "x"\n', 5, ["[agents.b c]", "'modle'", "'model'"]),
        # lines that look like a table's header
        (AGENT + "[agents.a.settings.extra]\nk = [\n[1, 2],\n[3],\n]\n[limits]\nturn = 1\n", 9, ["[limits]", "'turn'"]),
        # [plugins.NAME]
        ('[plugins]\nopenai = "x"\n', 2, ["'openai' is not a table", "[plugins.openai]"]),
    ],
)
def test_bad_toml_names_the_place(tmp_path: Path, toml: str, line: int, said: list[str]) -> None:
    """An error names file, line, table and key, tells the fault, and says what would be right."""
    path = tmp_path / "agno-rt.toml"
    path.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert f"{path}:{line}," in caught.value.message
    for part in said:
        assert part in caught.value.full_text


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("agents.a = { model = 5 }\n", ["[agents.a]", "'model'", "expected `str`"]),
        ('[agents]\na = { model = "x", bad = 1 }\n', ["[agents.a]", "unknown key 'bad'"]),
        ("agents.a.settings.seed = 'x'\n", ["[agents.a.settings]", "'seed'"]),
    ],
)
def test_unusual_spellings_still_name_file_table_and_key(tmp_path: Path, toml: str, said: list[str]) -> None:
    """Errors in inline tables and dotted keys name file, table and key; the line may be missing."""
    path = tmp_path / "agno-rt.toml"
    path.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load_config(path)

    for part in (str(path), *said):
        assert part in caught.value.full_text


@pytest.mark.parametrize("content", [b"[runtime\n", b"a = \n", b"a = 1\na = 2\n", b"\xff\xfe", b"a = 'x\n"])
def test_what_is_no_toml(tmp_path: Path, content: bytes) -> None:
    """An error for broken TOML names the file and the position of the fault."""
    path = tmp_path / "agno-rt.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not valid TOML") as caught:
        load_config(path)

    assert str(path) in caught.value.message
    assert any(word in caught.value.message for word in ("line", "position", "end of document"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """An error for a missing file tells the command that makes one."""
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_config(tmp_path / "agno-rt.toml")

    assert "agno-rt init" in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in place of a file is an error with the system's message."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@attrs.frozen
class Retry:
    """A table within a table."""

    times: int = 3


@attrs.frozen
class Settings:
    """A plugin's settings."""

    key: str
    url: str = "http://localhost"
    timeout: float = 30.0
    retry: Retry = Retry()
    tags: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout must be above 0")


class TestSettings:
    """`read_settings`, for plugins."""

    def test_fit(self) -> None:
        """A valid table becomes the class. An integer is accepted for a float."""
        table: dict[str, Any] = {"key": "k", "timeout": 5, "retry": {"times": 1}, "tags": ["a"]}

        assert read_settings(Settings, table, "[plugins.x]") == Settings("k", timeout=5, retry=Retry(1), tags=("a",))
        assert table == {"key": "k", "timeout": 5, "retry": {"times": 1}, "tags": ["a"]}

    @pytest.mark.parametrize(
        ("table", "said"),
        [
            ({}, ["[plugins.x]", "missing required field `key`"]),
            ({"kye": "k"}, ["[plugins.x]", "unknown key 'kye'", "'key'"]),
            ({"key": 5}, ["[plugins.x]", "'key'", "expected `str`, got `int`"]),
            ({"key": "k", "timeout": 0}, ["[plugins.x]", "timeout must be above 0"]),
            ({"key": "k", "retry": 5}, ["[plugins.x]", "'retry'"]),
            ({"key": "k", "retry": {"tims": 5}}, ["[plugins.x.retry]", "unknown key 'tims'", "'times'"]),
            ({"key": "k", "retry": {"times": "x"}}, ["[plugins.x.retry]", "'times'", "expected `int`"]),
            ({"key": "k", "tags": [1]}, ["[plugins.x]", "'tags'", "expected `str`"]),
        ],
    )
    def test_misfit(self, table: dict[str, Any], said: list[str]) -> None:
        """The error names the table, the key and the fault, without a file."""
        with pytest.raises(ConfigError) as caught:
            read_settings(Settings, table, "[plugins.x]")

        for part in said:
            assert part in caught.value.full_text
        assert "None" not in caught.value.message


def test_a_plugins_settings_know_their_place(tmp_path: Path) -> None:
    """An error in a plugin's table or a nested table names file and line; an error in a plain dict does not."""
    path = tmp_path / "agno-rt.toml"
    path.write_text('[plugins.mine]\nsize = 3\n\n[plugins.mine.inner]\nnmae = "x"\n')
    settings = load_config(path).plugins["mine"]

    @attrs.define
    class Inner:
        name: str = ""

    with pytest.raises(ConfigError, match=r"agno-rt\.toml:5, \[plugins\.mine\.inner\]: unknown key 'nmae'"):
        read_settings(Inner, settings["inner"], "[plugins.mine.inner]")
    with pytest.raises(ConfigError, match=r"^\[plugins\.mine\]: unknown key 'nmae'"):
        read_settings(Inner, {"nmae": "x"}, "[plugins.mine]")


@attrs.frozen
class Choices:
    """Settings with fixed values."""

    cache: Literal["5m", "1h"] = "5m"
    effort: Literal["low", "high"] | None = None


def test_a_value_outside_a_choice_lists_the_choice() -> None:
    """A setting with fixed values names all of them if another is given, also where the setting may be left out."""

    wrong: dict[str, Any]
    for wrong, hint in (({"cache": "6m"}, "Write one of '5m', '1h'."), ({"effort": 1}, ""), ({"effort": "x"}, "'low'")):
        with pytest.raises(ConfigError) as caught:
            read_settings(Choices, wrong, "[plugins.p]")
        assert hint in caught.value.hint
