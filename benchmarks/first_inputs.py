"""Answers of the shipped agents to first inputs, on the embedded model: `python -m benchmarks.first_inputs`.

Each input has a pattern of good answers. The patterns describe answers that a person would accept, and were written
before any answer was seen. An answer is bad as well if it repeats itself, was cut off, or never ends.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

from agno_rt import AgnoError
from agno_rt.project import shipped_project

__all__ = [
    "DOCUMENTS",
    "FIRST_INPUTS",
    "LIBRARY_QUESTIONS",
    "Answer",
    "Case",
    "ask_assistant",
    "ask_librarian",
    "has_loop",
    "table",
]

MOST_WORDS = 120
NOTHING_FOUND = "I found nothing about that"

PASSAGE = (
    "The town library was closed for two years while its roof was repaired. It opened again on Saturday, and more than "
    "four hundred people came. Children listened to stories, and the mayor gave the first visitors a new library card."
)
CANNOT = r"can(no|')?t\b|can not|not able|unable|don't (know|have)|do not (know|have)|no access|too small"
GREETS = r"\b(hello|hi|hey|welcome)\b"
FRUIT = "apple|banana|orange|grape|mango|pear|berr|cherr|peach|kiwi|lemon|melon|plum|pineapple"


@attrs.frozen
class Case:
    """An input, and the pattern of good answers."""

    input: str
    good: str


FIRST_INPUTS = (
    Case("hi", GREETS),
    Case("Hello!", GREETS),
    Case("Say hello.", GREETS),
    Case("Good morning", r"morning|\b(hello|hi)\b"),
    Case("How are you?", r"\b(well|good|great|fine|thanks?|doing)\b"),
    Case("Who are you?", r"assistant|\bAI\b|model|smollm"),
    Case("What can you do?", r"rewrit|summar|answer|write|chat"),
    Case("Thanks!", r"welcome|glad|happy|pleasure|any ?time"),
    Case("Bye", r"bye|take care|see you|nice day|great day|farewell"),
    Case("test", r"help|test|work|ready|here|question"),
    Case("?", r"help|question|ask"),
    Case("Tell me a joke.", r"\w+(\W+\w+){7}"),
    Case("What is the capital of France?", r"\bparis\b"),
    Case("What is the largest planet in the solar system?", r"jupiter"),
    Case("Who wrote Romeo and Juliet?", r"shakespeare"),
    Case("How many days are in a week?", r"\b(seven|7)\b"),
    Case("What color is the sky?", r"\bblue\b"),
    Case("What is 17 times 23?", rf"\b391\b|{CANNOT}"),
    Case("2+2", rf"\b(4|four)\b|{CANNOT}"),
    Case("What is the weather today?", CANNOT),
    Case("What's the date today?", rf"\b20\d\d\b|{CANNOT}"),
    Case("What is in the news today?", CANNOT),
    Case("Rewrite politely: Send me the report now.", r"(?s)(?=.*report)(?=.*(please|could|would|kindly|appreciate))"),
    Case("Correct the spelling: I recieved teh letter yestarday.", r"I received the letter yesterday"),
    Case(f"Summarize in one sentence: {PASSAGE}", r"(?s)(?=.*library)(?=.*(open|clos|roof|repair))"),
    Case("List three fruits.", rf"(?s)(({FRUIT}).*?){{3}}"),
    Case("The meeting is on Tuesday at 3 pm in room 12. When is the meeting?", r"tuesday"),
    Case("Translate to Spanish: Good morning", rf"buenos d[ií]as|{CANNOT}"),
    Case("Bonjour, comment ça va ?", r"bonjour|merci|\bbien\b|salut|english|anglais"),
    Case("Write a short email to thank Anna for her help.", r"(?s)(?=.*\banna\b)(?=.*(thank|grateful|appreciat))"),
)

DOCUMENTS = {
    "canteen.md": "# Canteen\n\nThe canteen opens at noon and closes at two. On Fridays there is fish.\n\n"
    "# Prices\n\nA meal costs four euros. Coffee is free.\n",
    "garden.md": "# The garden\n\nThe garden has twelve apple trees. Dogs must be kept on a lead.\n\n"
    "# Watering\n\nTomatoes are watered every morning. The roses need water twice a week.\n",
    "project.md": "# Project\n\nThe project's codename is Falcon. Its budget is two million euros.\n\n"
    "# People\n\nMaria Lopez leads the project. The tests are written by Kofi Mensah.\n",
    "museum.txt": "The museum was founded in 1921 by Clara Winter.\n\nIts largest hall shows ships. "
    "The museum is closed on Mondays.\n\nTickets cost eight euros, and children enter free.\n",
    "server/setup.md": "# Setup\n\nThe server listens on port 7070. Logs are kept for thirty days.\n\n"
    "# Backups\n\nBackups run every night at two. They are stored in Oslo.\n",
}

LIBRARY_QUESTIONS = (
    Case("When does the canteen open?", r"noon.*canteen\.md|canteen\.md.*noon"),
    Case("When does the canteen close?", r"(?!.*closes at noon)(two.*canteen\.md|.*canteen\.md.*two)"),
    Case("What is there on Fridays in the canteen?", r"fish.*canteen\.md|canteen\.md.*fish"),
    Case("How much is a meal?", r"four.*canteen\.md|canteen\.md.*four"),
    Case("Is the coffee free?", r"free.*canteen\.md|canteen\.md.*free"),
    Case("How many apple trees does the garden have?", r"twelve.*garden\.md|garden\.md.*twelve"),
    Case("How often do roses need water?", r"twice.*garden\.md|garden\.md.*twice"),
    Case("When are tomatoes watered?", r"morning.*garden\.md|garden\.md.*morning"),
    Case("What is the codename of the project?", r"falcon.*project\.md|project\.md.*falcon"),
    Case("What is the budget of the project?", r"two million.*project\.md|project\.md.*two million"),
    Case("Who leads the project?", r"lopez.*project\.md|project\.md.*lopez"),
    Case("Who writes the tests?", r"kofi.*project\.md|project\.md.*kofi"),
    Case("When was the museum founded?", r"1921.*museum\.txt|museum\.txt.*1921"),
    Case("Who founded the museum?", r"winter.*museum\.txt|museum\.txt.*winter"),
    Case("On which day is the museum closed?", r"monday.*museum\.txt|museum\.txt.*monday"),
    Case("How much do tickets cost?", r"eight.*museum\.txt|museum\.txt.*eight"),
    Case("Which port does the server listen on?", r"7070.*setup\.md|setup\.md.*7070"),
    Case("How long are logs kept?", r"thirty.*setup\.md|setup\.md.*thirty"),
    Case("When do backups run?", r"(night|two).*setup\.md|setup\.md.*(night|two)"),
    Case("Where are backups stored?", r"oslo.*setup\.md|setup\.md.*oslo"),
    Case("What is the capital of France?", NOTHING_FOUND),
    Case("Who won the world cup in 1998?", NOTHING_FOUND),
    Case("How tall is Mount Everest?", NOTHING_FOUND),
    Case("Which language is spoken in Brazil?", NOTHING_FOUND),
    Case("hi", NOTHING_FOUND),
)
"""Twenty questions that the documents answer, and five that they do not."""


@attrs.frozen
class Answer:
    """The answer to a case."""

    case: Case
    text: str
    finish_reason: str

    @property
    def loops(self) -> bool:
        """Return whether the answer has a loop."""
        return has_loop(self.text)

    @property
    def verdict(self) -> str:
        """Return `good`, or the fault of the answer."""
        if self.loops:
            return "loop"
        if self.finish_reason != "stop":
            return "cut off"
        if len(self.text.split()) > MOST_WORDS:
            return "long"
        return "good" if re.search(self.case.good, self.text, re.IGNORECASE) else "wrong"


def has_loop(text: str) -> bool:
    """Return whether words repeat right after each other, or a sentence occurs three times."""
    words = re.findall(r"\w+", text.lower())
    for length in range(1, 21):
        times = 4 if length <= 3 else 3 if length <= 8 else 2
        span = length * (times - 1)
        for start in range(len(words) - span - length + 1):
            if all(words[at] == words[at + length] for at in range(start, start + span)):
                return True
    sentences = [each.strip().lower() for each in re.split(r"[.!?\n]+", text) if len(each.split()) >= 4]
    return any(sentences.count(each) >= 3 for each in sentences)


async def ask_assistant(cases: Sequence[Case] = FIRST_INPUTS) -> list[Answer]:
    """Ask the shipped `assistant` once for each case, as `agno-rt run assistant` does."""
    return await _ask_agent("assistant", cases)


async def ask_librarian(
    folder: Path, cases: Sequence[Case] = LIBRARY_QUESTIONS, documents: Mapping[str, str] = DOCUMENTS
) -> list[Answer]:
    """Put the documents into the current folder, and ask the shipped `librarian` about the documents."""
    for name, text in documents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return await _ask_agent("librarian", cases)


async def _ask_agent(name: str, cases: Sequence[Case]) -> list[Answer]:
    project = shipped_project()
    answers: list[Answer] = []
    async with project.runtime() as runtime:
        for case in cases:  # one case after the other: a model that decodes two at once may round otherwise
            try:
                result = await runtime.run(project.agent(name), case.input)
            except AgnoError as exc:
                answers.append(Answer(case, f"({exc.code}: {exc.message})", "error"))
            else:
                answers.append(Answer(case, result.content.strip(), result.finish_reason))
    return answers


def table(title: str, answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the lines of a table for people."""
    good = sum(answer.verdict == "good" for answer in answers)
    loops = sum(answer.loops for answer in answers)
    yield f"{title}: {good} of {len(answers)} good, {loops} loops"
    for answer in answers:
        asked = answer.case.input if len(answer.case.input) <= 44 else f"{answer.case.input[:41]}..."
        yield f"  {answer.verdict:<8}{asked:<46}{' / '.join(answer.text.splitlines())}"


@contextmanager
def _open_documents_folder() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def main() -> None:
    """Ask both agents and print the tables; `assistant` or `librarian` as an argument asks that agent only."""
    wanted = sys.argv[1:] or ["assistant", "librarian"]
    if "assistant" in wanted:
        print(*table("assistant, first inputs", trio.run(ask_assistant)), sep="\n", flush=True)
    if "librarian" in wanted:
        with _open_documents_folder() as folder:
            print(*table("librarian, five short files", trio.run(ask_librarian, folder)), sep="\n")


if __name__ == "__main__":
    main()
