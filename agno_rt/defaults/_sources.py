"""Keeps an answer to the documents that a search found: the hooks `files:sources` and `files:sources:strict`.

Both read the results of the tool `search`, say so if nothing was found, and name the file if the model did not. The
strict hook is for a small model: it keeps only sentences whose words stand in the documents. If none is left, it
quotes the best sentence of the documents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import attrs

from agno_rt.context import RunContext
from agno_rt.hooks import Hook
from agno_rt.messages import Message
from agno_rt.models import ModelRequest, ModelResponse

__all__ = ["NOTHING", "Passage", "SourcesHook", "telling_words"]

NOTHING = "I found nothing about that in the documents."

_FILLERS = frozenset(
    """
    a about an and any are as at be been but by can did do does for from had has have he her his how i if in is it its
    me my of on or our please say says she so some tell that the their them then there these they this to was we were
    what when where which who whom whose why will with would you your according file document documents
    """.split()  # noqa: SIM905 - a list literal of these is eighty lines
)
"""Common words of questions and answers, without a hint at the topic."""

_PASSAGE = re.compile(r"^From (?P<file>.+):\n", re.MULTILINE)
_FILE_NAME = re.compile(r"[\w./-]+\.(?:md|markdown|rst|txt)\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_RELATED = 0.5
"""The least share of a question's telling words in a passage on its topic."""
_GROUNDED = 0.75
"""The least share of a sentence's added telling words that must stand in a sentence of the documents."""
# So many letters of a word are compared: "opens", "opened" and "opening" count as the same word.
_STEM = 5
_MOST_SENTENCES = 2


@attrs.frozen
class Passage:
    """A piece of a file, as a search returned it."""

    file: str
    text: str


class SourcesHook(Hook):
    """Names the file that an answer is from; if `strict`, also keeps the answer to the words of the documents.

    `nothing` is the answer, in the model's place, if nothing was found; if `strict`, also if no passage has half of the
    question's telling words.
    """

    def __init__(self, nothing: str = NOTHING, *, strict: bool = False) -> None:
        self.name = "files:sources"
        self.nothing = nothing
        self.strict = strict
        self.holds = strict  # most answers of a small model are changed

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelResponse | None:
        """See `Hook.before_model`."""
        results = _search_results(request.messages)
        if not results or request.output is not None:
            return None
        passages = [passage for text in results for passage in _split_results(text)]
        question = next((message.text for message in reversed(context.input) if message.role == "user"), "")
        if not passages or (self.strict and not any(_is_related(passage, question) for passage in passages)):
            return ModelResponse(self.nothing)
        context.kept[self] = passages, question
        return None

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
        """See `Hook.after_model`."""
        passages, question = context.kept.get(self, ((), ""))
        if not passages or response.tool_calls or response.content == self.nothing:
            return None
        answer, reason = _correct_file_names(response.content.strip(), passages), response.finish_reason
        if self.strict:
            # Only whole sentences are kept, so the answer is complete even if the model's was cut off.
            answer, reason = _keep_to_passages(answer, passages, question), "stop"
        answer = _name_source(answer, passages)
        return attrs.evolve(response, content=answer, finish_reason=reason)


def telling_words(text: str) -> frozenset[str]:
    """Return the words that tell a text's topic, each without its ending."""
    return frozenset(_stem_words(text))


def _stem_words(text: str) -> list[str]:
    words = [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _FILLERS]
    return [(word.removesuffix("s") if len(word) > 3 else word)[:_STEM] for word in words]


def _search_results(messages: Sequence[Message]) -> list[str]:
    """Return the search results since the last answer of the model, in order."""
    results: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        if message.name == "search":
            results.append(message.text)
    return results[::-1]


def _split_results(text: str) -> list[Passage]:
    marks = list(_PASSAGE.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [Passage(mark["file"], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=False)]


def _is_related(passage: Passage, question: str) -> bool:
    asked = telling_words(question)
    found = telling_words(f"{passage.file} {passage.text}")
    return not asked or len(asked & found) >= _RELATED * len(asked)


def _correct_file_names(answer: str, passages: Sequence[Passage]) -> str:
    """Replace file names that the model made up by the name of the best passage's file."""
    files = {passage.file for passage in passages}
    best = _nearest_passage(passages, answer).file
    return _FILE_NAME.sub(lambda name: name[0] if name[0] in files else best, answer)


def _name_source(answer: str, passages: Sequence[Passage]) -> str:
    if not answer or any(passage.file in answer for passage in passages):
        return answer
    best = _nearest_passage(passages, answer).file
    return f"{answer[:-1]} ({best})." if answer.endswith(".") else f"{answer} ({best})"


def _keep_to_passages(answer: str, passages: Sequence[Passage], question: str) -> str:
    """Return the sentences of the answer that the documents support; else quote the documents' best sentence."""
    found = [(passage, sentence) for passage in passages for sentence in _split_sentences(passage.text)]
    if not found:
        return answer
    asked = telling_words(question)
    # A frequent word counts for less: the word "canteen" in a sentence of canteen.md tells little.
    often = Counter(word for passage in passages for word in _stem_words(f"{passage.file} {passage.text}"))

    def fit(words: frozenset[str]) -> float:
        return sum(1 / often[word] for word in asked & words if often[word])

    passage, sentence = max(found, key=lambda each: fit(telling_words(each[1])))
    needed = fit(telling_words(sentence))
    sources = [_stem_words(each) for _, each in found if fit(telling_words(each)) >= needed]
    kept: list[str] = []
    told: set[str] = set()
    for said in _SENTENCE.split(answer):
        words = _stem_words(_FILE_NAME.sub(" ", said))
        is_new = not told.issuperset(words)
        if is_new and fit(frozenset(words)) >= needed and any(_is_grounded(words, asked, each) for each in sources):
            kept.append(said)
            told.update(words)
    # A last sentence without its full stop was cut off by the limit of tokens: the documents are the safer answer.
    if kept and kept[-1][-1:] in ".!?":
        return " ".join(kept[:_MOST_SENTENCES])
    return f"{passage.file} says: {sentence}"


def _is_grounded(words: Sequence[str], asked: frozenset[str], source: Sequence[str]) -> bool:
    """Return whether the source has most of the words that an answer adds to its question, and each number.

    A word must not occur more often than in the source: "closes at noon and closes at two" does not follow from "opens
    at noon and closes at two".
    """
    added = {word for word in words if word not in asked}
    if any(word[0].isdigit() and word not in source for word in added):
        return False
    if any(words.count(word) > source.count(word) > 0 for word in set(words)):
        return False
    return bool(added) and sum(word in source for word in added) >= _GROUNDED * len(added)


def _nearest_passage(passages: Sequence[Passage], text: str) -> Passage:
    words = telling_words(text)
    return max(passages, key=lambda passage: len(words & telling_words(f"{passage.file} {passage.text}")))


def _split_sentences(text: str) -> list[str]:
    """Return the sentences of a passage, without headings."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [sentence for sentence in _SENTENCE.split(" ".join(lines)) if sentence]
