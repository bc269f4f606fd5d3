"""A knowledge in a runtime: adding, searching, embedding in the background, and removing what is gone."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Knowledge, Runtime
from agno_rt.errors import ConfigError, ModelError, NotFound, UsageError
from agno_rt.knowledge import Document, Embeddings, Filter, Ranked
from agno_rt.knowledge.embedders import Purpose
from agno_rt.library import Progress
from agno_rt.testing.knowledge.searches import HOSTILE_QUERIES
from tests.knowledge.toy_embedder import ToyEmbedder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three documents, and files that are not documents."""
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "fox.md").write_text("# The fox\n\nA fox lives in the wood.\n\n## Food\n\nIt eats mice.\n")
    (docs / "car.txt").write_text("A car needs fuel.")
    (docs / "sub" / "soup.md").write_text("# Soup\n\nCook the soup slowly.")
    (docs / ".hidden.md").write_text("hidden fox")
    (docs / "picture.png").write_bytes(b"\x89PNG")
    return docs


def make_knowledge(folder: Path, **parts: Any) -> Knowledge:
    """Make a knowledge in a file beside the folder, without an embedder if none is given."""
    given: dict[str, Any] = {"embedder": None, "root": str(folder.parent), **parts}
    return Knowledge(f"sqlite:///{folder.parent}/kb.db", **given)


def make_huge(path: Path) -> None:
    """Make a file of a gigabyte without content."""
    with path.open("wb") as huge:
        huge.truncate(1_000_000_000)


async def test_adds_a_folder_and_finds_words(folder: Path) -> None:
    """The texts of a folder are found at once, each with its source, headings and offsets."""
    kb = make_knowledge(folder)
    async with Runtime() as rt:
        added = await rt.knowledge(kb).add(folder)
        (hit,) = await rt.knowledge(kb).search("mice")

    assert added.added == ["docs/car.txt", "docs/fox.md", "docs/sub/soup.md"]
    assert added.skipped == ["docs/picture.png"]
    assert (hit.chunk.source, hit.chunk.headings, hit.title) == ("docs/fox.md", ("The fox", "Food"), "The fox")
    assert hit.chunk.where == "docs/fox.md (Food)"
    text = (folder / "fox.md").read_text()
    assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text == "## Food\n\nIt eats mice."


async def test_adding_again_takes_up_changes_alone(folder: Path) -> None:
    """An unchanged file is skipped, a changed file replaced, and a missing file removed; other sources stay."""
    kb = make_knowledge(folder)
    async with Runtime() as rt:
        opened = rt.knowledge(kb)
        await opened.add(folder, Document("notes", "My own fox."))
        (folder / "fox.md").write_text("A badger lives here now.")
        (folder / "car.txt").unlink()
        (folder / "new.md").write_text("Something new.")
        added = await opened.add(folder)
        sources = [info.source for info in await opened.documents()]
        found = [hit.chunk.source for hit in await opened.search("fox car badger")]

    assert added.added == ["docs/fox.md", "docs/new.md"]
    assert (added.unchanged, added.removed) == (["docs/sub/soup.md"], ["docs/car.txt"])
    assert sources == ["docs/fox.md", "docs/new.md", "docs/sub/soup.md", "notes"]
    assert sorted(found) == ["docs/fox.md", "notes"]


async def test_another_chunker_cuts_anew(folder: Path) -> None:
    """Documents are cut again when the chunker changes, and nothing of the old cut stays."""
    (folder / "long.txt").write_text("\n\n".join(f"Paragraph {number} of the text." for number in range(20)))
    async with Runtime() as rt:
        await rt.knowledge(make_knowledge(folder)).add(folder / "long.txt")
        opened = rt.knowledge(make_knowledge(folder, chunker="markdown:100"))
        added = await opened.add(folder / "long.txt")
        status = await opened.status()

    assert added.added == ["docs/long.txt"]
    assert status.chunks == 7


async def test_reports_progress(folder: Path) -> None:
    """Each file is reported once, with how many are done."""
    steps: list[Progress] = []
    async with Runtime() as rt:
        await rt.knowledge(make_knowledge(folder)).add(folder, on_progress=steps.append)

    assert [(step.done, step.total) for step in steps] == [(at, 4) for at in range(1, 5)]
    assert {step.source: step.state for step in steps}["docs/picture.png"] == "skipped"


