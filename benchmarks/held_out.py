"""Held-out questions for the embedded model, several seeds each: `python -m benchmarks.held_out`.

The model's defaults, examples and choice of tools were tuned on the questions of `embedded`. These have the same kinds
in the same shares (24 for a tool, 12 for words with tools, 12 without tools), and were written before any answer
was seen. Do not tune on them: that would make them worthless. Name a GGUF file to ask another model.
"""

from __future__ import annotations

import sys

import trio

from .embedded import (
    LOOK_UP,
    ONE,
    Question,
    add_numbers,
    print_scores,
    send_email,
    sum_question,
    weather_question,
)

__all__ = ["HELD_OUT"]

MAIL = (send_email,)

HELD_OUT = (
    weather_question("What's the weather like in Lisbon?", "lisbon"),
    weather_question("Is it raining in Dublin?", "dublin"),
    weather_question("Could you check the weather in Nairobi?", "nairobi"),
    weather_question("How warm is it in Athens at the moment?", "athens"),
    weather_question("Do I need an umbrella in London today?", "london", offered=ONE),
    weather_question("Give me the weather for Toronto.", "toronto", offered=ONE),
    weather_question("I fly to Lima tomorrow. How is the weather?", "lima", offered=ONE, choice="required"),
    weather_question("Berlin weather?", "berlin", choice="required"),
    sum_question("What is 14 + 9?", 14, 9),
    sum_question("How much is 300 and 75 together?", 300, 75),
    sum_question("Can you add 56 to 44?", 56, 44),
    sum_question("Work out the sum of 12 and 88.", 12, 88, offered=(add_numbers,)),
    sum_question("Sum 7 and 5.", 7, 5, offered=(add_numbers,), choice="required"),
    sum_question("I have 19 apples and get 6 more. How many are there?", 19, 6, choice="required"),
    Question("Write to Clara that the train is late.", "send_email", (("to", "clara"), ("text", "train|late"))),
    Question(
        "Send David an email saying the files are ready.", "send_email", (("to", "david"), ("text", "files|ready"))
    ),
    Question("Email the office: I am sick today.", "send_email", (("to", "office"), ("text", "sick")), offered=MAIL),
    Question("Send Eva a message that the tickets have come.", "send_email", (("to", "eva"),), choice="required"),
    Question("Tell Frank by email that dinner is at eight.", "send_email", (("to", "frank"),), choice="required"),
    Question("Look up the rules for overtime in our documents.", "search_documents", (("query", "overtime"),)),
    Question("Search for the security guidelines.", "search_documents", (("query", "security|guideline"),)),
    Question("Is there a document about remote work?", "search_documents", (("query", "remote"),)),
    Question(
        "What does the handbook say about sick leave?", "search_documents", (("query", "sick|leave"),), offered=LOOK_UP
    ),
    Question(
        "Where can visitors park?", "search_documents", (("query", "park|visitor"),), offered=LOOK_UP, choice="required"
    ),
    Question("Hi there!", words=r"\b(hello|hi|hey|help|welcome)\b"),
    Question("Good evening.", words=r"evening|\b(hello|hi|hey|help)\b"),
    Question("Thanks a lot!", words=r"welcome|glad|happy|pleasure|help"),
    Question("Goodbye!", words=r"bye|take care|see you|day|farewell"),
    Question("What is the capital of Italy?", words=r"\brome\b"),
    Question("What color is grass?", words=r"\bgreen\b"),
    Question("How many months are in a year?", words=r"\b(12|twelve)\b", offered=ONE),
    Question("Who painted the Mona Lisa?", words="leonardo|vinci", offered=ONE),
    Question("Name an animal that barks.", words=r"\bdogs?\b", offered=LOOK_UP),
    Question("What do bees make?", words="honey", offered=(add_numbers,)),
    Question("Say good night.", words="good ?night|sleep|sweet dreams", offered=LOOK_UP),
    Question("Tell me a short story.", words=r"\w+(\W+\w+){9}", offered=MAIL),
    Question("What is the capital of Japan?", words=r"\btokyo\b", offered=()),
    Question("Which ocean is the largest?", words="pacific", offered=()),
    Question("Name three colors.", words=r"(?:\b(red|blue|green|yellow|orange|purple|black|white)\b.*){3}", offered=()),
    Question("Name three vegetables.", words="carrot|potato|tomato|onion|spinach|broccoli|cabbage|pepper", offered=()),
    Question("How many legs does a spider have?", words=r"\b(8|eight)\b", offered=()),
    Question("How many hours are in a day?", words=r"\b(24|twenty[- ]four)\b", offered=()),
    Question("What is the opposite of hot?", words=r"\b(cold|cool)\b", offered=()),
    Question("Which planet do we live on?", words=r"\bearth\b", offered=()),
    Question("What is frozen water called?", words=r"\bice\b", offered=()),
    Question("Greet me.", words=r"\b(hello|hi|hey|welcome|good (morning|day|evening))\b", offered=()),
    Question("Rewrite politely: Close the door.", words=r"(?=.*door)(?=.*(please|could|would))", offered=()),
    Question("Correct the spelling: She has too childrens.", words="two children", offered=()),
)

if __name__ == "__main__":
    trio.run(print_scores, list(HELD_OUT), sys.argv[1] if len(sys.argv) > 1 else "smollm2")
