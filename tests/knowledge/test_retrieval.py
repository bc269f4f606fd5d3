"""The pure parts of retrieval: words, languages, chunks, fusing, and the measuring of recall."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_rt import Knowledge, Runtime
from agno_rt._retrieval.chunkers import make_chunker
from agno_rt._retrieval.fuse import fuse
from agno_rt._retrieval.languages import guess_language, share_of_vectors
from agno_rt._retrieval.markdown import MarkdownChunker
from agno_rt.errors import NotFound, UsageError
from agno_rt.knowledge import Chunk, Document, Hit
from agno_rt.knowledge.words import query_signs, query_words, split_words
from agno_rt.library import evaluate, load_questions

PAGE = """# Guide

Some words.

## Install

```console
# not a heading

$ pip install it
```

### Linux

Nothing special.

## Use

~~~
## nor this
~~~
"""


def cut(text: str, size: int = 900, media_type: str = "text/markdown") -> list[Chunk]:
    """Cut a text."""
    return list(MarkdownChunker(size).cut(Document("a.md", text, media_type=media_type)))


def test_cuts_at_headings() -> None:
    """Each heading begins a chunk with the path of headings; a line of code with a # begins none."""
    assert [chunk.headings for chunk in cut(PAGE)] == [
        ("Guide",),
        ("Guide", "Install"),
        ("Guide", "Install", "Linux"),
        ("Guide", "Use"),
    ]
    assert cut(PAGE)[1].text.startswith("## Install")
    assert cut(PAGE)[1].text.endswith("```")


def test_a_heading_stays_with_its_text() -> None:
    """A heading without text of its own is in the chunk of the next."""
    (chunk,) = cut("# A\n\n## B\n\nText.")
    assert (chunk.text, chunk.headings) == ("# A\n\n## B\n\nText.", ("A", "B"))


@pytest.mark.parametrize(
    "text",
    [
        PAGE * 5,
        "word " * 2_000,
        "x" * 5_000,
        "第一句。第二句。" * 400,
        "```\n" + "code line\n" * 500 + "```\n",
        "```\nnever closed\n\n" + "more\n" * 50,
        "\r\n\r\nWindows\r\n\r\n# Title\r\n",
        "line\u2028separator\x0cform feed\x85next\n\n" * 40,
    ],
)
@pytest.mark.parametrize("media_type", ["text/markdown", "text/plain"])
def test_chunks_have_the_whole_text(text: str, media_type: str) -> None:
    """No chunk is too long, offsets are right, and nothing but blanks is left out."""
    chunks = cut(text, 300, media_type)
    assert all(text[chunk.start : chunk.end] == chunk.text and 0 < len(chunk.text) <= 300 for chunk in chunks)
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())


def test_blank_texts_have_no_chunks() -> None:
    """A blank text has no chunks."""
    assert cut("") == cut(" \n\n\t") == []


def test_chunkers_by_name() -> None:
    """A chunker's name may have a size; unknown names and wrong sizes are refused."""
    assert make_chunker("markdown:300") == MarkdownChunker(300)
    for wrong, error in (("markdwn", NotFound), ("markdown:x", UsageError), ("markdown:9", UsageError)):
        with pytest.raises(error):
            make_chunker(wrong)


def test_splits_words() -> None:
    """Words are folded; scripts without spaces give pairs of characters; signs part words."""
    assert list(split_words("Don't_stop: a::b ÉTÉ Straße")) == ["don", "t", "stop", "a", "b", "été", "strasse"]
    assert list(split_words("東京都 xは")) == ["東京", "京都", "x", "は"]
    assert query_words("the The THE fox") == ("the", "fox")
    assert (query_signs(" :: "), query_signs("a::"), query_signs(" \u200b")) == ("::", "", "")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I limit the time of a run?", "en"),
        ("repeat a request after a rate limit error", "en"),
        ("send a message to an agent while it is still working", "en"),
        ("Wie begrenze ich die Zeit eines Laufs?", "de"),
        ("¿Cómo limito el tiempo de una ejecución?", "es"),
        ("Comment limiter la durée d'une exécution ?", "fr"),
        ("実行時間を制限するには", "ja"),
        ("실행 시간을 어떻게 제한합니까", "ko"),
        ("如何限制运行时间", "zh"),
        ("Как ограничить время", "ru"),
        ("BENCH-100821", ""),
        ("", ""),
    ],
)
def test_guesses_languages(text: str, language: str) -> None:
    """The language is told by the script, or by common words; unknown if neither tells."""
    assert guess_language(text) == language


def test_the_share_of_an_embedder() -> None:
    """An embedder counts in known languages alone, half for an unknown language, always with many languages."""
    shares = [share_of_vectors(query, ("en",)) for query in ("what is the time", "was ist die Zeit", "time")]
    assert shares == [1.0, 0.0, 0.5]
    assert share_of_vectors("was ist die Zeit", ("*",)) == share_of_vectors("was ist die Zeit", ()) == 1.0


def make_hits(*places: tuple[str, int], by: str = "words") -> list[Hit]:
    """Make a ranking of chunks by source and number."""
    return [Hit(Chunk(f"{source} {number}", source, number=number), 1.0, (by,)) for source, number in places]


def test_fuses_by_documents() -> None:
    """A document among the best of both rankers comes before the first document of a single ranker."""
    words = make_hits(("a", 0), ("b", 0), ("c", 0))
    vectors = make_hits(("d", 0), ("b", 3), ("c", 1), by="vectors")

    hits = fuse([(words, 1.0), (vectors, 1.0)], 10)

    assert [hit.chunk.source for hit in hits][:2] == ["b", "c"]
    assert {hit.chunk.source for hit in hits} == set("abcd")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert fuse([(words, 1.0), (vectors, 0.0)], 10)[0].found_by == ("words",)


def test_reads_questions(tmp_path: Path) -> None:
    """Questions are JSON lines or TOML; what is neither is refused with the place."""
    lines, tables = tmp_path / "q.jsonl", tmp_path / "q.toml"
    lines.write_text('{"question": "What is it?", "source": "a.md"}\n\n')
    tables.write_text('[[questions]]\nquestion = "Was ist das?"\nsources = ["a.md", "b.md"]\n')
    assert [(each.sources, each.language) for each in load_questions(lines)] == [(("a.md",), "en")]
    assert [(each.sources, each.language) for each in load_questions(tables)] == [(("a.md", "b.md"), "de")]
    for text, place in (
        ("\n{", "q.jsonl .*line 2"),
        ('{"question": 1, "source": "a"}', "question 1"),
        ("", "no questions"),
    ):
        lines.write_text(text)
        with pytest.raises(UsageError, match=place):
            load_questions(lines)


async def test_measures_recall(tmp_path: Path) -> None:
    """Recall counts the questions with a right document first, and among the first five, for each language."""
    file = tmp_path / "q.jsonl"
    file.write_text(
        '{"question": "where is the fox", "source": "fox"}\n'
        '{"question": "wo ist der Fuchs", "source": "missing"}\n'
        '{"question": "which of the two has a red car", "sources": ["red", "other"]}\n'
    )
    async with Runtime() as rt:
        opened = rt.knowledge(Knowledge(embedder=None))
        await opened.add(
            Document("fox", "The fox is here."), Document("red", "red"), Document("car", "red car red car")
        )
        results = await evaluate(opened, load_questions(file), rankers=("words",))

    found = {each.language: (each.questions, each.at_1, each.at_5) for each in results}
    assert found["en"] == (2, 0.5, 1.0)
    assert found["de"] == (1, 0.0, 0.0)
    assert found[""][1:] == pytest.approx((1 / 3, 2 / 3))
