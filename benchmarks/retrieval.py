"""How well knowledge is found: recall@1 and @5 by words, by vectors and by both, for each of five languages.

English questions are about this project's own pages; German, Spanish, Japanese and Korean ones about pages of an
invented town, which were written for this. All documents are in one store.

`python -m benchmarks.retrieval` prints the table; `--store sqlite:///kb.db` keeps the vectors for the next time, and
`--held-out` asks 40 other questions, which no setting was chosen by.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

import attrs
import click
import trio

from agno_rt import Knowledge, Runtime

from .common import Parts

with Parts() as setup:
    from agno_rt.errors import ConfigError
    from agno_rt.knowledge import Document
    from agno_rt.knowledge.base import DEFAULT_EMBEDDER
    from agno_rt.library import OpenKnowledge, Question, Recall, evaluate, load_questions

__all__ = ["find_misses", "list_documents", "list_questions", "measure"]

ROOT = Path(__file__).parents[1]
QUESTIONS = Path(__file__).parent / "knowledge_questions"
HELD_OUT = "held_out"
PAGES = "docs"
_DRAWN = "docs/reference/api/"
AT_1 = 0.03
"""The most that both together may be worse at 1 than the better of the two."""


def list_questions(*, held_out: bool = False) -> list[Question]:
    """Return the questions of all languages; or those that were held out while searches were tuned."""
    found = []
    for file in sorted((QUESTIONS / HELD_OUT if held_out else QUESTIONS).glob("*.toml")):
        found += [attrs.evolve(question, language=file.stem) for question in load_questions(file)]
    return found


def list_documents() -> list[Document]:
    """Return this project's pages, without the drawn ones, and the pages of the invented town."""
    pages = sorted((ROOT / PAGES).rglob("*.md"))
    named = [(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")) for page in pages]
    # A page that includes a plugin's README has its text there.
    found = [
        Document(name, _include(text), media_type="text/markdown")
        for name, text in named
        if not name.startswith(_DRAWN) and "_build" not in name
    ]
    for file in sorted(QUESTIONS.glob("*.toml")):
        texts = tomllib.loads(file.read_text(encoding="utf-8")).get("documents", {})
        found += [Document(name, text, metadata={"language": file.stem}) for name, text in texts.items()]
    return found


def _include(text: str) -> str:
    marker = "```{include} ../../../plugins/"
    if marker not in text:
        return text
    name = text.partition(marker)[2].partition("\n")[0]
    return f"{text}\n{(ROOT / 'plugins' / name).read_text(encoding='utf-8')}"


async def measure(
    store: str, embedder: str | None = DEFAULT_EMBEDDER, questions: Sequence[Question] = ()
) -> list[Recall]:
    """Add the documents, embed them, and return the recall for each language and ranker."""
    questions = questions or list_questions()
    async with Runtime() as runtime:
        opened = runtime.knowledge(Knowledge(store, embedder=embedder))
        await _fill(opened)
        return await evaluate(opened, questions, rankers=("words", "vectors", "both") if embedder else ("words",))


async def _fill(opened: OpenKnowledge) -> None:
    await opened.add(*list_documents())
    async with trio.open_nursery() as nursery:

        async def tell() -> None:
            while True:
                status = await opened.status()
                print(f"\r{status.embedded} of {status.chunks} passages have vectors", end="", file=sys.stderr)
                await trio.sleep(2)

        nursery.start_soon(tell)
        await opened.embedded()
        nursery.cancel_scope.cancel()
    print(file=sys.stderr)


def format_table(results: Sequence[Recall]) -> str:
    """Return the recall as a table in Markdown: a row for each language, @1 and @5 for each ranker."""
    rankers = list(dict.fromkeys(each.by for each in results))
    lines = [
        f"| language | questions | {' | '.join(f'{by} @1 | @5' for by in rankers)} |",
        f"|---|---|{'---|' * 2 * len(rankers)}",
    ]
    for language in dict.fromkeys(each.language for each in results):
        row = {each.by: each for each in results if each.language == language}
        numbers = " | ".join(f"{row[by].at_1:.2f} | {row[by].at_5:.2f}" for by in rankers)
        lines.append(f"| {language or 'all'} | {row[rankers[0]].questions} | {numbers} |")
    return "\n".join(lines)


def find_misses(results: Sequence[Recall]) -> list[str]:
    """Return where both together are worse than the better of the two: at 5 at all, or at 1 by more than `AT_1`."""
    found = []
    for language in dict.fromkeys(each.language for each in results):
        row = {each.by: each for each in results if each.language == language}
        if "both" not in row:
            continue
        best_1 = max(row["words"].at_1, row["vectors"].at_1)
        best_5 = max(row["words"].at_5, row["vectors"].at_5)
        if row["both"].at_5 < best_5:
            found.append(f"{language or 'all'}: both have {row['both'].at_5:.2f} at 5, one alone {best_5:.2f}")
        if row["both"].at_1 < best_1 - AT_1:
            found.append(f"{language or 'all'}: both have {row['both'].at_1:.2f} at 1, one alone {best_1:.2f}")
    return found


@click.command()
@click.option("--store", help="Keep documents and vectors there, as in sqlite:///kb.db.")
@click.option("--embedder", default=DEFAULT_EMBEDDER, show_default=True, help="Embedder to measure, or `none`.")
@click.option("--held-out", is_flag=True, help="Ask the questions that no setting was chosen by.")
def main(store: str | None, embedder: str, *, held_out: bool) -> None:
    """Print the table, and fail where both together are worse than one alone."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            chosen = None if embedder == "none" else embedder
            questions = list_questions(held_out=held_out)
            results = trio.run(measure, store or f"sqlite:///{folder}/kb.db", chosen, questions)
        except ConfigError as exc:
            raise click.ClickException(exc.full_text) from exc
    print(format_table(results))
    if held_out:  # too few questions for a rule
        return
    if misses := find_misses(results):
        raise click.ClickException("; ".join(misses))


if __name__ == "__main__":
    main()
