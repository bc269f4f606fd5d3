"""Names and prose that need one reading: bounds on the measurable part of our style, for code and for pages.

`python -m tests.test_prose agno_rt/cli docs` measures Python files and Markdown pages, and lists the places to mend.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent


def list_folders() -> list[Path]:
    """Return the folders under test: every one with Python files, without files that a command writes."""
    inner = [path for above in (ROOT / "agno_rt", ROOT / "tests") for path in above.iterdir()]
    plugins = [
        path for plugin in (ROOT / "plugins").iterdir() for path in (*plugin.glob("agno_rt_*"), plugin / "tests")
    ]
    found = [ROOT / "agno_rt", ROOT / "tests", *inner, *plugins, ROOT / "benchmarks", ROOT / "examples", ROOT / "docs"]
    return sorted(path for path in found if any(path.rglob("*.py")))


PAGES = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md", "docs", "examples", "agno_rt/defaults/project")
"""The pages under test: files, and folders with pages. READMEs of plugins are not among them yet."""

MADE = ("_build", "api")
"""Folders in `docs/` whose pages a command writes."""

QUESTIONS = re.compile("how|what|when|where|whether|which|who|whom|whose|why")
POINTERS = re.compile(
    "he|her|him|his|it|its|one|ones|she|such|that|their|them|there|these|they|this|those"
    "|what|whether|which|who|whom|whose"
)
"""Words that leave the noun to the reader."""
NOT_PROSE = re.compile(
    r"<!-- (\w+):begin -->.*?<!-- \1:end -->|<!--.*?-->"  # parts that a command writes, comments
    r"|^`{3,}.*?^`{3,}$"  # code blocks
    r"|^:{3,}.*?$|^\([\w-]+\)=$"  # directives, labels
    r"|`+[^`]*`+"  # code
    r"|(?<=\])\([^)]*\)|https?://\S+",  # addresses
    re.DOTALL | re.MULTILINE,
)
"""The parts of a page that are not sentences."""
PARTICIPLE = re.compile(
    "[a-z]+(?:ed|ing)|begun|bound|broken|chosen|done|drawn|found|given|gone|held|kept|known|left|lost|made|met"
    "|said|seen|sent|shown|taken|told|written"
)
NO_NOUN = re.compile(r"(?<!there )\b(?:is|are|was|be) no (?!longer|more|matter|better)\w+", re.IGNORECASE)


@attrs.define
class Measure:
    """Counts of some files, and the `places` to mend first."""

    docstrings: int = 0
    questions: int = 0
    words: int = 0
    pointers: int = 0
    functions: int = 0
    single: int = 0
    places: list[str] = attrs.Factory(list)

    @property
    def share(self) -> float:
        """The pointers per 100 words."""
        return 100 * self.pointers / max(self.words, 1)

    def add_page(self, path: Path) -> None:
        """Count the sentences of a Markdown page."""
        text = path.read_text(encoding="utf-8")
        prose = NOT_PROSE.sub(lambda match: " " + "\n" * match[0].count("\n"), text)
        self._count_words(prose)
        self._find_no_nouns(path, prose)

    def add(self, path: Path) -> None:
        """Count a Python file."""
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        where = place(path)
        for line, text, is_docstring in texts(tree, source):
            found = self._count_words(re.sub(r"`[^`]*`", "", text))
            self.docstrings += is_docstring
            if is_docstring and found and QUESTIONS.fullmatch(found[0]):
                self.questions += 1
                self.places.append(f"{where}:{line}: the docstring begins with {found[0]!r}")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("_"):
                self.functions += 1
                self.single += "_" not in node.name.strip("_")
                if PARTICIPLE.fullmatch(node.name.strip("_")):
                    self.places.append(f"{where}:{node.lineno}: {node.name} is a participle: say what it does to what")
        self._find_no_nouns(path, source)

    def _count_words(self, text: str) -> list[str]:
        """Count the words and the pointers of a text. Return its words."""
        found = re.findall(r"[a-z']+", text.lower())
        self.words += len(found)
        self.pointers += sum(POINTERS.fullmatch(word) is not None for word in found)
        return found

    def _find_no_nouns(self, path: Path, text: str) -> None:
        for match in NO_NOUN.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            self.places.append(f"{place(path)}:{line}: {match[0]!r}: write 'is not a ...'")


def place(path: Path) -> Path:
    """Return the path within the repository."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def texts(tree: ast.Module, source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the line and text of each docstring and comment, and whether the text is a docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text, True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def measure(*paths: Path) -> Measure:
    """Measure Python files: the given ones, and all in the given folders."""
    found = Measure()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.add(file)
    return found


