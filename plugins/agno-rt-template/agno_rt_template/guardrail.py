"""The guardrail: anything with a `name` and a coroutine `check` that says what it thinks of a text."""

from agno_rt.context import RunContext
from agno_rt.hooks import Verdict


class CalmGuardrail:
    """Writes a text in small letters where more than a share of its letters are capitals."""

    # What errors and events call the guardrail.
    name = "template:calm"

    def __init__(self, share: float) -> None:
        self._share = share

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Judge one text. The context tells of the run that it is in: its user, its session, what the caller passed."""
        letters = [char for char in text if char.isalpha()]
        capitals = sum(char.isupper() for char in letters)
        if capitals <= self._share * len(letters):
            return None
        # A verdict without a text blocks the run; `Verdict(reason, text)` lets that text pass in its place. The reason
        # goes into events and logs: say what was found, and do not quote it.
        return Verdict("it was shouted", text.lower())
