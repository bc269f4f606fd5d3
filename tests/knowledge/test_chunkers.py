"""The chunkers: what each keeps together, and where chunks come from."""

from __future__ import annotations

import warnings
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agno_rt import Knowledge, Runtime
from agno_rt._retrieval.chunkers import CHUNKERS, make_chunker
from agno_rt.errors import NotFound, UsageError
from agno_rt.knowledge import Document

NAMES = ("characters:100", "sentences:100", "paragraphs:100", "tokens:20", "code:100", "markdown:100")
OVERLAPPING = ("characters:100:50", "sentences:100:40", "paragraphs:100:30", "tokens:20:10")
PIECES = (
    *(
        "word ",
        "Long sentence here. ",
        "\n\n",
        "\n",
        "\r\n",
        "# A heading\n",
        "日本語の文。",
        "ß" * 30,
        "e.g. ",
        "```\n",
    ),
    *("def f(x):\n    return x\n", "class A:\n    def b(self):\n        pass\n\n"),
    *("  ", "\u2028", "\x0c", "…", "123456 ", "'quoted.' "),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=60).map("".join)
media_types = st.sampled_from(["text/plain", "text/markdown", "text/x-python", "text/x-c"])


def cut(name: str, text: str, media_type: str = "text/plain") -> list[str]:
    """Return the texts of the chunks."""
    return [chunk.text for chunk in make_chunker(name).cut(Document("s", text, media_type=media_type))]


@pytest.mark.parametrize("name", [*NAMES, *OVERLAPPING])
@settings(max_examples=50, deadline=None)
@given(text=texts, media_type=media_types)
@example(text="x" * 1_000, media_type="text/plain")
@example(text="a b " * 200, media_type="text/x-python")
def test_chunks_are_exact_parts_that_leave_nothing_out(name: str, text: str, media_type: str) -> None:
    """Offsets give each chunk's text, in order; every visible character is in a chunk; no chunk is too long."""
    document = Document("s", text, media_type=media_type)
    chunks = make_chunker(name).cut(document)

    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert all(chunk.text.strip() for chunk in chunks)
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
    covered = {at for chunk in chunks for at in range(chunk.start, chunk.end)}
    assert all(char.isspace() for at, char in enumerate(document.text) if at not in covered)
    if not name.startswith("tokens"):
        assert all(len(chunk.text) <= 100 for chunk in chunks)
    overlap = int([*name.split(":"), "0"][2])
    for before, after in pairwise(chunks):
        assert after.start >= before.end - 6 * overlap


def test_sentences_stay_whole() -> None:
    """A chunk ends after a sentence, also after a quotation, and not after an abbreviation or an initial."""
    text = 'Ann met J. Smith, e.g. at noon. "He left." Then it rained all day long. ' + "It was cold in the town. " * 3
    assert cut("sentences:100", text) == [
        'Ann met J. Smith, e.g. at noon. "He left." Then it rained all day long. It was cold in the town.',
        "It was cold in the town. It was cold in the town.",
    ]
    japanese = "今日は雨が降っています。" * 10
    assert all(part.endswith("。") for part in cut("sentences:100", japanese))


def test_paragraphs_stay_whole() -> None:
    """A chunk has whole paragraphs; a paragraph that is too long is cut after a sentence."""
    short, long = "A short paragraph.\nOf two lines.", "A sentence of a long paragraph. " * 6
    assert cut("paragraphs:100", f"{short}\n\n{short}\n\n{short}\n\n{long}") == [
        f"{short}\n\n{short}",
        short,
        *[("A sentence of a long paragraph. " * 3).strip()] * 2,
    ]


def test_tokens_are_counted_by_script() -> None:
    """A chunk of 20 tokens has about 20 short English words, and at most 20 Chinese characters."""
    english = cut("tokens:20", "One two three four five. " * 8)
    chinese = cut("tokens:20", "今天天气很好我们去公园散步" * 8)

    assert [len(part.split()) for part in english] == [15, 15, 10]
    assert {len(part) for part in chinese[:-1]} == {20}


