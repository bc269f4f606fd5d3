"""Measures how well a knowledge answers labelled questions."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from agno_rt._retrieval.languages import guess_language
from agno_rt.errors import UsageError
from agno_rt.knowledge.store import Filter
from agno_rt.library.open import OpenKnowledge, Ranker

__all__ = ["Question", "Recall", "evaluate", "find_unknown_sources", "load_questions"]


@attrs.frozen
class Question:
    """A question, and the sources of right documents. `language` groups questions in the results."""

    question: str
    sources: tuple[str, ...]
    language: str = ""


@attrs.frozen
class Recall:
    """The share of questions with a right document in the first place, and among the first five.

    `language` is empty for the questions of all languages together; `by` is the ranker.
    """

    language: str
    by: Ranker
    questions: int
    at_1: float
    at_5: float


def load_questions(path: Path) -> list[Question]:
    """Read labelled questions: JSON lines, or a TOML file with tables `[[questions]]`.

    Each has `question`, `sources` (or `source`), and maybe `language`, which is else guessed. Raises `UsageError`, with
    the file and the place, for anything else.
    """
    try:
        if path.suffix == ".toml":
            given: Sequence[Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("questions", [])
        else:
            lines = path.read_text(encoding="utf-8").splitlines()
            given = [_decode_line(line, at) for at, line in enumerate(lines, 1) if line.strip()]
    except (OSError, ValueError) as exc:
        hint = 'Write lines such as {"question": "...", "sources": ["docs/a.md"]}, or a TOML file.'
        raise UsageError(f"{path} cannot be read as questions: {exc}", hint=hint) from exc
    if not given:
        raise UsageError(
            f"{path} has no questions", hint='Write [[questions]] with question = "..." and sources = [...].'
        )
    return [_read_question(path, at, each) for at, each in enumerate(given, 1)]


def _decode_line(line: str, number: int) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as exc:
        raise ValueError(f"line {number}: {exc}") from exc


def _read_question(path: Path, at: int, given: Any) -> Question:
    if isinstance(given, dict) and "source" in given:
        given = {**{key: value for key, value in given.items() if key != "source"}, "sources": [given["source"]]}
    try:
        question = msgspec.convert(given, Question)
    except msgspec.ValidationError as exc:
        hint = "Each question has `question` and `sources`."
        raise UsageError(f"question {at} of {path}: {exc}", hint=hint) from exc
    return attrs.evolve(question, language=question.language or guess_language(question.question))


async def find_unknown_sources(opened: OpenKnowledge, questions: Sequence[Question]) -> list[str]:
    """Return the sources of the questions that no document has: no search can find them. Raises `BackendError`."""
    unknown = []
    for source in dict.fromkeys(source for question in questions for source in question.sources):
        # Documents are listed by source, so that the source itself is before longer ones.
        first = await opened.documents(Filter(all_users=True, prefix=source), limit=1)
        if not first or first[0].source != source:
            unknown.append(source)
    return unknown


async def evaluate(
    opened: OpenKnowledge,
    questions: Sequence[Question],
    *,
    rankers: Sequence[Ranker] = ("words", "vectors", "both"),
    on_progress: Callable[[int, int], object] | None = None,
) -> list[Recall]:
    """Search for each question with each ranker; return the recall of all, then of each language if there are several.

    Documents rank by their best passages. Raises as `OpenKnowledge.search`.
    """
    places: dict[tuple[Ranker, int], int] = {}
    for done, question in enumerate(questions):
        for by in rankers:
            hits = await opened.search(question.question, Filter(all_users=True), limit=50, by=by)
            sources = list(dict.fromkeys(source for hit in hits for source in (hit.chunk.source, *hit.also)))
            right = [at for at, source in enumerate(sources) if source in question.sources]
            places[by, done] = right[0] if right else len(sources) + 5
        if on_progress is not None:
            on_progress(done + 1, len(questions))
    languages = sorted({question.language for question in questions})
    groups = ["", *languages] if len(languages) > 1 else [""]
    results = []
    for language in groups:
        members = [at for at, question in enumerate(questions) if language in ("", question.language)]
        for by in rankers:
            first, five = (sum(places[by, at] < top for at in members) / len(members) for top in (1, 5))
            results.append(Recall(language, by, len(members), first, five))
    return results
