"""What the contract suites share: one check at a time, with a part that is made for it and closed again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
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

    def open_again(self) -> Any:
        """Another backend on the store of the last `make_memory`. Override it where what is stored outlasts a backend.

        `None` for a backend that forgets everything when it is closed.
        """
        return None

    def make_faults(self) -> Iterable[AbstractContextManager[object]]:
        """Ways to make the store unusable: as long as one is entered, no write can succeed. Override it to have any.

        They are entered one after another, around the backend of the last `make_memory`, which is open already.
        """
        return ()

    def _with_memory(self, check: Callable[[Any], Awaitable[None]]) -> None:
        run_check(self.make_memory, check)

    def _with_memory_again(
        self, check: Callable[[Any], Awaitable[None]], then: Callable[[Any], Awaitable[None]]
    ) -> None:
        """The check; and the second one, with what is opened again, where the store outlasts its backend."""
        run_check(self.make_memory, check)
        again = self.open_again()
        if again is not None:
            run_check(lambda: again, then)


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