async def test_a_bad_file_does_not_stop_the_others(folder: Path) -> None:
    """Binary, unreadable and oversized files are named with the reason; the rest is added, and old versions stay."""
    kb = make_knowledge(folder)
    async with Runtime() as rt:
        opened = rt.knowledge(kb)
        await opened.add(folder)
        (folder / "fox.md").write_bytes(b"\x00\x01 binary with a name of text")
        (folder / "latin.txt").write_bytes("größer".encode("latin-1"))
        make_huge(folder / "huge.txt")
        added = await opened.add(folder)
        hits = await opened.search("wood")

    failed = {source: error.full_text for source, error in added.failed}
    assert sorted(failed) == ["docs/fox.md", "docs/huge.txt", "docs/latin.txt"]
    assert all(source in text for source, text in failed.items())
    assert "1,000,000,000 bytes" in failed["docs/huge.txt"]
    assert [hit.chunk.source for hit in hits] == ["docs/fox.md"]
    assert "docs/car.txt" in added.unchanged


async def test_refuses_what_cannot_be_added(folder: Path) -> None:
    """A missing path, a type without a reader, and things of other kinds are errors with a hint."""
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder))
        with pytest.raises(NotFound, match="missing"):
            await opened.add(folder / "missing")
        ((_, error),) = (await opened.add(folder / "picture.png")).failed
        with pytest.raises(UsageError, match="42"):
            await opened.add(42)  # type: ignore[arg-type]

    assert "image/png" in error.message
    assert "agno-rt plugins" in error.hint


async def test_adds_the_files_of_a_pattern(folder: Path) -> None:
    """A pattern adds its files alone, also below folders, and an existing path is taken as it is."""
    (folder / "odd[1].md").write_text("An odd name.")
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder))
        assert (await opened.add(f"{folder}/**/*.md")).added == ["docs/fox.md", "docs/odd[1].md", "docs/sub/soup.md"]
        assert (await opened.add(folder / "odd[1].md", folder / "?ar.txt")).added == ["docs/car.txt"]
        with pytest.raises(NotFound, match="none"):
            await opened.add(f"{folder}/none*")


async def test_the_same_text_by_two_paths_is_one_hit(folder: Path) -> None:
    """Equal passages are a single hit with both sources; removing the first leaves the second."""
    (folder / "copy.txt").write_text("A car needs fuel.")
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder))
        await opened.add(folder)
        (hit,) = await opened.search("fuel")
        assert {hit.chunk.source, *hit.also} == {"docs/car.txt", "docs/copy.txt"}
        assert (await opened.status()).documents == 4
        assert await opened.remove("docs/car.txt") == 1
        (hit,) = await opened.search("fuel")

    assert (hit.chunk.source, hit.also) == ("docs/copy.txt", ())


async def test_vectors_find_by_meaning(folder: Path) -> None:
    """With an embedder, a passage without a word of the query is found; words that fit count as well."""
    kb = make_knowledge(folder, embedder=ToyEmbedder())
    async with Runtime() as rt:
        opened = rt.knowledge(kb)
        await opened.add(folder)
        await opened.embedded()
        by_meaning = await opened.search("automobile")
        both = await opened.search("car")
        status = await opened.status()

    assert by_meaning[0].chunk.source == both[0].chunk.source == "docs/car.txt"
    assert by_meaning[0].found_by == ("vectors",)
    assert sorted(both[0].found_by) == ["vectors", "words"]
    assert (status.chunks, status.embedded, status.embedder) == (4, 4, "toy:topics")


async def test_words_answer_before_vectors(folder: Path) -> None:
    """While texts are embedded in the background, searches by words answer; later the vectors count, too."""
    gate = trio.Event()
    kb = make_knowledge(folder, embedder=ToyEmbedder(gate=gate))
    async with Runtime() as rt:
        opened = rt.knowledge(kb)
        await opened.add(folder)
        assert [hit.chunk.source for hit in await opened.search("fuel")] == ["docs/car.txt"]
        assert await opened.search("automobile") == []
        assert (await opened.status()).embedded == 0
        gate.set()
        await opened.embedded()
        assert (await opened.search("automobile"))[0].chunk.source == "docs/car.txt"


