"""Answers of the embedded model to fixed questions, several seeds each: `python -m benchmarks.embedded`.

Sixteen questions want the right tool with the right arguments, eight want words though tools are offered, and eight are
those of the README and of the guides, without tools. Each has a pattern or a call that a person would accept, written
before any answer was seen. `SEEDS` answers a question several times; the score is the share of good answers. Name a
GGUF file as the argument to ask another model. The model was tuned on these questions; those of `held_out` are others.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import attrs
import trio

from agno_rt import AgnoError, Model, ModelRequest, ModelSettings, Runtime, Tool, tool
from agno_rt.messages import Message, ToolCall

__all__ = [
    "LOOK_UP",
    "ONE",
    "QUESTIONS",
    "Question",
    "Score",
    "add_numbers",
    "ask_each",
    "print_scores",
    "send_email",
    "sum_question",
    "sum_up",
    "weather_question",
]

SEEDS = (1, 2, 3)
MOST_TOKENS = 48


@tool
async def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    return f"{city}: 18 degrees, sunny"


@tool
async def add_numbers(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def send_email(to: str, text: str) -> str:
    """Send an email to a person."""
    return f"sent to {to}"


@tool
async def search_documents(query: str) -> str:
    """Search the company's documents."""
    return "From canteen.md:\n# Canteen\nThe canteen opens at noon."


TOOLS = (get_weather, add_numbers, send_email, search_documents)


@attrs.frozen
class Question:
    """A question with the accepted call, or with the pattern of accepted words.

    `offered` are the tools of the request, `choice` is the request's choice among them, and `system` its instructions.
    """

    asked: str
    call: str = ""
    arguments: Sequence[tuple[str, str]] = ()
    words: str = ""
    offered: Sequence[Tool] = TOOLS
    choice: str = "auto"
    system: str = "You are a helpful assistant. Answer briefly."

    def is_good(self, content: str, calls: Sequence[ToolCall]) -> bool:
        """Return whether a person would accept the answer."""
        if not self.call:
            return not calls and re.search(self.words, content, re.IGNORECASE | re.DOTALL) is not None
        if [call.name for call in calls] != [self.call]:
            return False
        try:
            given = json.loads(calls[0].arguments)
        except ValueError:
            return False
        return all(re.search(pattern, str(given.get(name)), re.IGNORECASE) for name, pattern in self.arguments)


def weather_question(asked: str, city: str, **more: Any) -> Question:
    """Return a question that wants the weather in the city."""
    return Question(asked, "get_weather", (("city", rf"\b{city}\b"),), **more)


def sum_question(asked: str, a: int, b: int, **more: Any) -> Question:
    """Return a question that wants the sum of two numbers, in either order."""
    return Question(asked, "add_numbers", (("a", rf"^({a}|{b})$"), ("b", rf"^({a}|{b})$")), **more)


ONE = (get_weather,)
LOOK_UP = (search_documents,)