def test_an_overlap_repeats_whole_parts() -> None:
    """The next chunk begins with the last sentences of the chunk before, as far as they fit the overlap."""
    text = " ".join(f"This is sentence {number}." for number in range(1, 9))
    assert cut("sentences:100:45", text) == [
        " ".join(f"This is sentence {number}." for number in numbers) for numbers in ((1, 2, 3, 4, 5), (4, 5, 6, 7, 8))
    ]
    assert cut("characters:100:20", "x" * 170) == ["x" * 100, "x" * 90]


def test_chunks_of_markdown_have_headings() -> None:
    """Chunkers of text tell the headings above a chunk, for citations."""
    text = "# Soup\n\n" + "Cook it slowly. " * 8 + "\n\n## Spice\n\n" + "Add some salt. " * 8
    chunks = make_chunker("sentences:100").cut(Document("s", text, media_type="text/markdown"))
    assert [chunk.headings for chunk in chunks] == [("Soup",), ("Soup",), ("Soup", "Spice")]


PYTHON = '''"""A module."""

import os

LIMIT = 3


# What a comment says belongs to the function.
@cache
def first(a):
    """Return a text with "\\d"."""
    text = """

def not_code(): pass
"""
    return text


class Thing:
    """A thing that is longer than a chunk may be, so that its methods are cut apart."""

    size = 3

    def one(self):
        return "one" * self.size

    def two(self):
        return "two" * self.size + "and something that makes the method long enough for a chunk"
'''


def test_python_is_cut_at_definitions() -> None:
    """Functions stay whole with decorators and comments; methods of a long class have the class as heading."""
    chunks = make_chunker("code:200").cut(Document("s", PYTHON, media_type="text/x-python"))

    assert [(chunk.text.split("\n")[0].strip(), chunk.headings, chunk.place) for chunk in chunks] == [
        ('"""A module."""', (), "lines 1 to 5"),
        ("# What a comment says belongs to the function.", (), "lines 8 to 16"),
        ("class Thing:", ("class Thing",), "lines 19 to 25"),
        ("def two(self):", ("class Thing",), "lines 27 to 28"),
    ]


def test_other_code_is_cut_at_blank_lines() -> None:
    """Blocks of other languages, and of Python with an error, stay whole if they fit."""
    block = "int f(int a) {\n    return a;\n\n    /* end */\n}\n"
    assert cut("code:100", "\n".join([block] * 3), "text/x-c") == [f"{block}\n{block.strip()}", block.strip()]
    broken = "def f(:\n    pass\n\n" + "x = 1\n" * 20
    assert cut("code:100", broken, "text/x-python")[0] == "def f(:\n    pass"


def test_code_of_documents_warns_of_nothing() -> None:
    """A strange escape in a document's code is not the user's to hear of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cut("code", 'x = "\\d"\n', "text/x-python") == ['x = "\\d"']
        assert cut("code", "(" * 5_000, "text/x-python")
    assert not caught


@pytest.mark.parametrize("name", CHUNKERS)
def test_names_say_the_settings(name: str) -> None:
    """A chunker made by its name has the same name: a change of name cuts documents anew."""
    assert make_chunker(f"{name}:500").name == f"{name}:500"
    assert make_chunker(make_chunker(name).name).name == make_chunker(name).name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sentences:9", "at least 100"),
        ("tokens:9", "at least 20"),
        ("sentences:200:101", "0 to 100"),
        ("sentences:x", "sentences:900"),
        ("sentences:²00", "sentences:900"),
        ("sentences:900:1:1", "more than"),
        ("markdown:900:100", "more than a size"),
        ("code:900:100", "more than a size"),
    ],
)
def test_refuses_sizes_that_cannot_be(name: str, problem: str) -> None:
    """A wrong size or overlap is an error that says what to write."""
    with pytest.raises(UsageError) as caught:
        make_chunker(name)
    assert problem in caught.value.full_text


async def test_a_knowledge_names_its_chunker() -> None:
    """`Knowledge(chunker=...)` takes the names."""
    async with Runtime() as rt:
        opened = rt.knowledge(Knowledge(embedder=None, chunker="sentences:100"))
        await opened.add(Document("s", "Every sentence of this text has about fifty letters. " * 4))
        assert (await opened.status()).chunks == 4
        with pytest.raises(NotFound, match="sentence"):
            rt.knowledge(Knowledge(embedder=None, chunker="sentence:100"))
