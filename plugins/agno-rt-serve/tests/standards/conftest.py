"""A server in a thread for each module, for synchronous clients and for other programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from agno_rt_serve.app import App
from agno_rt_serve.http.server import Server
from agno_rt_serve.settings import Settings

from agno_rt import Runnable, Runtime
from agno_rt.config import Config
from agno_rt.hookspecs import hookimpl
from agno_rt.knowledge import Embedder
from agno_rt.plugins import PluginHost
from agno_rt.project import Project
from agno_rt.testing import WordEmbedder

PATIENCE = 30.0


class Words:
    """A plugin with embedders that count words: `test:words`, or `test:words@16` for vectors of 16 numbers."""

    @hookimpl
    def agno_rt_register_embedders(self, register: Any) -> None:
        """Offer the embedders."""
        register("*", self.make)

    def make(self, rest: str, settings: Any) -> Embedder:
        """Return the embedder; `test:short` cuts texts at two words."""
        name, _, dimensions = rest.partition("@")
        most = 2 if name == "short" else None
        return WordEmbedder(int(dimensions or 64), name=f"test:{rest}", max_tokens=most)


class _EntryPoint(SimpleNamespace):
    dist = None

    def load(self) -> object:
        """Return the plugin."""
        return Words()


Begin = Callable[..., str]


@pytest.fixture(scope="module")
def serve_in_thread() -> Iterator[Begin]:
    """Serve runnables until the module is over: `serve_in_thread(agent, ..., config=, **settings)` returns the URL."""
    stops: list[Callable[[], None]] = []

    def begin(*runnables: Runnable, config: Config | None = None, memory: str = "memory:", **settings: Any) -> str:
        ready = threading.Event()
        addresses: list[Any] = []

        def announce(found: Sequence[Any]) -> None:
            addresses.extend(found)
            ready.set()

        async def serve() -> None:
            points: list[Any] = [each for each in entry_points(group="agno_rt") if each.name in ("memory", "sqlite")]
            points.append(_EntryPoint(name="test", value="test"))
            knowledge = (config or Config()).settings
            async with Runtime(plugins=PluginHost(points), memory=memory, settings=knowledge) as runtime:
                known = Settings(**{"port": 0, "grace": 1.0} | settings)
                project = Project("agents.py", {each.name: each for each in runnables}, config or Config())
                app = App(project, runtime, known)
                server = Server(app, known, cancel_runs=app.cancel_runs)
                token = trio.lowlevel.current_trio_token()
                stops.append(lambda: token.run_sync_soon(server.abort))
                await server.serve(announce=announce)

        thread = threading.Thread(target=trio.run, args=(serve,), daemon=True)
        thread.start()
        assert ready.wait(PATIENCE)
        stops.append(lambda: thread.join(PATIENCE))
        return f"http://127.0.0.1:{addresses[0][1]}"

    yield begin
    for stop in stops:
        stop()
