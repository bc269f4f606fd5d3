"""Copies, sizes and old sessions in Redis: a part of `RedisMemory`."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt.defaults.rules import check_names, check_order, copied_beside, new_record
from agno_rt.memory import first_words, foreign_session, session_title
from agno_rt.run_store import Signal
from agno_rt.upkeep import CopyKind, PartSize, RunCopy, SessionCopy, StoreSize
from agno_rt_redis.approvals import encode_approvals, refuse_approval
from agno_rt_redis.facts import RedisFacts
from agno_rt_redis.runs import RedisRuns, encode_entries, encode_record
from agno_rt_redis.sessions import RedisSessions, encode_messages, read_message
from agno_rt_redis.store import Damaged, load_script, read_text

__all__ = ["RedisUpkeep"]

AT_ONCE = 200
"""Sessions, runs or users in one call: a long call would hold up the server."""

_PARTS = ("sessions", "messages", "runs", "entries", "approvals", "signals", "events", "facts")
_KINDS: tuple[CopyKind, ...] = ("sessions", "runs", "facts")
_SCRIPT = load_script("sessions", "approvals", "runs", "flows", "upkeep")


class RedisUpkeep(RedisSessions, RedisRuns, RedisFacts):
    """A `CopyStore`, a `SizedStore` and `SessionPruning`."""

    async def list_ids(self, kind: CopyKind) -> list[str]:
        """See `CopyStore.list_ids`."""
        ids = (await self._read(_SCRIPT, "ids", kind=kind))[1]
        return self._read_all(ids, lambda each: read_text(each, f"an id of {kind}") or "")

    async def export_session(self, session: str, *, after: int = 0, limit: int = 1000) -> SessionCopy | None:
        """See `CopyStore.export_session`."""
        _, fields, bodies = await self._read(_SCRIPT, "export", session=session, after=after, limit=limit)
        user, version, created, updated, title, first, agent, data, total = fields
        if version is None:
            return None
        what = f"session {session!r}"
        try:
            texts = [read_text(value, what) for value in (user, first if title is None else title, agent)]
            messages: Any = [read_message(session, body) for body in bodies]
        except Damaged as exc:
            raise self._explain_damage(exc) from exc
        found = SessionCopy(session, texts[0], int(version), float(created), float(updated), texts[1] or "")
        return attrs.evolve(
            found, agent=texts[2] or "", data=data or b"", total=int(total), first=after + 1, messages=messages
        )

    async def import_session(self, copy: SessionCopy) -> None:
        """See `CopyStore.import_session`."""
        check_names(copy.id, copy.user)
        updated = repr(copy.updated_at)
        fields: list[str | bytes] = ["version", str(copy.version), "created", repr(copy.created_at), "updated", updated]
        fields += ["agent", copy.agent, "data", copy.data]
        answer = await self._write(
            _SCRIPT,
            "import_session",
            session=copy.id,
            user=copy.user,
            fields=fields if copy.user is None else [*fields, "user", copy.user],
            updated=updated,
            title=session_title(copy.title),
            words=first_words(copy.messages),
            first=copy.first,
            messages=encode_messages(copy.id, copy.messages),
        )
        if answer[0] == b"foreign":
            raise foreign_session(copy.id, None if answer[1] is None else "another", copy.user)
        if answer[0] != b"ok":
            raise copied_beside(copy, int(answer[1]))

    async def import_run(self, copy: RunCopy) -> bool:
        """See `CopyStore.import_run`."""
        record = new_record(copy.record, 0.0)
        updated = repr(copy.record.updated_at or copy.record.created_at)
        check_order(record.id, 0, copy.entries)
        fields = [*encode_record(record), "created", repr(record.created_at), "updated", updated, "entries", "0"]
        answer = await self._write(
            _SCRIPT,
            "import_run",
            run=record.id,
            user=record.user,
            updated=updated,
            fields=fields if record.owner is None else [*fields, "writer", record.owner],
            entries=encode_entries(copy.entries),
            signals=[_encode_signal(each) for each in copy.signals],
            events=list(copy.events),
            approvals=encode_approvals(attrs.evolve(each, run=record.id) for each in copy.approvals),
        )
        if answer[0] != b"ok":
            raise refuse_approval(answer[1], record.id)
        return bool(answer[1])

    async def find_size(self) -> StoreSize:
        """See `SizedStore.find_size`. Bytes are the server's estimates of its memory, without indexes."""
        found = {name: PartSize(name, 0, 0) for name in _PARTS}
        for kind in _KINDS:
            ids = (await self._read(_SCRIPT, "ids", kind=kind))[1]
            for at in range(0, len(ids), AT_ONCE):
                for part in (await self._read(_SCRIPT, "measure", kind=kind, ids=ids[at : at + AT_ONCE]))[1]:
                    name = part[0].decode()
                    found[name] = _add_size(found[name], part)
        grants, cached = (await self._read(_SCRIPT, "count_others"))[1]
        return StoreSize([*found.values(), PartSize("grants", grants), PartSize("cache", cached)])

    async def prune_sessions(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `SessionPruning.prune_sessions`."""
        _, now, listed = await self._read(_SCRIPT, "old")
        oldest = None if older_than is None else float(now) - older_than
        pairs = list(zip(listed[::2], listed[1::2], strict=True))
        old = [
            pair
            for at, pair in enumerate(pairs)
            if (keep is not None and at >= keep) or (oldest is not None and float(pair[1]) <= oldest)
        ]
        found: list[str] = []
        for at in range(0, len(old), AT_ONCE):
            some = old[at : at + AT_ONCE]
            sessions, scores = [pair[0] for pair in some], [pair[1] for pair in some]
            asked: dict[str, Any] = {"sessions": sessions, "scores": scores, "dry_run": dry_run}
            answer = await (self._read if dry_run else self._write)(_SCRIPT, "prune_sessions", **asked)
            found += [session.decode(errors="replace") for session in answer[1]]
        return found


def _encode_signal(signal: Signal) -> bytes:
    name = signal.name.encode()
    return b"%s %d %s" % (repr(signal.sent_at).encode(), len(name), name) + signal.value


def _add_size(known: PartSize, part: list[Any]) -> PartSize:
    _, count, size, oldest, newest = part
    times = [
        [each for each in (before, None if found is None else float(found)) if each is not None]
        for before, found in ((known.oldest, oldest), (known.newest, newest))
    ]
    first, last = min(times[0], default=None), max(times[1], default=None)
    return PartSize(known.name, known.count + count, (known.bytes or 0) + size, first, last)
