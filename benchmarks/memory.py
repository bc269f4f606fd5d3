"""The in-process memory backend: appending must not depend on how much is there."""

from __future__ import annotations

import trio

from agno_rt import Message
from agno_rt.defaults.memory import InProcessMemory

MESSAGE = (Message("user", "hello"),)


class Append:
    """One message appended to a session of `messages`."""

    params = (10, 100_000)
    param_names = ("messages",)

    def setup(self, messages: int) -> None:
        """Fill the session."""
        self.memory = InProcessMemory()
        self.version = trio.run(self._fill, messages)

    async def _fill(self, messages: int) -> int:
        return await self.memory.append("session", MESSAGE * messages, version=0)

    async def _append(self, times: int) -> None:
        for _ in range(times):
            self.version = await self.memory.append("session", MESSAGE, version=self.version)

    def time_1000_appends(self, messages: int) -> None:
        """A thousand appends. Nothing in them waits, so the coroutine is driven by hand, without trio."""
        try:
            self._append(1000).send(None)
        except StopIteration:
            return
        raise AssertionError("the in-process backend waited")
