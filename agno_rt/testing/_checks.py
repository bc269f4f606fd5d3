"""What the contract suites share: one check at a time, with a part that is made for it and closed again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

__all__ = ["StoreContract", "run_check"]

TEST_SECONDS = 120.0
"""How long one test of a contract may take, a slow local model's loading included."""


class StoreContract:
    """The base of the contracts for memory backends."""

    def make_memory(self) -> Any:
        """A backend with nothing in it; closed again after each test."""
        raise NotImplementedError("override make_memory")

    def _with_memory(self, check: Callable[[Any], Awaitable[None]]) -> None:
        run_check(self.make_memory, check)


def run_check(make: Callable[[], Any], check: Callable[[Any], Awaitable[None]]) -> None:
    """Run the check under trio with what `make` makes."""

    async def main() -> None:
        made = make()
        try:
            with trio.fail_after(TEST_SECONDS):
                await check(made)
        finally:
            close = getattr(made, "aclose", None)
            if close is not None:
                await close()

    trio.run(main)
