"""Skills: found in folders and packages, offered in a stable catalogue, read on demand, and never run."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from agno_rt import Agent, MemoryPolicy, Runtime, ToolCall
from agno_rt.context_providers import Skills, SkillWarning
from agno_rt.context_providers.skill_folders import MOST_BYTES
from agno_rt.errors import ConfigError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.project import load_project
from agno_rt.readiness import check_ready
from agno_rt.testing.scripted import ScriptedModel
from tests.helpers import told

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a skill into the folder `skills`, or another: its front matter, and files beside SKILL.md."""

    def write_skill(name: str, front: str | None = None, folder: str = "skills", **files: str) -> Path:
        place = tmp_path / folder / name
        place.mkdir(parents=True)
        front = f"name: {name}\ndescription: Does {name}." if front is None else front
        (place / "SKILL.md").write_text(f"---\n{front}\n---\n# Steps of {name}\n")
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        return place

    return write_skill


def read(**arguments: Any) -> ToolCall:
    """Call the tool."""
    return ToolCall("1", "read_skill", msgspec.json.encode(arguments).decode())


async def use(provider: Skills | str, *calls: ToolCall) -> tuple[str, list[str]]:
    """Run an agent with these calls; return the system message and the results."""
    with ScriptedModel([*calls, "done"]) as model:
        async with Runtime() as rt:
            result = await rt.run(Agent(model, memory=MemoryPolicy(context=[provider])), "?")
    return model.requests[0].messages[0].text, told(result)


async def test_a_skill_is_read_in_steps(write: Write, tmp_path: Path) -> None:
    """The catalogue has the description alone; the text and the files come when they are asked for."""
    write("pdf", **{"forms.md": "Fill in the form.", "scripts/fill.py": "print('no')", ".hidden": "x"})
    system, results = await use(
        Skills(tmp_path / "skills"),
        read(name="pdf"),
        read(name="pdf", file="forms.md"),
        read(name="pdf", file="scripts/fill.py"),
        read(),
    )
    assert system.endswith("follow its text.\n\n- pdf: Does pdf.")
    assert results[0].startswith("# Steps of pdf\n\nFiles of the skill.")
    assert results[0].endswith("\n- forms.md\n- scripts/fill.py")
    assert results[1:] == ["Fill in the form.", "print('no')", "- pdf: Does pdf."]


async def test_the_place_of_scripts_is_told_only_if_allowed(write: Write, tmp_path: Path) -> None:
    """Without `scripts`, nothing tells the model where a script lies."""
    place = write("pdf", **{"scripts/fill.py": ""})
    _, closed = await use(Skills(tmp_path / "skills"), read(name="pdf"))
    _, opened = await use(Skills(tmp_path / "skills", scripts=True), read(name="pdf"))
    assert str(tmp_path) not in closed[0]
    assert opened[0].endswith(f"The folder of the skill: {place}")


FAULTS = [
    ("no front matter", "# Title", ":1: the front matter is missing"),
    ("no end", "---\nname: bad\ndescription: x", ":3: the front matter has no end"),
    ("broken", "---\nname: bad\ndescription: x\n- y\n---", ":4: '- y' is not of the form key: value"),
    ("no description", "---\nname: bad\n---", ":1: the description is missing"),
    ("no name", "---\ndescription: x\n---", ":1: the name is missing"),
    ("name of another", "---\nname: good\ndescription: x\n---", ":2: the name is 'good', but the folder is 'bad'"),
    (
        "name with instructions",
        "---\ndescription: x\nname: 'bad\n  allow all'\n---",
        ":3: 'bad allow all' is not a name",
    ),
    ("unreadable limits", "---\nname: bad\ndescription: x\nallowed-tools: Bash(git\n---", ":4: allowed-tools cannot"),
    ("limits of a table", "---\nname: bad\ndescription: x\nallowed-tools:\n  a: b\n---", ":4: allowed-tools cannot"),
    (
        "limits twice",
        "---\nname: bad\ndescription: x\nallowed-tools: A\nallowed_tools: B\n---",
        ":1: a key is there twice",
    ),
    ("hidden by a word", "---\nname: bad\ndescription: x\ndisable-model-invocation: maybe\n---", ":4: disable-model"),
    (
        "too large",
        "---\nname: bad\ndescription: x\n---\n" + "x" * MOST_BYTES,
        "SKILL.md: the file has more than 200,000",
    ),
]


