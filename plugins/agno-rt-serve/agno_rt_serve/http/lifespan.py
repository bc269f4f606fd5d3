"""ASGI's lifespan: lets an application start before the first request and stop after the last. Knows no sockets."""

from __future__ import annotations

from typing import Any

import trio

from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import leaves, must_pass, named
from agno_rt_serve.http.asgi import ASGIApp, Message, Scope

__all__ = ["Lifespan"]

# Seconds for the application to stop.
_SHUTDOWN = 10.0


class Lifespan:
    """The lifespan of an application: `run` it in a task, await `startup`, serve, await `shutdown`.

    `state` is the application's, for each request's scope. `failure` is the error that kept the application from
    starting. An application that fails before the first lifespan event does not know lifespans: no `failure` then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self.failure: AgnoError | None = None
        self._app = app
        self._asked = 0
        self._started = trio.Event()
        self._stop = trio.Event()
        self._ended = trio.Event()

    async def run(self) -> None:
        """Run the application for its lifespan."""
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as exc:
            if must_pass(exc):
                raise
            if self._asked and not self._started.is_set():
                self._fail_with(exc)
        finally:
            self._started.set()
            self._ended.set()

    async def startup(self) -> bool:
        """Wait until the application has started or failed. Return True if started."""
        await self._started.wait()
        return self.failure is None

    async def shutdown(self) -> None:
        """Let the application stop, within bounds."""
        self._stop.set()
        with trio.move_on_after(_SHUTDOWN):
            await self._ended.wait()

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await self._stop.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.failed":
            self._fail(message.get("message", ""))
        if kind.startswith("lifespan.startup."):
            self._started.set()
        elif kind.startswith("lifespan.shutdown."):
            self._ended.set()

    def _fail_with(self, exc: BaseException) -> None:
        causes = list(leaves(exc))
        if len(causes) == 1 and isinstance(causes[0], AgnoError):
            self.failure = causes[0]  # says by itself what is wrong, such as a setting
        else:
            self._fail(named(exc))

    def _fail(self, why: str) -> None:
        self.failure = UsageError(
            f"the application failed to start: {why}",
            hint="The server answers requests only once the application's lifespan startup is complete.",
        )
