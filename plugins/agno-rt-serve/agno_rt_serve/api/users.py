"""The user that a request names. `auth.caller` says whether the caller may name this user."""

from __future__ import annotations

import msgspec

__all__ = ["UserBody", "UserQuery"]


class UserQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The user of the request. Requests without a user find the data of nobody."""

    user: str | None = None


class UserBody(msgspec.Struct, forbid_unknown_fields=True):
    """The user of the request. Requests without a user find the data of nobody."""

    user: str | None = None
