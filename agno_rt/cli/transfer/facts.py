"""Facts about users as JSON lines, the fact kept first first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agno_rt.cli.transfer.base import Outcome, Skipped, Store, check_owner, no_copies
from agno_rt.cli.transfer.lines import FORMAT, Line, encode_line
from agno_rt.errors import NotFound, UsageError
from agno_rt.facts import MAX_FACTS, fact_key, fact_text, fact_topics, known_user
from agno_rt.memory import Fact, FactStore
from agno_rt.names import check_name
from agno_rt.upkeep import CopyStore

__all__ = ["FactLine", "FactTransfer", "find_facts", "list_facts"]


class FactLine(Line, kw_only=True):
    """A fact. The fields are those of `Fact`."""

    id: str
    user: str
    text: str
    created_at: float
    updated_at: float
    session: str | None = None
    topics: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `UsageError` for a fact that no store keeps."""
        check_name("the fact's id", self.id)
        known_user(self.user)
        if fact_text(self.text) != self.text or fact_topics(self.topics) != self.topics:
            hint = "A fact is one line of printable characters, and its topics differ."
            raise UsageError("the fact has line ends or characters that no store keeps", hint=hint)
        if self.session is not None:
            check_name("the session's id", self.session)


async def list_facts(store: Store, user: str | None, limit: int) -> list[Fact]:
    """Return the facts about the user, or about all users by name, the last changed first.

    Raises `UsageError` for a memory backend without facts.
    """
    if not isinstance(store, FactStore):
        hint = "Use a backend that keeps facts, as in --memory sqlite:///agents.db."
        raise UsageError(f"the memory backend {type(store).__name__} keeps no facts", hint=hint)
    if user is not None:
        return await store.facts(user, limit=limit)
    if not isinstance(store, CopyStore):
        hint = "Name the user: --user NAME."
        raise UsageError(f"the memory backend {type(store).__name__} does not list its users", hint=hint)
    found: list[Fact] = []
    for each in sorted(await store.list_ids("facts")):
        found += await store.facts(each, limit=MAX_FACTS)
        if len(found) >= limit:
            break
    return found[:limit]


async def find_facts(store: Store, ids: Sequence[str], user: str | None) -> list[Fact]:
    """Return the facts with the ids. Raises `NotFound`, and `UsageError` for an id of facts about several users."""
    from agno_rt.cli.open_memory import MANY

    known = await list_facts(store, user, MANY)
    found: list[Fact] = []
    for given in dict.fromkeys(ids):
        fitting = [fact for fact in known if fact.id == given]
        if not fitting:
            raise NotFound("fact", given, list(dict.fromkeys(fact.id for fact in known)))
        if len(fitting) > 1:
            users = " | ".join(fact.user for fact in fitting[:12])
            raise UsageError(f"facts about {len(fitting)} users have the id {given!r}", hint=f"--user {users}")
        found += fitting
    return found


class FactTransfer:
    """Moves facts, see `Transfer`."""

    kind = "fact"
    line = FactLine

    async def find(self, store: Store, ids: Sequence[str], user: str | None) -> list[Fact]:
        """Return the facts themselves, as they are small."""
        from agno_rt.cli.open_memory import MANY

        found = await find_facts(store, ids, user) if ids else await list_facts(store, user, MANY)
        # Stores list the last change first. Imported in the order of the changes, the facts have the same order.
        found.reverse()
        return sorted(found, key=lambda fact: fact.user)

    async def export(self, store: Store, key: Fact, write: Callable[[bytes], object]) -> bool:
        """Write a fact."""
        line = FactLine(
            format=FORMAT,
            kind=self.kind,
            id=key.id,
            user=key.user,
            text=key.text,
            created_at=key.created_at,
            updated_at=key.updated_at,
            session=key.session,
            topics=tuple(key.topics),
        )
        write(encode_line(line))
        return True

    async def load(self, store: Store, line: FactLine, user: str | None) -> Outcome:
        """Store a fact."""
        if not isinstance(store, CopyStore) or not isinstance(store, FactStore):
            raise no_copies(store)
        check_owner(line.user, user)
        fact = Fact(line.id, line.user, line.text, line.created_at, line.updated_at, line.session, line.topics)
        known = await store.facts(line.user, limit=MAX_FACTS)
        for each in known:
            if fact_key(each.text) == fact_key(fact.text):
                return "same"
            if each.id == fact.id:
                hint = "Give the fact of the line another id, or forget the other one."
                raise Skipped(f"another fact about {line.user!r} has the id {fact.id!r}", hint=hint)
        if len(known) >= MAX_FACTS:
            raise Skipped(f"there are {MAX_FACTS} facts about {line.user!r}, and no more are kept")
        return "stored" if await store.import_facts(line.user, [fact]) else "same"
