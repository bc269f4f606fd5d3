"""Keeps responses, each as a session in the server's memory, and reads kept responses. Knows no route.

The session's name is the response's id, and the owner the response's user. The messages are question and answer, for
lists of sessions and `agno-rt sessions prune`. The data have the response object and the items of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from agno_rt import Message
from agno_rt.errors import SessionConflict
from agno_rt.memory import MemoryBackend
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.openai.responses.items import Item, Placed, place_items
from agno_rt_serve.auth.caller import Reach

__all__ = ["Kept", "ResponseStore"]

_LONGEST_CHAIN = 1000


class Kept(msgspec.Struct):
    """A kept response: the object, and the items of the input without earlier responses."""

    response: dict[str, Any]
    input: list[Item]


class _Data(msgspec.Struct):
    """The data of a session in the kernel's own format, 1; runs hand on the `note`."""

    note: Kept
    format: int = 1


class ResponseStore:
    """The kept responses of a memory backend."""

    def __init__(self, memory: MemoryBackend) -> None:
        self._memory = memory

    async def save(self, kept: Kept, messages: Sequence[Message], user: str | None) -> None:
        """Keep a new response. `messages` are for readers of the session. Raises as `MemoryBackend.append`."""
        response = kept.response
        data = msgspec.json.encode(_Data(kept))
        await self._memory.append(response["id"], messages, version=0, user=user, data=data, agent=response["model"])

    async def replace(self, kept: Kept, version: int, messages: Sequence[Message]) -> None:
        """Keep a newer form of the response, unless somebody else did so since `version`."""
        id_ = kept.response["id"]
        session = await self._memory.load(id_, 0)
        with suppress(SessionConflict):
            data = msgspec.json.encode(_Data(kept))
            await self._memory.append(id_, messages, version=version, user=session.user, data=data)

    async def load(self, id: str, reach: Reach, param: str = "response_id") -> Kept:
        """Return the response within reach. Raises `Refused` 404, whose `param` names the part of the request."""
        return (await self.load_version(id, reach, param))[0]

    async def load_version(self, id: str, reach: Reach, param: str = "response_id") -> tuple[Kept, int]:
        """Return the response within reach, and the version of the kept data. Raises `Refused` 404."""
        kept, version = None, 0
        if id.startswith("resp_"):
            session = await self._memory.load(id, 0)
            if session.version and reach.has(session.user):
                kept, version = _read_kept(session.data), session.version
        if kept is None:
            hint = (
                "A response with store=false is not kept. A user's response is found only if the request names the "
                "user. The memory `memory:` loses responses when the server ends."
            )
            raise Refused(f"this server does not know the response {id!r}", param, hint, 404)
        return kept, version

    async def load_chain(self, id: str, reach: Reach) -> list[Placed]:
        """Return the items of the response and of earlier responses, the oldest first. Raises `Refused`."""
        parts: list[list[Placed]] = []
        seen: str | None = id
        while seen is not None:
            kept = await self.load(seen, reach, "previous_response_id")
            if kept.response["status"] not in ("completed", "incomplete"):
                problem = f"the response {seen!r} is {kept.response['status']}, and has no answer to go on from"
                raise Refused(problem, "previous_response_id")
            parts.append(place_items([*kept.input, *kept.response["output"]], before=True))
            if len(parts) > _LONGEST_CHAIN:
                problem = f"the conversation has more than {_LONGEST_CHAIN:,} responses"
                raise Refused(problem, "previous_response_id", "Begin a new one, with a summary as its input.")
            seen = kept.response["previous_response_id"]
        return [placed for part in reversed(parts) for placed in part]

    async def delete(self, id: str, reach: Reach) -> None:
        """Forget the response. Raises `Refused` 404."""
        await self.load(id, reach)
        await self._memory.delete(id)


def _read_kept(data: bytes) -> Kept | None:
    try:
        return msgspec.json.decode(data, type=_Data).note
    except msgspec.MsgspecError:
        return None  # a session of another kind, under such a name
