"""The toolkits `file` and `filegen`: Agno-Go's names on a rooted workspace."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pptx
import pytest
from agno_rt_workspace import make_file_toolkit, make_filegen_toolkit
from agno_rt_workspace.base import WorkspaceError
from agno_rt_workspace.local import LocalWorkspace
from agno_rt_workspace.presentations import PART_BYTES, read_slides
from agno_rt_workspace.settings import WorkspaceSettings, read_workspace_settings

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import NotFound, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere
from agno_rt.tools import Toolkit

FREE = {"approve": "none"}
R = "required"
READS, CHANGES, ADDS = (True, False), (False, True), (False, False)
"""The notes read-only and destructive."""
TABLE: dict[str, dict[str, tuple[tuple[bool, bool], dict[str, Any]]]] = {
    "file": {
        "read_file": (READS, {"path": R, "start": 1}),
        "list_files": (READS, {"path": ""}),
        "file_exists": (READS, {"path": R}),
        "read_pptx": (READS, {"path": R, "start": 1}),
        "write_file": (CHANGES, {"path": R, "content": R}),
        "delete_file": (CHANGES, {"path": R}),
    },
    "filegen": {
        "create_file": (CHANGES, {"file_path": R, "content": R, "overwrite": False}),
        "create_directory": (ADDS, {"dir_path": R}),
        "generate_from_template": (READS, {"template": R, "variables": None}),
    },
}


def call(name: str, **arguments: Any) -> ToolCall:
    """Call a tool."""
    return ToolCall("1", name, msgspec.json.encode(arguments).decode())


async def use(toolkit: Toolkit, *calls: ToolCall | Sequence[ToolCall]) -> list[str]:
    """Run an agent that makes these calls, and return the results."""
    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel([*calls, "done"]), tools=[toolkit]), "?")
    return [message.text for message in result.messages if message.role == "tool"]


@pytest.mark.parametrize("name", TABLE)
def test_names_parameters_and_notes(name: str, tmp_path: Path) -> None:
    """Each tool has the recorded parameters and notes; tools that may destroy wait for a person by default."""
    toolkit = PluginHost().tool(f"workspace:{name}:{tmp_path}", {})
    found = {
        each.name: (
            (each.read_only, each.destructive),
            {key: part.get("default", R) for key, part in each.parameters["properties"].items()},
        )
        for each in toolkit.tools
    }
    assert found == TABLE[name]
    assert toolkit.name == f"{name}:{tmp_path}"
    assert {each.name for each in toolkit.tools if each.pauses} == {
        tool for tool, ((_, destructive), _) in TABLE[name].items() if destructive
    }
    assert all(part["description"] for each in toolkit.tools for part in each.parameters["properties"].values())


async def test_files_are_written_read_and_deleted(tmp_path: Path) -> None:
    """A model writes, finds, lists, reads and deletes files."""
    results = await use(
        make_file_toolkit(str(tmp_path), FREE),
        call("list_files", path="."),
        call("write_file", path="a/b.txt", content="one\ntwo\n"),
        call("file_exists", path="a/b.txt"),
        call("file_exists", path="a"),
        call("file_exists", path="none"),
        call("list_files", path="a"),
        call("read_file", path="a/b.txt"),
        call("read_file", path="a/b.txt", start=2),
        call("delete_file", path="a/b.txt"),
        call("list_files", path="a"),
    )
    assert results == [
        "The directory is empty.",
        "a/b.txt is written: 8 bytes.",
        "a/b.txt exists: a file of 8 bytes.",
        "a exists: a directory.",
        "none does not exist.",
        "a/b.txt 8 bytes",
        "one\ntwo\n",
        "two\n",
        "a/b.txt is deleted.",
        "The directory is empty.",
    ]


async def test_nothing_outside_is_reached(tmp_path: Path) -> None:
    """Paths outside, links, folders and refused names are answers to the model; the files outside stay."""
    root = tmp_path / "in"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to(tmp_path)
    (root / "folder").mkdir()
    (root / ".env").write_text("KEY=secret")
    attempts = [
        call(name, path=path)
        for name in ("read_file", "delete_file", "read_pptx", "file_exists", "list_files")
        for path in ("../secret.txt", str(tmp_path / "secret.txt"), "up/secret.txt", "link.txt", ".env", "~/x", "a\0b")
    ]
    attempts += [
        call("write_file", path=path, content="x") for path in ("../out.txt", "up/out.txt", "link.txt", ".env")
    ]
    attempts += [call("delete_file", path="folder"), call("delete_file", path="")]
    calls = [ToolCall(str(number), each.name, each.arguments) for number, each in enumerate(attempts)]
    results = await use(make_file_toolkit(str(root), FREE), calls)
    assert len(results) == len(attempts)
    assert all("secret" not in result.replace("secret.txt", "") for result in results)
    assert sorted(os.listdir(tmp_path)) == ["in", "secret.txt"]
    assert sorted(os.listdir(root)) == [".env", "folder", "link.txt", "up"]
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert (root / ".env").read_text() == "KEY=secret"


async def test_files_are_generated(tmp_path: Path) -> None:
    """A new file does not replace one that is there, unless it may; templates are filled in one pass."""
    results = await use(
        make_filegen_toolkit(str(tmp_path), FREE),
        call("create_directory", dir_path="docs/new"),
        call("create_directory", dir_path="docs"),
        call("create_file", file_path="docs/a.md", content="1"),
        call("create_file", file_path="docs/a.md", content="2"),
        call("create_file", file_path="docs/a.md", content="3", overwrite=True),
        call("create_file", file_path="../a.md", content="4"),
        call(
            "generate_from_template",
            template="Dear {{ name }}, {{n}} of {{name}}",
            variables={"name": "{{n}}", "n": 2.5},
        ),
        call("generate_from_template", template="Dear {{name}} {{other}}", variables={"name": "Ann"}),
        call("generate_from_template", template="{ no } {{}} {places"),
        call("generate_from_template", template="{{a}}" * 20_000, variables={"a": "x" * 100}),
    )
    assert results[0:3] == ["docs/new is created.", "docs was there already.", "docs/a.md is created: 1 bytes."]
    assert "is there already" in results[3]
    assert results[4] == "docs/a.md is created: 1 bytes."
    assert "leads outside" in results[5]
    assert results[6] == "Dear {{n}}, 2.5 of {{n}}"
    assert "no values for other" in results[7]
    assert results[8] == "{ no } {{}} {places"
    assert "more than 1,000,000 characters" in results[9]
    assert (tmp_path / "docs/a.md").read_text() == "3"
    assert sorted(os.listdir(tmp_path / "docs")) == ["a.md", "new"]


def make_presentation(*slides: str) -> bytes:
    """Make a presentation with a title on each slide, and swap the first two slides."""
    made = pptx.Presentation()
    for text in slides:
        slide = made.slides.add_slide(made.slide_layouts[5])
        slide.shapes.title.text = text
        table = slide.shapes.add_table(1, 2, 0, 0, 100, 100).table
        table.cell(0, 1).text = f"cell of {text}"
    order = made.slides._sldIdLst  # the order of the presentation, for which python-pptx has no public word
    order.insert(0, order[1])
    saved = io.BytesIO()
    made.save(saved)
    return saved.getvalue()


async def test_slides_are_read_in_their_order(tmp_path: Path) -> None:
    """The text of a presentation is read by slides, with tables, in the order of the presentation."""
    (tmp_path / "a.pptx").write_bytes(make_presentation("One & two", "Three\vfour", "Five"))
    results = await use(
        make_file_toolkit(str(tmp_path), FREE),
        call("read_pptx", path="a.pptx"),
        call("read_pptx", path="a.pptx", start=3),
        call("read_pptx", path="a.pptx", start=9),
        call("read_file", path="a.pptx"),
    )
    assert results[0] == (
        "Slide 1:\nThree\nfour\ncell of Three\nfour\n\nSlide 2:\nOne & two\ncell of One & two\n\n"
        "Slide 3:\nFive\ncell of Five"
    )
    assert results[1] == "Slide 3:\nFive\ncell of Five"
    assert results[2] == "The presentation has 3 slides."
    assert "is not a text" in results[3]


def change_part(data: bytes, name: str, content: bytes) -> bytes:
    """Return a presentation with another content of a part."""
    saved = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
    return saved.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"not a zip",
        make_presentation("a", "b")[:-100],
        change_part(make_presentation("a", "b"), "ppt/presentation.xml", b"<a>"),
        change_part(make_presentation("a", "b"), "ppt/presentation.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
        change_part(make_presentation("a", "b"), "ppt/slides/slide1.xml", b" " * (PART_BYTES + 1)),
        change_part(make_presentation("a", "b"), "ppt/slides/slide1.xml", '<?xml version="1.0"?><a/>'.encode("utf-16")),
        change_part(make_presentation("a", "b"), "ppt/_rels/presentation.xml.rels", b"<a/>"),
    ],
    ids=range(9),
)
def test_other_files_are_not_presentations(data: bytes) -> None:
    """Broken files, entities, other encodings and parts that unpack to megabytes are refused with a reason."""
    with pytest.raises(WorkspaceError) as caught:
        read_slides(data, "a.pptx")
    assert caught.value.hint


def test_a_read_only_workspace_and_a_missing_folder(tmp_path: Path) -> None:
    """Tools that the workspace would always refuse are not there; a spec without a folder is told."""
    settings = {"workspace": {"read_only": True}}
    names = [each.name for each in PluginHost().tool(f"workspace:file:{tmp_path}", settings).tools]
    assert names == ["read_file", "list_files", "file_exists", "read_pptx"]
    names = [each.name for each in PluginHost().tool(f"workspace:filegen:{tmp_path}", settings).tools]
    assert names == ["generate_from_template"]
    for spec in ("workspace:file", "workspace:filegen:", f"workspace:file:{tmp_path}/none"):
        with pytest.raises(UsageError, match="no folder"):
            PluginHost().tool(spec, {})


@pytest.mark.parametrize("spec", ["workspace", "workspace:"])
def test_a_spec_without_a_folder_names_the_right_one(spec: str) -> None:
    """The hint says what to write behind the plugin's name: a folder."""
    with pytest.raises(NotFound) as caught:
        PluginHost().tool(spec, {})
    assert "workspace:FOLDER" in caught.value.hint


