"""A filter as SQL over `knowledge_documents AS d`."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt.knowledge.documents import Value
from agno_rt.knowledge.store import Filter, list_values

__all__ = ["Where", "make_where"]


@attrs.frozen
class Where:
    """A condition in SQL, and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


def make_where(filter: Filter) -> Where:
    """Return the condition for the documents that the filter considers."""
    parts: list[str] = []
    parameters: list[Any] = []
    if not filter.all_users:
        users = ([""] if filter.shared else []) + ([] if filter.user is None else [filter.user])
        parts.append(f"d.user IN ({', '.join('?' * len(users))})")
        parameters += users
    if filter.prefix:
        # The first comparison uses the index, the second is exact. LIKE and GLOB have wildcards, and LIKE ignores case.
        parts.append("d.source >= ? AND substr(d.source, 1, ?) = ?")
        parameters += [filter.prefix, len(filter.prefix), filter.prefix]
    for key, wanted in filter.metadata.items():
        either = [_compare(value) for value in list_values(wanted)]
        fits = " OR ".join(sql for sql, _ in either) or "0"
        parts.append(f"EXISTS (SELECT 1 FROM json_each(d.metadata) AS m WHERE m.key = ? AND ({fits}))")
        parameters += [key, *(value for _, values in either for value in values)]
    return Where(" AND ".join(parts) or "1", tuple(parameters))


def _compare(value: Value) -> tuple[str, tuple[Value, ...]]:
    # json_each gives 1 for true: its type tells the two apart.
    if isinstance(value, bool):
        return f"m.type = '{str(value).lower()}'", ()
    if isinstance(value, str):
        return "(m.type = 'text' AND m.value = ?)", (value,)
    return "(m.type IN ('integer', 'real') AND m.value = ?)", (value,)
