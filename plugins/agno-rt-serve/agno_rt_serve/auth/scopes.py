"""Scopes: the words for the rights of a key or a token. Pure.

A scope is `KIND:NAME:ACTION`, where each part may be `*`: `agents:assistant:run`, `sessions:*:read`. Three scopes are
words: `*` is everything of the caller's own, `users` lets the caller name any user, `admin` is both, and sees the data
of all users at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from agno_rt.errors import UsageError, suggest

__all__ = ["ALL", "EVERYTHING", "KINDS", "USUAL", "Scopes", "parse_scopes"]

RUNNABLES = ("agents", "teams", "workflows")

KINDS = {
    **dict.fromkeys(RUNNABLES, ("run", "read", "decide")),
    "sessions": ("read", "write"),
    "facts": ("read", "write"),
    "knowledge": ("read", "write"),
    "models": ("read", "run"),
    "tools": ("read", "run"),
    "server": ("read",),
    "routes": ("use",),
}
"""The kinds of things, and the actions on each.

A runnable governs runs and approvals: `run` starts, resumes, steers and cancels runs, `read` shows runs (`run` includes
`read`), `decide` decides approvals. `run` of a tool calls the tool
directly, over a route that offers tools. `server` is the server's own state (`config`,
`plugins`, `profile`, `metrics`, `benchmarks`), `routes` the routes of other plugins, by the name of the routes.
"""

USUAL = (
    *(f"{kind}:*:{action}" for kind in RUNNABLES for action in KINDS[kind]),
    "sessions:*:*",
    "facts:*:*",
    "knowledge:*:read",
    "models:*:*",
    "tools:*:read",
)
"""The scopes of a key without scopes of its own: running everything, and the caller's own data."""

# Names and paths come from clients: a bound for remembered decisions.
_KEPT = 500
_WORDS = ("*", "users", "admin")


@attrs.frozen
class Scopes:
    """The rights of a caller. `for_users` lets the caller name any user; with `sees_all` no name means all users.

    `passed` has some methods and paths for which the gate found the scopes enough.
    """

    grants: frozenset[tuple[str, str, str]]
    for_users: bool = False
    sees_all: bool = False
    is_all: bool = attrs.field(init=False, eq=False, repr=False)
    passed: set[tuple[str, str]] = attrs.field(factory=set, init=False, eq=False, repr=False)
    _decided: dict[tuple[str, str, str], bool] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    @is_all.default
    def _grant_all(self) -> bool:
        return ("*", "*", "*") in self.grants

    def allow(self, action: str, kind: str, name: str = "*") -> bool:
        """Return True if the action is granted. The name `*` asks for things of any name."""
        if self.is_all:
            return True
        asked = action, kind, name
        found = self._decided.get(asked)
        if found is None:
            found = self._decide(action, kind, name)
            if len(self._decided) < _KEPT:
                self._decided[asked] = found
        return found

    def _decide(self, action: str, kind: str, name: str) -> bool:
        actions = (action, "*", "run") if action == "read" and kind in RUNNABLES else (action, "*")
        names = (name, "*") if name != "*" else ("*",)
        return any((k, n, a) in self.grants for k in (kind, "*") for n in names for a in actions)


ALL = Scopes(frozenset({("*", "*", "*")}), for_users=True)
"""The scopes on a server without keys, and of the key for all clients."""

EVERYTHING = attrs.evolve(ALL, sees_all=True)
"""The scope `admin`."""


def parse_scopes(texts: Iterable[str], where: str) -> Scopes:
    """Return the scopes. Raises `UsageError` with `where`, the wrong part and the nearest right word."""
    grants: set[tuple[str, str, str]] = set()
    words: set[str] = set()
    for text in texts:
        if text in _WORDS:
            words.add(text)
        else:
            grants.add(_parse(text, where))
    if words & {"*", "admin"}:
        grants = {("*", "*", "*")}
    return Scopes(frozenset(grants), for_users=bool(words & {"users", "admin"}), sees_all="admin" in words)


def _parse(text: str, where: str) -> tuple[str, str, str]:
    kind, _, rest = text.partition(":")
    # A name may have colons, an action has none.
    name, colon, action = rest.rpartition(":")
    if not (colon and kind and name and action):
        hint = "A scope is KIND:NAME:ACTION, such as agents:assistant:run, or one of '*', 'users', 'admin'."
        raise UsageError(f"{where}: {text!r} is not a scope", hint=hint)
    if kind != "*" and kind not in KINDS:
        raise UsageError(f"{where}: {text!r} has the unknown kind {kind!r}", hint=suggest("kind", kind, KINDS))
    known = KINDS[kind] if kind != "*" else tuple({each for actions in KINDS.values() for each in actions})
    if action not in (*known, "*"):
        hint = suggest("action", action, known)
        raise UsageError(f"{where}: {text!r} has the unknown action {action!r}", hint=hint)
    return kind, name, action
