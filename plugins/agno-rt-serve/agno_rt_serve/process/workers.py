"""Several processes that serve on one port, and their supervisor. Knows processes and sockets, no HTTP.

The parent listens and serves nothing. Each worker is a fresh process that inherits the listening sockets: if a worker
ends, the others accept the waiting connections.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import click
import trio

from agno_rt.errors import AgnoError
from agno_rt_serve.process.line_writer import make_lock, share_lock
from agno_rt_serve.process.signals import stop_requests
from agno_rt_serve.process.watch import Look, look, watch
from agno_rt_serve.process.worker import BUSY, CLOSED, HAND_OVER, READY, Orders
from agno_rt_serve.settings import Settings

__all__ = ["Supervisor", "WorkerFailed"]

# If a worker served for so many seconds before it ended, its successor starts at once.
_PROVEN = 10.0
# Pauses before a worker is started again double up to so many seconds.
_LONGEST_PAUSE = 30.0
# A worker may fail to start so often in a row while no other serves; then the supervisor gives up.
_ATTEMPTS = 4
# Seconds after the grace period until a worker is killed: time for last words and the application's shutdown.
_OVERTIME = 15.0


class WorkerFailed(AgnoError):
    """A worker cannot serve, or cannot stop."""

    code = "worker"


@attrs.define(eq=False)
class _Started:
    """A worker that was started. `settled` is set once it serves, or has ended; then `ended` is set as well.

    `closed` is set once the worker accepts no new connection any more.

    A `successor` takes its place, and serves already. `left` is set once the worker has one, or has ended.
    """

    number: int
    process: trio.Process
    channel: trio.SocketStream
    orders: Orders
    began: float
    ready: bool = False
    settled: trio.Event = attrs.Factory(trio.Event)
    closed: trio.Event = attrs.Factory(trio.Event)
    left: trio.Event = attrs.Factory(trio.Event)
    ended: trio.Event = attrs.Factory(trio.Event)
    successor: _Started | None = None

    def signal(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def hand_over(self) -> None:
        """Tell the worker, which has settled, that another serves in its place."""
        try:
            await self.channel.send_all(HAND_OVER)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it has ended

    def describe_end(self) -> str:
        code = self.process.returncode
        assert code is not None
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"worker {self.number} (process {self.process.pid}) {how}"


class Supervisor:
    """Keeps the workers going until SIGTERM or SIGINT, which reach the workers as SIGTERM.

    `source` is the project to serve, as on the command line; in `folder` workers find each other. `memory` is a URL in
    place of the project's. The first worker starts alone: a fault that keeps it from serving would keep the others too,
    and is said once. On SIGHUP one worker after the other is replaced: its successor serves before it is told to stop.
    A change in the folder `watched` does the same.
    """

    def __init__(
        self,
        source: str | None,
        settings: Settings,
        listeners: Sequence[socket.socket],
        folder: str = "",
        watched: Path | None = None,
        memory: str = "",
    ) -> None:
        self._source = source
        self._settings = settings
        self._listeners = listeners
        self._folder = folder
        self._watched = watched
        self._memory = memory
        self._lock = make_lock()
        self._workers: set[_Started] = set()
        self._current: dict[int, _Started] = {}
        self._settled: dict[int, trio.Event] = {}
        self._reload = trio.Event()
        self._stopping = trio.Event()
        self._told_busy = False
        self._failure: AgnoError | None = None
        self._exit_code = 0

    async def run(self, announce: Callable[[], None]) -> int:
        """Start the workers, call `announce` once all of them serve, and keep them going until told to stop.

        Returns the exit code: not 0 if a worker could not start, and said why itself. Raises `WorkerFailed` if no
        worker said why, or if a worker had to be killed at the end.
        """
        async with trio.open_nursery() as watching:
            share_lock(None if self._lock is None else self._lock.fileno())
            await watching.start(self._obey_signals)
            watching.start_soon(self._limit_stopping)
            # Before the workers load the code: a change while they start is a change.
            seen: Look = {} if self._watched is None else await trio.to_thread.run_sync(look, self._watched)
            try:
                async with trio.open_nursery() as keeping:
                    await self._start_all(keeping)
                    if not self._stopping.is_set():
                        announce()
                        watching.start_soon(self._obey_reloads, keeping)
                        if self._watched is not None:
                            watching.start_soon(watch, self._watched, seen, self._tell_changed)
            finally:
                self._signal(signal.SIGKILL)
            watching.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        return self._exit_code

    def reload(self) -> None:
        """Replace the workers, one after the other, by new ones, which load the code anew."""
        self._reload.set()

    def _tell_changed(self, paths: list[str]) -> None:
        shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        click.echo(f"Changed: {shown}. Starting anew.", err=True)
        self.reload()

    async def _start_all(self, nursery: trio.Nursery) -> None:
        for number in range(1, self._settings.workers + 1):
            self._settled[number] = trio.Event()
            nursery.start_soon(self._keep, number, nursery)
            if number == 1:
                await self._settled[number].wait()
            if self._stopping.is_set():
                return
        for settled in self._settled.values():
            await settled.wait()

    async def _keep(self, number: int, nursery: trio.Nursery) -> None:
        """Keep a worker with this number going, until all are told to stop."""
        settled, failures = self._settled[number], 0
        while not self._stopping.is_set():
            worker = await self._spawn(number, nursery)
            if worker is None:
                break
            self._current[number] = worker
            await worker.settled.wait()
            if worker.ready:
                settled.set()
            await worker.left.wait()
            while worker.successor is not None:
                # The former worker may take long to end its last runs. Its successor is looked after meanwhile.
                worker = worker.successor
                await worker.left.wait()
            if self._stopping.is_set():
                break
            proven = worker.ready and trio.current_time() - worker.began > _PROVEN
            failures = 0 if proven else failures + 1
            if not settled.is_set() or (failures >= _ATTEMPTS and not self._any_ready()):
                self._give_up(worker)
            else:
                await self._pause(worker, failures)
        settled.set()

    async def _obey_reloads(self, nursery: trio.Nursery) -> None:
        while not self._stopping.is_set():
            await self._reload.wait()
            self._reload = trio.Event()
            old = list(self._current.values())
            for number in range(1, self._settings.workers + 1):
                if self._stopping.is_set() or not await self._replace(number, nursery):
                    break
            else:
                for worker in old:
                    await worker.closed.wait()
                click.echo("All workers are new.", err=True)

    async def _replace(self, number: int, nursery: trio.Nursery) -> bool:
        """Start a successor of the worker, and let the worker hand over to it. Return False if it does not serve."""
        new = await self._spawn(number, nursery)
        if new is None:
            return False
        await new.settled.wait()
        old = self._current[number]
        # The old one may have died and been started again just now. A worker that still reads its orders would not
        # understand that it has to hand over, and stay.
        await old.settled.wait()
        if new.ended.is_set():
            if not self._stopping.is_set():
                why = "before it served" if not new.ready else "at once"
                click.echo(f"warning: the new {new.describe_end()} {why}; the old workers go on", err=True)
            return False
        if old.ended.is_set():
            # It ended by itself meanwhile, and its place is taken: the new worker is one too many.
            await new.hand_over()
            return True
        self._current[number] = old.successor = new
        old.left.set()
        await old.hand_over()
        return True

    async def _spawn(self, number: int, nursery: trio.Nursery) -> _Started | None:
        """Start a worker, and a task that attends to it. Return None if that fails: then all stop."""
        lock = None if self._lock is None else self._lock.fileno()
        sockets = tuple(sock.fileno() for sock in self._listeners)
        orders = Orders(number, sockets, self._settings, lock, self._folder, self._memory)
        ours, theirs = socket.socketpair()
        with theirs:
            channel = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            source = () if self._source is None else (self._source,)
            try:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "agno_rt.cli", "serve", "--worker", str(theirs.fileno()), *source],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *orders.listeners, *(() if lock is None else (lock,))),
                    # The parent passes on a terminal's Ctrl-C; a worker that got it twice would stop at once.
                    process_group=0,
                )
            except OSError as exc:
                await channel.aclose()
                if not self._stopping.is_set():
                    self._failure = WorkerFailed(f"worker {number} cannot be started: {exc}")
                    self._stop()
                return None
        worker = _Started(number, process, channel, orders, trio.current_time())
        self._workers.add(worker)
        if self._stopping.is_set():
            # The order to stop came while the process was started, and so missed this worker.
            worker.signal(signal.SIGKILL)
        nursery.start_soon(self._attend, worker)
        return worker

    async def _attend(self, worker: _Started) -> None:
        """Give the worker orders, read its reports, and wait for its end."""
        async with worker.channel:
            try:
                await worker.channel.send_all(worker.orders.line())
                async for said in worker.channel:
                    if READY in said:
                        worker.ready = True
                        worker.settled.set()
                    if CLOSED in said:
                        worker.closed.set()
                    if BUSY in said:
                        self._tell_busy()
            except trio.BrokenResourceError:
                pass  # the worker ended while it was spoken to
            await worker.process.wait()
        self._workers.discard(worker)
        worker.settled.set()
        worker.closed.set()
        worker.left.set()
        worker.ended.set()

    async def _pause(self, worker: _Started, failures: int) -> None:
        """Warn that the worker is started again: at once, or after a longer and longer pause if it keeps failing."""
        seconds = 0.0 if failures < 2 else min(2.0 ** (failures - 2), _LONGEST_PAUSE)
        when = f"in {seconds:g} s" if seconds else "at once"
        click.echo(f"warning: {worker.describe_end()}; it is started again {when}", err=True)
        with trio.move_on_after(seconds):
            await self._stopping.wait()

    def _any_ready(self) -> bool:
        return any(worker.ready for worker in self._workers)

    def _give_up(self, worker: _Started) -> None:
        code = worker.process.returncode or 0
        if self._settled[worker.number].is_set() or code <= 0:
            why = f"{worker.describe_end()} before it could serve, and no other worker serves"
            self._failure = WorkerFailed(why, hint="What it printed says why. Was there enough memory?")
        else:
            self._exit_code = code
        self._stop()

    def _tell_busy(self) -> None:
        if self._stopping.is_set() and not self._told_busy:
            self._told_busy = True
            click.echo("Stopping: waiting for running requests. A second signal stops at once.", err=True)

    async def _obey_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        with stop_requests(self.reload) as requests:
            task_status.started()
            async for asked in requests:
                if asked == 1:
                    self._stop()
                elif asked == 2:
                    # Not SIGTERM again: two pending signals of the same kind reach a worker as one.
                    self._signal(signal.SIGINT)
                else:
                    self._kill()

    def _stop(self) -> None:
        """Refuse new connections, and tell the workers once to stop."""
        if not self._stopping.is_set():
            self._stopping.set()
            for sock in self._listeners:
                sock.close()
            self._signal(signal.SIGTERM)

    async def _limit_stopping(self) -> None:
        await self._stopping.wait()
        await trio.sleep(self._settings.grace + _OVERTIME)
        self._kill()

    def _kill(self) -> None:
        for worker in self._workers:
            why = f"worker {worker.number} (process {worker.process.pid}) did not stop, and was killed"
            hint = "Something in it may block the event loop: a tool that computes for long belongs in a thread."
            self._failure = WorkerFailed(why, hint=hint)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.signal(number)