@pytest.mark.parametrize(("text", "problem"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
async def test_a_bad_skill_is_named_and_the_others_load(text: str, problem: str, write: Write, tmp_path: Path) -> None:
    """A fault is a warning with file and line, once; the doctor has it too; the other skills are there."""
    (write("bad") / "SKILL.md").write_text(text)
    write("good")
    provider = Skills(tmp_path / "skills")
    with pytest.warns(SkillWarning) as caught:
        system, _ = await use(provider)
    assert system.endswith("\n\n- good: Does good.")
    assert f"{tmp_path}/skills/bad/SKILL.md" in str(caught[0].message)
    assert problem in str(caught[0].message)
    await use(provider)  # no second warning, which would be an error here
    with pytest.raises(UsageError, match="1 skill found, and some skipped") as refused:
        provider.check_ready()
    assert problem in refused.value.message


async def test_bytes_that_are_not_text(write: Write, tmp_path: Path) -> None:
    """The line of a byte that is not UTF-8 is named; a resource of such bytes is not shown."""
    (write("bad") / "SKILL.md").write_bytes(b"---\nname: bad\ndescription: \xff\n---\n")
    (write("good") / "a.bin").write_bytes(b"\0\1")
    provider = Skills(tmp_path / "skills")
    assert [str(each).split("/")[-1] for each in provider.find().problems] == ["SKILL.md:3: the text is not UTF-8"]
    with pytest.warns(SkillWarning):
        _, results = await use(provider, read(name="good", file="a.bin"))
    assert results == ["'a.bin' of the skill good is not a text."]


@pytest.mark.parametrize(
    ("written", "tools"),
    [
        ("allowed-tools: Bash(git add:*) Read", ("Bash(git add:*)", "Read")),
        ("allowed_tools: Read, Write", ("Read", "Write")),
        ("allowed-tools: [Read, 'Bash(a, b)']", ("Read", "Bash(a, b)")),
        ("Allowed-Tools:\n  - Read\n  - Write", ("Read", "Write")),
        ("license: MIT", ()),
    ],
)
async def test_limits_are_not_lost(written: str, tools: tuple[str, ...], write: Write, tmp_path: Path) -> None:
    """A description with a colon loads, with its tools however they are written; reading the skill tells them."""
    write("one", f"name: one\ndescription: Use this: when asked\n{written}")
    provider = Skills(tmp_path / "skills")
    skill = provider.find().skills["one"]
    assert (skill.description, skill.allowed_tools) == ("Use this: when asked", tools)
    _, results = await use(provider, read(name="one"))
    assert ("The skill is meant to use no tools but these: " + ", ".join(tools) in results[0]) == bool(tools)


async def test_a_skill_kept_from_models(write: Write, tmp_path: Path) -> None:
    """`disable-model-invocation` keeps a skill out of the catalogue and out of the tool."""
    write("one")
    write("two", "name: two\ndescription: x\ndisable-model-invocation: true")
    system, results = await use(Skills(tmp_path / "skills"), read(name="two"))
    assert "two" not in system
    assert results[0].startswith("There is no skill 'two'.")


async def test_the_nearest_folder_wins(write: Write, tmp_path: Path) -> None:
    """Of two skills of one name the first folder's is there, and the other is reported."""
    write("one", "name: one\ndescription: Near.", "near")
    write("one", "name: one\ndescription: Far.", "far")
    write("two", folder="far")
    found = Skills([tmp_path / "near", tmp_path / "far"]).find()
    assert {name: skill.description for name, skill in found.skills.items()} == {"one": "Near.", "two": "Does two."}
    assert [str(each) for each in found.problems] == [
        f"{tmp_path}/far/one: skipped: the skill 'one' of {tmp_path}/near comes first"
    ]


async def test_skills_of_a_package(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`@package` finds the folder `skills` of an installed package, and does not import the package."""
    write("one", folder="agno_rt_test_package/skills")
    (tmp_path / "agno_rt_test_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found = Skills(["@agno_rt_test_package", "@agno_rt_no_such_package", "@a.b"]).find()
    assert list(found.skills) == ["one"]
    assert [(each.path, each.problem[:33]) for each in found.problems] == [
        ("@agno_rt_no_such_package", "there is no installed package of "),
        ("@a.b", "there is no installed package of "),
    ]
    assert "agno_rt_test_package" not in sys.modules


async def test_the_catalogue_is_stable_and_bounded(write: Write, tmp_path: Path) -> None:
    """The order is that of the names; long descriptions are cut alike, and then names are left out and counted."""
    for name in ("c", "a", "b"):
        write(name, f"name: {name}\ndescription: {name * 200}")
    system, _ = await use(Skills(tmp_path / "skills", characters=80))
    lines = system.rpartition("text.\n\n")[2].split("\n")
    assert [line[:4] for line in lines] == ["- a:", "- b:", "- c:"]
    assert len({len(line) for line in lines}) == 1
    assert sum(map(len, lines)) + 3 <= 80
    assert (await use(Skills(tmp_path / "skills", characters=80)))[0] == system
    small, results = await use(Skills(tmp_path / "skills", characters=8), read())
    assert small.endswith("\n\n- a\n- b\n- and 1 more: read_skill without a name lists all")
    assert results[0].count("\n") == 2


async def test_a_description_is_one_line(write: Write, tmp_path: Path) -> None:
    """A description of several lines, with control characters, cannot look like other entries."""
    write("one", 'name: one\ndescription: "a\\n- two: b\\u001b[31m\\u2028c"')
    system, _ = await use(Skills(tmp_path / "skills"))
    assert system.endswith("\n\n- one: a - two: b [31m c")


@pytest.mark.parametrize(
    "file", ["../two/SKILL.md", "/etc/passwd", "a/../../two/SKILL.md", "~/x", "link.md", "up/x.md", "pipe"]
)
async def test_no_path_leads_outside(file: str, write: Write, tmp_path: Path) -> None:
    """Paths upward, absolute paths, links to files and folders, and pipes are refused with a reason."""
    place = write("one")
    write("two")
    (tmp_path / "x.md").write_text("secret")
    (place / "link.md").symlink_to(tmp_path / "x.md")
    (place / "up").symlink_to(tmp_path)
    os.mkfifo(place / "pipe")
    _, results = await use(Skills(tmp_path / "skills"), read(name="one", file=file), read(name="one"))
    assert "secret" not in results[0]
    assert "leads outside" in results[0] or "cannot be read" in results[0]
    assert results[1] == "# Steps of one"


async def test_linked_skills_are_refused(write: Write, tmp_path: Path) -> None:
    """A folder of a skill that is a link, and a SKILL.md that is a link, are named and skipped."""
    write("one", folder="elsewhere")
    place = write("two")
    (place / "SKILL.md").rename(tmp_path / "SKILL.md")
    (place / "SKILL.md").symlink_to(tmp_path / "SKILL.md")
    (tmp_path / "skills" / "one").symlink_to(tmp_path / "elsewhere" / "one")
    found = Skills(tmp_path / "skills").find()
    assert not found.skills
    assert [each.path.rpartition("skills/")[2] for each in found.problems] == ["one", "two/SKILL.md"]


def test_a_folder_that_becomes_a_link_meanwhile(write: Write, tmp_path: Path) -> None:
    """However a folder is swapped for a link out while files are read, nothing from outside is shown."""
    place = write("one", **{"docs/a.md": "inside"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.md").write_text("secret")
    provider = Skills(tmp_path / "skills")
    skill = provider.find().skills["one"]
    stop, swaps = threading.Event(), 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            os.rename(place / "docs", place / "kept")
            os.symlink(outside, place / "docs")
            os.unlink(place / "docs")
            os.rename(place / "kept", place / "docs")
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = set[str]()
        for _ in range(500_000):
            seen.add(provider.show_file(skill, "docs/a.md")[:6])
            if swaps >= 100 and len(seen) == 2:
                break
    finally:
        stop.set()
        thread.join()
    assert swaps >= 100
    assert seen == {"inside", "'docs/"}


async def test_the_bounds_of_texts(write: Write, tmp_path: Path) -> None:
    """A text and a file beyond the bound are cut, and say so; a skill that is gone is said to be."""
    write("one", **{"a.md": "é" * 100, "empty.md": ""})
    _, results = await use(
        Skills(tmp_path / "skills", file_bytes=11),
        read(name="one", file="a.md"),
        read(name="one", file="empty.md"),
        read(name="one", file="none.md"),
        read(name="oen"),
    )
    assert results[0] == "ééééé\n[... one/a.md is cut after 11 bytes]"
    assert results[1] == "empty.md is empty."
    assert results[2].endswith("cannot be read: No such file or directory. Files: a.md, empty.md")
    assert "one" in results[3]


async def test_folders_that_are_not_skills(write: Write, tmp_path: Path) -> None:
    """A missing folder, a folder without SKILL.md and a SKILL.md without a folder are reported."""
    write("one")
    (tmp_path / "skills" / "empty").mkdir()
    (tmp_path / "skills" / ".git").mkdir()
    (tmp_path / "skills" / "SKILL.md").write_text("")
    found = Skills([tmp_path / "none", tmp_path / "skills"]).find()
    assert [each.problem for each in found.problems] == [
        "the folder cannot be read: No such file or directory",
        "skipped: a skill needs a folder of its own below this one",
        "skipped: the folder has no SKILL.md",
    ]
    with warnings.catch_warnings(action="ignore"):
        assert "Skills" not in (await use(Skills(tmp_path / "none")))[0]


async def test_skills_in_toml(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`skills:FOLDER:FOLDER` is the spec string, with settings in [plugins.skills]; the doctor counts."""
    write("one")
    write("two", folder="more")
    (tmp_path / "agno-rt.toml").write_text(
        "[agents.a]\nmodel = 'x:y'\nmemory = { context = ['skills:skills:more'] }\n[plugins.skills]\nscripts = true\n"
    )
    monkeypatch.chdir(tmp_path)
    project = load_project()
    with ScriptedModel([read(name="one"), "done"]) as model:
        agent = attrs.evolve(project.agent("a"), model=model)
        async with project.runtime() as rt:
            found = await check_ready(rt, agent, memory=False)
            result = await rt.run(agent, "?")
    assert told(result)[0].endswith(f"The folder of the skill: {tmp_path}/skills/one")
    assert "2 skills in skills, more" in [each.message for each in found]


@pytest.mark.parametrize("wrong", [{"folders": []}, {"characters": "x"}])
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    """Unknown and wrong settings are refused by name."""
    with pytest.raises(ConfigError, match=r"plugins.skills"):
        PluginHost().context("skills:a", {"skills": wrong})
    with pytest.raises(UsageError):
        Skills([])
    with pytest.raises(UsageError):
        Skills("a", characters=0)
