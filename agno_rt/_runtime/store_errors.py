"""Loads stored runs, and turns the foreign exceptions of a memory backend into errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agno_rt._drive.scopes import check_in_trio
from agno_rt.errors import AgnoError, BackendError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.memory import MemoryBackend
from agno_rt.run_store import Entry, RunRecord, RunStore, unknown_run

__all__ = ["backend_errors", "load_run", "no_store_error"]


async def load_run(store: RunStore, run: str, user: str | None) -> tuple[RunRecord, list[Entry]]:
    """Return the record and the journal of a run. Raises `NotFound` if the run belongs to a user other than `user`."""
    record, entries = await store.load_run(run)
    if user is not None and record.user != user:
        raise unknown_run(run)
    return record, entries


def no_store_error(memory: MemoryBackend) -> UsageError:
    """Make the error for a memory backend that stores no runs."""
    hint = "Use one that does, such as 'sqlite:///agents.db' or 'memory:'."
    return UsageError(f"the memory backend {type(memory).__name__} stores no runs", hint=hint)


@contextmanager
def backend_errors(run: str) -> Iterator[None]:
    """Raise a `BackendError` in place of a foreign exception of the memory backend. Check that trio runs first."""
    check_in_trio("a Runtime")
    try:
        yield
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise BackendError(f"the memory backend failed on run {run!r}: {named(exc)}") from exc
