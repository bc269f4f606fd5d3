"""Edits of a chat at the end of a session: histories stay valid, and no message is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agno_rt import Message, Runtime, ToolCall
from agno_rt.cli.run_agent.session_edits import append_interrupted, drop_last_exchange, interrupted_messages
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError, Forbidden, UsageError

ASKED, ANSWERED = Message("user", "one"), Message("assistant", "1: one")
CALLING = Message("assistant", "Let me see.", (ToolCall("1", "look"),))
RESULT = Message("tool", "seen", (), "1", "look")


@pytest.mark.parametrize(
    ("said", "partial", "kept"),
    [
        ((ASKED,), "", []),
        ((), "", []),
        ((ASKED,), "So ", [ASKED, Message("assistant", "So\n\n[interrupted]")]),
        ((Message("system", "Be kind."), ASKED), "So", [ASKED, Message("assistant", "So\n\n[interrupted]")]),
        ((ASKED, CALLING, RESULT), "", [ASKED, CALLING, RESULT, Message("assistant", "[interrupted]")]),
        ((ASKED, CALLING, RESULT), "Let me see.", [ASKED, CALLING, RESULT, Message("assistant", "[interrupted]")]),
        ((ASKED, ANSWERED), "1: one", [ASKED, ANSWERED]),
        ((ASKED,), "```py\nx", [ASKED, Message("assistant", "```py\nx\n```\n\n[interrupted]")]),
        ((ASKED,), "```\nx\n```", [ASKED, Message("assistant", "```\nx\n```\n\n[interrupted]")]),
    ],
)
def test_what_is_kept_of_an_interrupted_run(said: Sequence[Message], partial: str, kept: list[Message]) -> None:
    """Finished turns stay, with the last text marked outside code blocks; without any text nothing stays."""
    assert interrupted_messages(said, partial) == kept


@pytest.mark.parametrize("memory", ["memory:", "sqlite:///kept.db"])
async def test_the_last_exchange_is_dropped(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier messages stay, with the session's title, agent and data; no copy is left behind."""
    monkeypatch.chdir(tmp_path)
    async with Runtime(memory=memory) as runtime:
        store = runtime.memory
        await store.append("s", [ASKED, ANSWERED], version=0, user="ann", data=b"state", agent="echo")
        await append_interrupted(store, "s", [Message("user", "two"), CALLING, RESULT], user="ann", agent="echo")
        await store.rename("s", "Numbers")

        with pytest.raises(Forbidden):
            await drop_last_exchange(store, "s", "bob", None)
        dropped = await drop_last_exchange(store, "s", "ann", None)
        left, [info] = await store.load("s"), await store.sessions()

        assert list(dropped) == [Message("user", "two"), CALLING, RESULT]
        assert (list(left.messages), left.user, left.data) == ([ASKED, ANSWERED], "ann", b"state")
        assert (info.id, info.title, info.agent) == ("s", "Numbers", "echo")

        assert await drop_last_exchange(store, "s", "ann", 2) == (ASKED, ANSWERED)
        with pytest.raises(UsageError, match="no answer to take back"):
            await drop_last_exchange(store, "s", "ann", None)
        assert await store.sessions() == []


class Full(InProcessMemory):
    """A memory with room for three appends."""

    appends = 0

    async def append(self, session: str, messages: Sequence[Message], **more: Any) -> int:
        """Add the messages while there is room."""
        self.appends += 1
        if self.appends > 3:
            raise BackendError("the disk is full")
        return await super().append(session, messages, **more)


async def test_what_cannot_be_written_anew_is_there_as_a_copy() -> None:
    """If the store fails between the two steps, the error names the session with all messages."""
    store = Full()
    await store.append("s", [ASKED, ANSWERED], version=0)
    await store.append("s", [Message("user", "two"), ANSWERED], version=1)

    with pytest.raises(BackendError, match=r"the disk is full; the whole conversation is kept as session s\.copy1"):
        await drop_last_exchange(store, "s", None, None)

    assert len((await store.load("s.copy1")).messages) == 4