async def test_embedding_goes_on_after_a_restart(folder: Path) -> None:
    """A runtime that closes ends the embedding; the next runtime finds the texts without vectors."""
    async with Runtime() as rt:
        await rt.knowledge(make_knowledge(folder, embedder=ToyEmbedder(gate=trio.Event()))).add(folder)

    embedder = ToyEmbedder()
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=embedder))
        await opened.embedded()
        assert (await opened.status()).embedded == 4

    assert len(embedder.texts) == 4


async def test_a_changed_file_costs_the_embedding_of_its_change(folder: Path) -> None:
    """Unchanged passages of a new version keep the vectors."""
    embedder = ToyEmbedder()
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=embedder))
        await opened.add(folder)
        await opened.embedded()
        embedder.texts.clear()
        (folder / "fox.md").write_text((folder / "fox.md").read_text() + "\n## Home\n\nA den.\n")
        await opened.add(folder)
        await opened.embedded()

    assert [text.splitlines()[-1] for text in embedder.texts] == ["A den."]


async def test_an_embedder_that_fails_is_tried_again(folder: Path) -> None:
    """A failure is told by `status` and `embedded`, searches go on by words, and the next add tries again."""
    embedder = ToyEmbedder(failures=1)
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=embedder))
        await opened.add(folder)
        with pytest.raises(ModelError, match="broken"):
            await opened.embedded()
        assert "broken" in (await opened.status()).notice
        assert (await opened.search("fuel"))[0].chunk.source == "docs/car.txt"
        await opened.add(Document("more", "A cat."))
        await opened.embedded()
        status = await opened.status()

    assert (status.embedded, status.notice) == (5, "")


class ShortEmbedder(ToyEmbedder):
    """Gives a vector too few at its first answer to documents, or vectors of another length."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """See `Embedder.embed`."""
        found = await super().embed(texts, purpose=purpose)
        fault, self.fault = self.fault, ""
        if fault == "few":
            return Embeddings(found.vectors[:-1])
        return Embeddings([*found.vectors[:-1], array("f", [1.0])]) if fault == "ragged" else found


@pytest.mark.parametrize(("fault", "said"), [("few", "returned 2 vectors for 3 texts"), ("ragged", "several lengths")])
async def test_vectors_that_do_not_fit_are_not_stored(folder: Path, fault: str, said: str) -> None:
    """Trap M13: of an answer with a vector too few, or of another length, no vector is stored; the next add has all."""
    (folder / "fox.md").write_text("A fox lives in the wood.")
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=ShortEmbedder(fault)))
        await opened.add(folder)
        with pytest.raises(ModelError, match=said):
            await opened.embedded()
        assert (await opened.status()).embedded == 0
        await opened.add(folder)
        await opened.embedded()
        assert (await opened.status()).embedded == 3
        best = [hit.chunk.source for hit in await opened.search("creature")]
    assert best[0] == "docs/fox.md"


async def test_a_text_that_the_embedder_refuses_is_left_out(folder: Path) -> None:
    """A refused text keeps no other text from a vector, and is found by words."""
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=ToyEmbedder()))
        await opened.add(folder, Document("odd", "An unembeddable car."))
        with pytest.raises(UsageError, match="unembeddable"):
            await opened.embedded()
        status = await opened.status()
        found = [hit.chunk.source for hit in await opened.search("unembeddable", by="words")]

    assert (status.embedded, status.chunks) == (4, 5)
    assert found == ["odd"]


async def test_an_embedder_has_no_share_in_languages_it_does_not_know(folder: Path) -> None:
    """A query in a language outside the embedder's is not even embedded; a query in a known language is."""
    embedder = ToyEmbedder(languages=["en"])
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=embedder))
        await opened.add(folder)
        await opened.embedded()
        for query in ("Was braucht ein Auto, und wie viel?", "車には何が必要ですか", "자동차는 무엇이 필요합니까"):
            await opened.search(query)
        assert embedder.queries == []
        await opened.search("What does the car need?")

    assert embedder.queries == ["What does the car need?"]