def measure_pages(*paths: Path) -> Measure:
    """Measure Markdown pages."""
    found = Measure()
    for path in paths:
        found.add_page(path)
    return found


def find_pages(*paths: Path) -> list[Path]:
    """Return the Markdown pages among the paths and in the folders, without those that a command writes."""
    found = [page for path in paths for page in (sorted(path.rglob("*.md")) if path.is_dir() else [path])]
    return [page for page in found if not set(MADE) & set(page.parts)]


@pytest.mark.parametrize("folder", list_folders(), ids=lambda folder: str(place(folder)))
def test_prose_is_read_once(folder: Path) -> None:
    """Docstrings begin with a verb or a noun, functions have names with a verb, and sentences name the thing."""
    with_folders = folder.parent == ROOT and folder.name in ("agno_rt", "tests")
    found = measure(*sorted(folder.glob("*.py")) if with_folders else [folder])

    assert found.questions <= 0.03 * found.docstrings, "\n".join(found.places)
    assert not [place for place in found.places if "the docstring begins" not in place]
    assert found.share <= 6.0, f"{found.share:.1f} of 100 words leave the noun to the reader: name the thing"
    assert found.single <= 0.25 * found.functions, f"{found.single} of {found.functions} functions have one word"


@pytest.mark.parametrize("page", find_pages(*(ROOT / path for path in PAGES)), ids=lambda page: str(place(page)))
def test_a_page_names_the_thing(page: Path) -> None:
    """No page is far above the bound for all pages; a short one has four pointers to spend."""
    found = measure_pages(page)

    assert not found.places
    allowed = max(4, 0.08 * found.words)
    assert found.pointers <= allowed, f"{found.share:.1f} of 100 words leave the noun to the reader: name the thing"


def test_pages_together_name_the_thing() -> None:
    """All pages together have at most six pointers per 100 words; the docs of good libraries have three to six."""
    found = measure_pages(*find_pages(*(ROOT / path for path in PAGES)))

    assert found.words > 20_000
    assert found.share <= 6.0, f"{found.share:.2f} of 100 words leave the noun to the reader: name the thing"


def test_code_in_a_page_is_not_measured(tmp_path: Path) -> None:
    """Code, addresses and generated parts do not count, and a place has its line."""
    page = tmp_path / "page.md"
    page.write_text(
        "It is `it` at [a page](it.md).\n\n```python\nit = that\n```\n\n"
        "<!-- floors:begin -->\nthis and that\n<!-- floors:end -->\n\nThis is" + " no model.\n"
    )
    found = measure_pages(page)

    assert (found.pointers, found.words) == (2, 9)
    assert [place.partition(": ")[0] for place in found.places] == [f"{page}:11"]


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    pages = find_pages(*(path for path in given if path.is_dir() or path.suffix == ".md"))
    seen = measure(*(path for path in given if path.suffix != ".md"))
    read = measure_pages(*pages)
    print("\n".join(seen.places + read.places))
    for page in sorted(pages, key=lambda page: measure_pages(page).share):
        print(f"{measure_pages(page).share:5.1f}  {page}")
    print(
        f"docstrings that begin with a question word: {seen.questions} of {seen.docstrings}; "
        f"pointers per 100 words: {seen.share:.1f} in code, {read.share:.1f} in pages; "
        f"private functions of one word: {seen.single} of {seen.functions}"
    )
