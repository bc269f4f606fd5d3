"""Runs as JSON lines, with journals, approvals, signals and events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agno_rt.cli.transfer.base import Outcome, Skipped, Store, check_owner, no_copies
from agno_rt.cli.transfer.lines import FORMAT, Line, encode_line
from agno_rt.errors import NotFound, UsageError
from agno_rt.names import check_name
from agno_rt.run_store import Approval, Entry, RunConflict, RunRecord, RunStore, Signal
from agno_rt.upkeep import CopyStore, RunCopy

__all__ = ["RunLine", "RunTransfer"]


class RunLine(Line, kw_only=True):
    """A run. The fields are those of `RunCopy`."""

    record: RunRecord
    entries: tuple[Entry, ...] = ()
    approvals: tuple[Approval, ...] = ()
    signals: tuple[Signal, ...] = ()
    events: tuple[bytes, ...] = ()

    def check(self) -> None:
        """Raise `UsageError` for names and orders that no store takes."""
        record = self.record
        check_name("the run's id", record.id)
        for what, name in (("session's id", record.session), ("user's name", record.user)):
            if name is not None:
                check_name(f"the {what}", name)
        for each in self.approvals:
            check_name("the approval's id", each.id)
        numbers = [entry.seq for entry in self.entries], [signal.seq for signal in self.signals]
        if numbers[0] != list(range(len(self.entries))) or numbers[1] != list(range(1, len(self.signals) + 1)):
            raise UsageError("steps or signals of the run are missing", hint="Export the run again.")


class RunTransfer:
    """Moves runs, see `Transfer`."""

    kind = "run"
    line = RunLine

    async def find(self, store: Store, ids: Sequence[str], user: str | None) -> list[str]:
        """Return the ids of runs, the least recently changed first."""
        from agno_rt.cli.open_memory import MANY, match_id

        if not isinstance(store, CopyStore) or not isinstance(store, RunStore):
            raise no_copies(store)
        if not ids and user is None:
            return await store.list_ids("runs")
        known = [record.id for record in await store.runs(user=user, limit=MANY)]
        return list(dict.fromkeys(match_id("run", each, known) for each in ids)) if ids else known[::-1]

    async def export(self, store: Store, key: str, write: Callable[[bytes], object]) -> bool:
        """Write a run that is not under way."""
        from agno_rt.cli.copy_memory import Refused, read_run

        try:
            copy = await read_run(store, key)
        except NotFound:
            return False
        except Refused as exc:
            raise Skipped(f"run {key!r}: {exc}") from exc
        line = RunLine(
            format=FORMAT,
            kind=self.kind,
            record=copy.record,
            entries=tuple(copy.entries),
            approvals=tuple(copy.approvals),
            signals=tuple(copy.signals),
            events=tuple(copy.events),
        )
        write(encode_line(line))
        return True

    async def load(self, store: Store, line: RunLine, user: str | None) -> Outcome:
        """Store a run, in place of an older copy."""
        from agno_rt.cli.copy_memory import is_same_time

        if not isinstance(store, CopyStore) or not isinstance(store, RunStore):
            raise no_copies(store)
        line.record.user = check_owner(line.record.user, user)
        try:
            there, _ = await store.load_run(line.record.id)
        except NotFound:
            pass
        else:
            is_known = (there.user, there.agent) == (line.record.user, line.record.agent)
            if not is_known or not is_same_time(there.created_at, line.record.created_at):
                raise Skipped(f"another run has the id {line.record.id!r}", hint="Delete it first.")
        try:
            made = await store.import_run(RunCopy(line.record, line.entries, line.approvals, line.signals, line.events))
        except (RunConflict, UsageError) as exc:
            raise Skipped(exc.message, hint=exc.hint) from exc
        return "stored" if made else "same"
