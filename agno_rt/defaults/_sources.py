"""Keeps an answer to what a search found: the hooks `files:sources` and `files:sources:strict`.

They read what the tool `search` returned: they say so where nothing was found, and name the file where the model did
not. The strict one is for a small model: it keeps those sentences alone whose words stand in what was found, and quotes
the best sentence of the documents where none is left.
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
"""Words that questions and answers are made of and that say nothing of what they are about."""

_PASSAGE = re.compile(r"^From (?P<file>.+):\n", re.MULTILINE)
_FILE_NAME = re.compile(r"[\w./-]+\.(?:md|markdown|rst|txt)\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_RELATED = 0.5
"""The share of a question's telling words that some passage must have."""
_GROUNDED = 0.75
"""The share of a sentence's telling words that must stand in a sentence that was found, or in the question."""
_STEM = 5
_MOST_SENTENCES = 2


@attrs.frozen
class Passage:
    """What a search found: a piece of a file."""

    file: str
    text: str


class SourcesHook(Hook):
    """Sees to it that an answer names the file that it is from; if `strict`, that it says what stands there.

    `nothing` is what is answered, in the model's place, where nothing was found; if `strict`, also where no passage has
    half of the question's words.
    """

    def __init__(self, nothing: str = NOTHING, *, strict: bool = False) -> None:
        self.name = "files:sources"
        self.nothing = nothing
        self.strict = strict
        self.holds = strict  # most answers of a small model are changed

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelResponse | None:
        """See `Hook.before_model`."""
        results = _results(request.messages)
        if not results or request.output is not None:
            return None
        passages = [passage for text in results for passage in _passages(text)]
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
        answer, reason = _with_true_names(response.content.strip(), passages), response.finish_reason
        if self.strict:
            answer, reason = _strict(answer, passages, question), "stop"
        answer = _with_source(answer, passages)
        return attrs.evolve(response, content=answer, finish_reason=reason)


def telling_words(text: str) -> frozenset[str]:
    """The words of a text that say what it is about, each without its ending."""
    return frozenset(_stems(text))


def _stems(text: str) -> list[str]:
    words = [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _FILLERS]
    return [(word.removesuffix("s") if len(word) > 3 else word)[:_STEM] for word in words]


def _results(messages: Sequence[Message]) -> list[str]:
    """What the search returned since the model was last asked."""
    results: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        if message.name == "search":
            results.append(message.text)
    return results[::-1]


def _passages(text: str) -> list[Passage]:
    marks = list(_PASSAGE.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [Passage(mark["file"], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=False)]


def _is_related(passage: Passage, question: str) -> bool:
    asked = telling_words(question)
    found = telling_words(f"{passage.file} {passage.text}")
    return not asked or len(asked & found) >= _RELATED * len(asked)


def _with_true_names(answer: str, passages: Sequence[Passage]) -> str:
    """The answer with the best passage's file in the place of names that are no passage's: a model makes them up."""
    files = {passage.file for passage in passages}
    best = _nearest(passages, answer).file
    return _FILE_NAME.sub(lambda name: name[0] if name[0] in files else best, answer)


def _with_source(answer: str, passages: Sequence[Passage]) -> str:
    if not answer or any(passage.file in answer for passage in passages):
        return answer
    best = _nearest(passages, answer).file
    return f"{answer[:-1]} ({best})." if answer.endswith(".") else f"{answer} ({best})"


def _strict(answer: str, passages: Sequence[Passage], question: str) -> str:
    """The sentences of the answer that say what was found about the question; else the best sentence that was found."""
    found = [(passage, sentence) for passage in passages for sentence in _sentences(passage.text)]
    if not found:
        return answer
    asked = telling_words(question)
    # A word counts for less the oftener it was found: that a sentence of canteen.md speaks of the canteen says little.
    often = Counter(word for passage in passages for word in _stems(f"{passage.file} {passage.text}"))

    def fit(words: frozenset[str]) -> float:
        return sum(1 / often[word] for word in asked & words if often[word])

    passage, sentence = max(found, key=lambda each: fit(telling_words(each[1])))
    needed = fit(telling_words(sentence))
    sources = [_stems(each) for _, each in found if fit(telling_words(each)) >= needed]
    kept: list[str] = []
    told: set[str] = set()
    for said in _SENTENCE.split(answer):
        words = _stems(_FILE_NAME.sub(" ", said))
        is_new = not told.issuperset(words)
        if is_new and fit(frozenset(words)) >= needed and any(_is_grounded(words, asked, each) for each in sources):
            kept.append(said)
            told.update(words)
    if kept and kept[-1][-1:] in ".!?":
        return " ".join(kept[:_MOST_SENTENCES])
    return f"{passage.file} says: {sentence}"


def _is_grounded(words: Sequence[str], asked: frozenset[str], source: Sequence[str]) -> bool:
    """Whether a sentence that was found has most of the words that an answer adds to its question, and each number.

    None of its words is said more often: "closes at noon and closes at two" is not what "opens at noon and closes at
    two" says.
    """
    added = {word for word in words if word not in asked}
    if any(word[0].isdigit() and word not in source for word in added):
        return False
    if any(words.count(word) > source.count(word) > 0 for word in set(words)):
        return False
    return bool(added) and sum(word in source for word in added) >= _GROUNDED * len(added)


def _nearest(passages: Sequence[Passage], text: str) -> Passage:
    words = telling_words(text)
    return max(passages, key=lambda passage: len(words & telling_words(f"{passage.file} {passage.text}")))


def _sentences(text: str) -> list[str]:
    """The sentences of a passage, without its headings."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [sentence for sentence in _SENTENCE.split(" ".join(lines)) if sentence]
