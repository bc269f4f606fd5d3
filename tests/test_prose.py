"""Names and prose that are read once: the measurable part of how we write, held for the folders that have it.

`python -m tests.test_prose agno_rt/cli` measures files that are not held yet, and lists the places.
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

HELD = (
    ".",
    "_decide",
    "_drive",
    "_runtime",
    "_schema",
    "_watch",
    "defaults",
    "from_asyncio",
    "media",
    "testing",
    "wire",
    "wrappers",
)
"""The folders of the kernel that are held; `.` is the modules at its root. The list only grows."""

QUESTIONS = re.compile("how|what|when|where|whether|which|who|whom|whose|why")
POINTERS = re.compile(
    "he|her|him|his|it|its|one|ones|she|such|that|their|them|there|these|they|this|those"
    "|what|whether|which|who|whom|whose"
)
"""Words that leave the noun to the reader."""
PARTICIPLE = re.compile(
    "[a-z]+(?:ed|ing)|begun|bound|broken|chosen|done|drawn|found|given|gone|held|kept|known|left|lost|made|met"
    "|said|seen|sent|shown|taken|told|written"
)
NO_NOUN = re.compile(r"(?<!there )\b(?:is|are|was|be) no (?!longer|more|matter|better)\w+", re.IGNORECASE)


@attrs.define
class Measure:
    """What was counted in some files; `places` are what to mend first."""

    docstrings: int = 0
    questions: int = 0
    words: int = 0
    pointers: int = 0
    functions: int = 0
    single: int = 0
    places: list[str] = attrs.Factory(list)

    def add(self, path: Path) -> None:
        """Count a file."""
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        for line, text, is_docstring in texts(tree, source):
            found = re.findall(r"[a-z']+", re.sub(r"`[^`]*`", "", text).lower())
            self.words += len(found)
            self.pointers += sum(POINTERS.fullmatch(word) is not None for word in found)
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
        for match in NO_NOUN.finditer(source):
            line = source.count("\n", 0, match.start()) + 1
            self.places.append(f"{where}:{line}: {match[0]!r}: write 'is not a ...'")


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
    """Measure the Python files, and those in the folders."""
    found = Measure()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.add(file)
    return found


@pytest.mark.parametrize("folder", HELD)
def test_prose_is_read_once(folder: str) -> None:
    """Docstrings begin with a verb or a noun, functions are named for what they do, and sentences name the thing."""
    paths = (ROOT / "agno_rt").glob("*.py") if folder == "." else [ROOT / "agno_rt" / folder]
    found = measure(*sorted(paths))

    assert found.questions <= 0.03 * found.docstrings, "\n".join(found.places)
    assert not [place for place in found.places if "the docstring begins" not in place]
    share = 100 * found.pointers / found.words
    assert share <= 7.5, f"{share:.1f} of 100 words leave the noun to the reader: name the thing"
    assert found.single <= 0.25 * found.functions, f"{found.single} of {found.functions} functions have one word"


if __name__ == "__main__":
    seen = measure(*map(Path, sys.argv[1:]))
    print("\n".join(seen.places))
    print(
        f"docstrings that begin with a question word: {seen.questions} of {seen.docstrings}; "
        f"pointers per 100 words: {100 * seen.pointers / max(seen.words, 1):.1f}; "
        f"private functions of one word: {seen.single} of {seen.functions}"
    )
