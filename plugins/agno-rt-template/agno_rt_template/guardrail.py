"""The guardrail: any object with a `name` and a coroutine `check` that judges a text."""

from agno_rt.context import RunContext
from agno_rt.hooks import Verdict


class CalmGuardrail:
    """A guardrail that rewrites a text in small letters if more than a `share` of the letters are capitals."""

    # The name of the guardrail in errors and events.
    name = "template:calm"

    def __init__(self, share: float) -> None:
        self._share = share

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Judge one text; None lets the text pass. `context` has the run's user, session and the caller's values."""
        letters = [char for char in text if char.isalpha()]
        capitals = sum(char.isupper() for char in letters)
        if capitals <= self._share * len(letters):
            return None
        # `Verdict(reason)` blocks the run; `Verdict(reason, text)` replaces the checked text. The reason goes into
        # events and logs, so name the finding, and do not quote the text.
        return Verdict("it was shouted", text.lower())