QUESTIONS = (
    weather_question("What is the weather in Paris?", "paris"),
    weather_question("How is the weather in Tokyo today?", "tokyo"),
    weather_question("Is it sunny in Madrid right now?", "madrid", offered=ONE),
    weather_question("Tell me the current weather in Oslo.", "oslo", offered=ONE),
    weather_question("I am going to Rome. What is the weather there?", "rome", offered=ONE, choice="required"),
    weather_question("Weather in Cairo, please.", "cairo", choice="required"),
    sum_question("Add 17 and 23.", 17, 23),
    sum_question("What is 120 plus 45?", 120, 45),
    sum_question("Please add the numbers 8 and 31.", 8, 31, offered=(add_numbers,)),
    sum_question("Add 250 and 4.", 250, 4, choice="required"),
    Question("Send an email to Anna: the meeting is at three.", "send_email", (("to", "anna"), ("text", "three"))),
    Question("Email Bob that lunch is ready.", "send_email", (("to", "bob"), ("text", "lunch")), choice="required"),
    Question("Search the documents for the holiday policy.", "search_documents", (("query", "holiday"),)),
    Question(
        "What do our documents say about parking?",
        "search_documents",
        (("query", "parking"),),
        offered=LOOK_UP,
    ),
    Question(
        "When does the canteen open?", "search_documents", (("query", "canteen"),), offered=LOOK_UP, choice="required"
    ),
    Question("Find the travel rules in our documents.", "search_documents", (("query", "travel"),)),
    Question("Hello!", words=r"\b(hello|hi|hey|help|welcome)\b"),
    Question("Thank you very much.", words=r"welcome|glad|happy|pleasure|help"),
    Question("What is the capital of France?", words=r"\bparis\b"),
    Question("What color is the sky?", words=r"\bblue\b"),
    Question("Who wrote Romeo and Juliet?", words="shakespeare", offered=ONE),
    Question("How many days are in a week?", words=r"\b(7|seven)\b", offered=ONE),
    Question("Say good morning.", words="morning", offered=LOOK_UP),
    Question("Tell me a joke.", words=r"\w+(\W+\w+){5}", offered=(add_numbers,)),
    Question("What is the capital of France?", words=r"\bparis\b", offered=()),
    Question("Which river flows through Seoul?", words=r"\bhan\b", offered=()),
    Question(
        "Name three rivers.", words="nile|amazon|danube|rhine|thames|mississippi|yangtze|ganges|congo", offered=()
    ),
    Question("Say hello.", words=r"\b(hello|hi|hey)\b", offered=()),
    Question("What is the largest planet?", words="jupiter", offered=()),
    Question("Name three fruits.", words="apple|banana|orange|grape|mango|pear", offered=()),
    Question("How many days are in a week?", words=r"\b(7|seven)\b", offered=()),
    Question("Rewrite politely: Send me the report now.", words=r"(?=.*report)(?=.*(please|could|would))", offered=()),
)


@attrs.define
class Score:
    """The answers to a question, and the number of good ones."""

    question: Question
    good: int = 0
    answers: list[str] = attrs.Factory(list)

    def line(self) -> str:
        """Return the score as a line of the table."""
        shown = " | ".join(answer[:70] for answer in dict.fromkeys(self.answers))
        return f"  {self.good}/{len(self.answers)}  {self.question.asked[:44]:<46}{shown}"


async def ask_each(
    model: Model, seeds: Sequence[int] = SEEDS, questions: Sequence[Question] = QUESTIONS
) -> AsyncIterator[Score]:
    """Ask the model each question once with each seed, one after the other, and yield each question's score."""
    for question in questions:
        score = Score(question)
        for seed in seeds:
            content, calls = await _ask(model, question, seed)
            score.good += question.is_good(content, calls)
            shown = "; ".join(f"{call.name}({call.arguments})" for call in calls)
            score.answers.append(" ".join((shown or content).split()))
        yield score


async def _ask(model: Model, question: Question, seed: int) -> tuple[str, Sequence[ToolCall]]:
    request = ModelRequest(
        (Message("system", question.system), Message("user", question.asked)),
        tools=question.offered,
        tool_choice=question.choice if question.offered else "auto",
        settings=ModelSettings(seed=seed, max_tokens=MOST_TOKENS),
    )
    try:
        response = await model.respond(request)
    except AgnoError as exc:
        return f"({exc.message})", ()
    return response.content, response.tool_calls


def sum_up(scores: Sequence[Score]) -> Iterator[str]:
    """Yield the share of good answers of each kind of question."""
    kinds = {
        "tool questions": [score for score in scores if score.question.call],
        "words, with tools offered": [s for s in scores if not s.question.call and s.question.offered],
        "words, without tools": [s for s in scores if not s.question.call and not s.question.offered],
        "all": list(scores),
    }
    for kind, group in kinds.items():
        if group:
            yield f"{kind}: {sum(score.good for score in group)} of {sum(len(s.answers) for s in group)} good"


async def print_scores(questions: Sequence[Question], file: str = "smollm2") -> None:
    """Ask the embedded model of the GGUF file each question, and print the answers and the scores."""
    scores = []
    async with Runtime() as runtime:
        async for score in ask_each(runtime.model(f"llamacpp:{file}"), questions=questions):
            scores.append(score)
            print(score.line(), flush=True)
    print(*sum_up(scores), sep="\n")


if __name__ == "__main__":
    trio.run(print_scores, list(QUESTIONS), sys.argv[1] if len(sys.argv) > 1 else "smollm2")
