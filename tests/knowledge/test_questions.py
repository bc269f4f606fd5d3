"""The labelled questions of the benchmark of retrieval fit the documents."""

from __future__ import annotations

from agno_rt.library import Recall
from benchmarks.retrieval import find_misses, list_documents, list_questions


def test_each_question_names_documents_that_exist() -> None:
    """A page that is renamed or removed cannot be found: its questions have to follow."""
    sources = {document.source for document in list_documents()}
    questions = [*list_questions(), *list_questions(held_out=True)]
    missing = [(each.question, each.sources) for each in questions if not sources.issuperset(each.sources)]

    assert not missing
    for some, least in ((list_questions(), 100), (list_questions(held_out=True), 40)):
        assert len(some) >= least
        assert {each.language for each in some} == {"de", "en", "es", "ja", "ko"}
    assert len({each.question for each in questions}) == len(questions)


def test_the_rule_tells_where_both_are_worse() -> None:
    """Both together may be a little worse at 1 than the better one, and not at all at 5."""
    words, vectors = Recall("en", "words", 50, 0.8, 0.9), Recall("en", "vectors", 50, 0.7, 0.95)
    assert not find_misses([words, vectors, Recall("en", "both", 50, 0.77, 0.95)])
    assert len(find_misses([words, vectors, Recall("en", "both", 50, 0.76, 0.94)])) == 2
