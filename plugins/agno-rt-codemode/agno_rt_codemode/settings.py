"""The settings of programs: the table `[plugins.codemode]`."""

from __future__ import annotations

import attrs

from agno_rt.errors import UsageError

__all__ = ["CodeSettings"]


@attrs.frozen
class CodeSettings:
    """The bounds of one program.

    Attributes:
        seconds: the most seconds that the program itself computes; waiting for tools does not count
        memory: the most bytes of the program's values
        characters: the most characters of printed text and of the result
        calls: the most calls of tools
        at_once: the most programs at once in a runtime; more wait

    Raises `UsageError` for a value that is not positive.
    """

    seconds: float = 10.0
    memory: int = 64_000_000
    characters: int = 20_000
    calls: int = 100
    at_once: int = 4

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(CodeSettings):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not value > 0:
                raise UsageError(f"{field.name} of codemode is {value!r}", hint="Give a number above 0.")
