"""The documentation covers every public name, and its links have targets.

`tests/e2e` tries the commands and programs of the pages.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agno_rt import hookspecs
from docs.draw_architecture import PAGE, PICTURE, draw
from docs.draw_routes import ROUTES_PAGE, draw_routes

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*?\.md)?(#[\w-]+)?\)")
FENCE = re.compile(r"^(`{3,}|:{3,}).*?^\1$", re.DOTALL | re.MULTILINE)
INCLUDE = re.compile(r"\{include\} (\S+)")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """Return the extension that writes the pages of the reference."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("reference_pages")
    finally:
        sys.path.remove(str(DOCS))


def test_each_public_name_has_one_page(pages: ModuleType) -> None:
    """Every name that a public module or the package exports has exactly one heading in the reference."""
    documented = [name for names in pages.homes().values() for name in names]

    for module in pages.public_modules():
        exported = importlib.import_module(module).__all__
        for name in exported if module.startswith("agno_rt.") else set(exported) - set(hookspecs.__all__):
            assert name in documented, f"{module}.{name} is on no page of the reference"
    classes = [
        getattr(importlib.import_module(module), name) for module, names in pages.homes().items() for name in names
    ]
    seen = [value for value in classes if inspect.isclass(value) or inspect.isroutine(value)]
    assert len(seen) == len({id(value) for value in seen})
    assert set(importlib.import_module("agno_rt").__all__) <= set(documented)


def test_a_page_has_headings_and_no_private_module(pages: ModuleType) -> None:
    """Each name is a heading for links; no private module has a page."""
    text = pages.page("agno_rt.errors")

    assert "# agno_rt.errors" in text
    assert "## UsageError" in text
    assert not [name for name in pages.public_modules() if "._" in name]


def test_defaults_are_shown_as_they_are_written(pages: ModuleType) -> None:
    """A signature has the words of the source, not the repr of an object."""
    from agno_rt import Agent, ModelSettings
    from agno_rt.memory import MemoryBackend

    def signature(cls: type) -> str:
        return str(pages.readable_signature(None, "class", "", cls, None)[0])

    assert "memory: MemoryPolicy | Mapping[str, Any] = PLAIN_MEMORY" in signature(Agent)
    assert "stop: tuple[str, ...] = ()" in signature(ModelSettings)
    assert "extra: Mapping[str, Any] = ..." in signature(ModelSettings)
    assert signature(MemoryBackend) == ""


def test_code_in_docstrings_can_be_copied(pages: ModuleType) -> None:
    """Words in single backticks become code, and a class becomes a link."""
    lines = ['Copy by `attrs.evolve(agent, name="x")`, see', "`Agent` and ``code`` and :class:`Tool`."]
    pages.quote_code(None, "class", "", None, None, lines)

    assert lines == [
        'Copy by ``attrs.evolve(agent, name="x")``, see',
        ":py:obj:`.Agent` and ``code`` and :class:`Tool`.",
    ]


def test_every_hook_has_its_signature_and_an_example() -> None:
    """The page on plugins shows the signature of each hook and an example."""
    text = (DOCS / "howto" / "plugins.md").read_text(encoding="utf-8")
    for name in hookspecs.__all__:
        if name.startswith("agno_rt_"):
            parameters = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
            assert f"`{name}({parameters})`" in text, f"the table of hooks lacks {name}({parameters})"
            assert f"@hookimpl\ndef {name}({parameters}):" in text, f"there is no example of {name}"


def test_the_architecture_is_drawn_from_the_code(tmp_path: Path) -> None:
    """The states, the picture and the floors agree with the code; drawing mends a page that differs."""
    page, picture = (Path(shutil.copy(path, tmp_path)) for path in (PAGE, PICTURE))

    assert not draw(page, picture), f"{PAGE.name} or {PICTURE.name} differs from the code: run `make draw`"

    page.write_text(PAGE.read_text(encoding="utf-8").replace("| asking |", "| resting |"), encoding="utf-8")
    assert draw(page, picture)
    assert page.read_bytes() == PAGE.read_bytes()


def test_the_routes_are_drawn_from_the_code(tmp_path: Path) -> None:
    """The table of routes agrees with the server's own; drawing mends a page that differs."""
    page = Path(shutil.copy(ROUTES_PAGE, tmp_path))

    assert not draw_routes(page), f"{ROUTES_PAGE.name} differs from the code: run `make draw`"

    page.write_text(ROUTES_PAGE.read_text(encoding="utf-8").replace("| Delete a session |", "| - |"), encoding="utf-8")
    assert draw_routes(page)
    assert page.read_bytes() == ROUTES_PAGE.read_bytes()


def documents() -> list[Path]:
    """Return every page of the documentation, README and plugin's README, without generated pages."""
    made = DOCS / "reference" / "api"
    found = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("plugins/*/README.md"), ROOT / "examples/README.md"]
    return sorted(path for path in found if made not in path.parents and "_build" not in path.parts)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page: headings and labels, also of included pages."""
    text = path.read_text(encoding="utf-8")
    found = {f"#{label}" for label in re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)}
    for included in INCLUDE.findall(text):
        found |= anchors(path.parent / included)
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(f"#{words.replace(' ', '-')}")
    return found


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_have_targets(path: Path) -> None:
    """A link to a page, or to a heading, has a target: in the repository, and so on the web and in the built pages."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for name, anchor in LINK.findall(text):
        target = (path.parent / name).resolve() if name else path
        assert target.is_file(), f"there is no page {name}"
        if anchor:
            assert anchor in anchors(target), f"{name or path.name} has no heading {anchor}"


@pytest.mark.parametrize(
    "path", [path for path in documents() if DOCS in path.parents], ids=lambda path: str(path.relative_to(DOCS))
)
def test_a_page_opens_with_a_sentence(path: Path) -> None:
    """The first paragraph of a page tells readers what they can do with it, before any table, code or heading."""
    title, opening = path.read_text(encoding="utf-8").split("\n", 2)[0::2]
    if not title.startswith("```{include}"):
        assert title.startswith("# ")
        assert re.match(r"[A-Z`\[]|agno_rt", opening), f"{path.name} has no opening: say what it is for"


def test_every_page_is_in_a_table_of_contents() -> None:
    """Every page is listed; readers could not find another."""
    listed = {DOCS / "index.md"}
    for index in DOCS.rglob("index.md"):
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```$", index.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            entries = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(index.parent / f"{entry}.md").resolve() for entry in entries}

    assert {path for path in documents() if DOCS in path.parents} <= listed


def test_the_pages_are_written_once(pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged pages are left alone, to keep a second build quick; the page of a removed module is removed."""
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    (tmp_path / "agno_rt.gone.md").write_text("# agno_rt.gone\n")
    pages.write_pages()
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    pages.write_pages()

    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == first
    assert "agno_rt.agent.md" in first
    assert "agno_rt.gone.md" not in first


def test_generated_pages_are_not_in_git() -> None:
    """The pages of the reference are made by the build, and are not in the repository."""
    done = subprocess.run(
        ["git", "ls-files", "docs/reference/api", "docs/_build"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
