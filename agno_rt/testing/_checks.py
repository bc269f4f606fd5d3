"""The base of the contract suites: each check gets a new part, which is closed afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import trio

__all__ = ["TEST_SECONDS", "StoreContract", "run_check"]

TEST_SECONDS = 120.0
"""How long one test of a contract may take, including the loading of a slow local model."""


class StoreContract:
    """The base of the contracts for memory backends."""

    def make_memory(self) -> Any:
        """Make an empty backend; it is closed after each test."""
        raise NotImplementedError("override make_memory")

    def open_again(self) -> Any:
        """Make another backend on the store of the last `make_memory`. Override for a store that outlasts a backend.

        None for a backend that forgets everything when closed.
        """
        return None

    def make_faults(self) -> Iterable[AbstractContextManager[object]]:
        """Return ways to make the store unusable: while one is entered, no write succeeds. Override to have any.

        Each is entered in turn, around the backend of the last `make_memory`, which is open already.
        """
        return ()

    def _with_memory(self, check: Callable[[Any], Awaitable[None]]) -> None:
        run_check(self.make_memory, check)

    def _with_memory_again(
        self, check: Callable[[Any], Awaitable[None]], then: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Run `check`; then run `then` with the reopened store, if the store outlasts its backend."""
        run_check(self.make_memory, check)
        again = self.open_again()
        if again is not None:
            run_check(lambda: again, then)


def run_check(make: Callable[[], Any], check: Callable[[Any], Awaitable[None]]) -> None:
    """Run the check under trio with a new part from `make`, and close the part."""

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