async def test_a_reranker_has_the_last_word(folder: Path) -> None:
    """The best hits are sorted once more by the reranker, with its scores."""

    class Longest:
        name = "toy:longest"

        async def rerank(self, query: str, texts: list[str], *, top: int | None = None) -> list[Ranked]:
            order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
            return [Ranked(at, float(len(texts[at]))) for at in order]

    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, reranker=Longest()))
        await opened.add(
            Document("short", "fox"), Document("long", "fox and many more words"), Document("mid", "fox x")
        )
        hits = await opened.search("fox", limit=2)

    assert [(hit.chunk.source, hit.score) for hit in hits] == [("long", 23.0), ("mid", 5.0)]


async def test_users_are_apart(folder: Path) -> None:
    """A user finds the documents for everyone and own documents; adding a folder for one removes nothing of another."""
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder))
        await opened.add(folder)
        await opened.add(Document("secret", "The fox of ann."), user="ann")
        (folder / "fox.md").unlink()
        await opened.add(folder, user="bob")
        for user, expected in ((None, ["docs/fox.md"]), ("ann", ["docs/fox.md", "secret"]), ("bob", ["docs/fox.md"])):
            hits = await opened.search("fox", Filter(user))
            assert sorted({hit.chunk.source for hit in hits}) == expected


async def test_hostile_queries_are_plain_text(folder: Path) -> None:
    """No query raises an error, whatever its characters."""
    async with Runtime() as rt:
        opened = rt.knowledge(make_knowledge(folder, embedder=ToyEmbedder()))
        await opened.add(folder)
        await opened.embedded()
        for query in (*HOSTILE_QUERIES, "", " ", "\x00", "\ud800", "x" * 100_000):
            await opened.search(query)
        assert await opened.search(" \n") == []


async def test_without_the_default_embedder_words_alone(folder: Path) -> None:
    """Without the default embedder, the status says so, and searches work."""
    from agno_rt.plugins import PluginHost

    kb = attrs.evolve(make_knowledge(folder), embedder="auto")
    async with Runtime(plugins=PluginHost(block=["llamacpp"])) as rt:
        opened = rt.knowledge(kb)
        await opened.add(folder)
        status = await opened.status()
        hits = await opened.search("fuel")
        with pytest.raises(UsageError, match="no embedder"):
            await opened.search("fuel", by="vectors")

    assert status.embedder == ""
    assert "words alone" in status.notice
    assert len(hits) == 1


async def test_a_runtime_opens_a_knowledge_once(folder: Path) -> None:
    """A knowledge is opened once, two with the same URL share the store, and a closed runtime opens nothing."""
    kb = make_knowledge(folder)
    rt = Runtime()
    async with rt:
        await rt.knowledge(kb).add(folder)
        assert rt.knowledge(kb) is rt.knowledge(kb)
        assert len(await rt.knowledge(make_knowledge(folder)).documents()) == 3
    with pytest.raises(UsageError, match="open"):
        rt.knowledge(kb)


def test_refuses_parts_that_are_none() -> None:
    """A store, an embedder, a chunker or a reranker of another kind is refused when the knowledge is made."""
    wrong: dict[str, Any] = {"store": 1, "embedder": ToyEmbedder, "chunker": None, "reranker": 1}
    for part, value in wrong.items():
        with pytest.raises(UsageError, match=part):
            Knowledge(**{part: value})


async def test_names_of_the_configuration(tmp_path: Path) -> None:
    """`[knowledge.NAME]` describes a knowledge; a wrong key is an error with the line."""
    from agno_rt.config import load_config

    file = tmp_path / "agno-rt.toml"
    file.write_text(f'[knowledge.docs]\nstore = "sqlite:///{tmp_path}/kb.db"\nembedder = "none"\n')
    config = load_config(file)
    assert config.knowledge["docs"].store == f"sqlite:///{tmp_path}/kb.db"
    async with Runtime(settings={"knowledge": {"docs": attrs.evolve(config.knowledge["docs"], embedder=None)}}) as rt:
        assert await rt.knowledge("docs").documents() == []
        with pytest.raises(NotFound, match="doc"):
            rt.knowledge("doc")
    file.write_text('[knowledge.docs]\nstor = "memory:"\n')
    with pytest.raises(ConfigError, match=r"agno-rt\.toml:2"):
        load_config(file)