async def test_a_workspace_that_is_read_only_refuses(tmp_path: Path) -> None:
    """The workspace itself refuses changes; `only` and `deny` hold for looks and deletions."""
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "b.md").write_text("2")
    workspace = LocalWorkspace(tmp_path, WorkspaceSettings(read_only=True))
    for change in (workspace.delete("a.txt"), workspace.make_folder("c"), workspace.write("d", b"", exclusive=True)):
        with pytest.raises(WorkspaceError, match="read-only"):
            await change
    narrow = LocalWorkspace(tmp_path, read_workspace_settings({"only": ["*.md"]}))
    for reach in (narrow.look("a.txt"), narrow.delete("a.txt"), narrow.look(".git"), narrow.delete(".ssh/x")):
        with pytest.raises(WorkspaceError, match="not open to you"):
            await reach
    await narrow.delete("b.md")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_cancelled_creation_has_happened_or_not(tmp_path: Path) -> None:
    """Wherever a creation is cancelled, the file is there whole or not at all, with nothing beside it."""

    async def create(point: CancelPoint) -> None:
        for name in os.listdir(tmp_path):
            os.unlink(tmp_path / name)
        with point:
            await LocalWorkspace(tmp_path).write("a.txt", b"whole", exclusive=True)
        assert os.listdir(tmp_path) in ([], ["a.txt"])
        assert point.cancelled or (tmp_path / "a.txt").read_bytes() == b"whole"

    cancel_everywhere(create, at_least=1)
