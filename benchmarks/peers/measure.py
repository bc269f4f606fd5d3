"""Measures peers side by side: all their processes run at the same time, and take turns.

In each round of a row, each peer does the row once. The best round counts, since the rest of the machine only ever adds
time. A failed peer is reported as failed; the others go on. Knows no framework.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import attrs
import trio

from benchmarks.site.running import describe_machine

from .process import ROOT, Peer, PeerFailed, environment, opened
from .results import Results
from .rows import HTTP_ROWS, ROWS, Row
from .servers import Server, load_tool, server_kinds, serving
from .table import told

__all__ = ["Plan", "measure"]

_IMPORT = "import time\nstart = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"

_Found = TypeVar("_Found")


@attrs.frozen
class Plan:
    """The peers and rows to measure, and the time for them.

    `commands` start the peers' processes; `absent` has the reasons of missing peers. A round of a row should take a
    peer so many `seconds`: many short rounds find a quiet moment sooner than few long ones. If the rounds of any peer
    take longer than `slow`, the row has `few` rounds, for all peers: the best of more rounds is better by chance. An
    answer may take `limit` seconds. `python` has the interpreters of peers, for the rows with processes of their own.
    """

    commands: Mapping[str, Sequence[str]]
    rows: Sequence[Row] = ROWS
    rounds: int = 15
    few: int = 3
    seconds: float = 0.04
    slow: float = 1.5
    limit: float = 120.0
    python: Mapping[str, Path] = attrs.field(factory=dict)
    absent: Mapping[str, str] = attrs.field(factory=dict)


class _RowFailed(Exception):
    """Raised if the peer cannot do this row, but lives on. The text gives the reason."""


@attrs.define
class _Session:
    """A measuring: the plan, the remaining peers, and the results so far."""

    plan: Plan
    folder: Path
    say: Callable[[str], object]
    results: Results
    alive: dict[str, Peer] = attrs.field(factory=dict)

    def keep(self, row: Row, peer: str, **found: Any) -> None:
        """Add to the results of a peer in a row."""
        self.results.rows[row.name].setdefault(peer, {}).update(found)

    def record(self, row: Row, seen: Mapping[str, Sequence[float]]) -> None:
        """Keep the best of each peer's rounds, and the median."""
        for peer, each in seen.items():
            best = max(each) if row.unit == "a second" else min(each)
            self.keep(row, peer, best=best / row.parts, median=median(each) / row.parts)

    async def turn(self, row: Row, peer: str, asked: Awaitable[_Found]) -> _Found | None:
        """Return the peer's answer. A failure is kept, returns None, and ends the peer's part in the row."""
        try:
            return await asked
        except (_RowFailed, PeerFailed) as reason:
            self.keep(row, peer, failed=str(reason))
            self.say(f"  {peer} failed: {reason}")
            if isinstance(reason, PeerFailed) and peer in self.alive and row.name not in HTTP_ROWS:
                del self.alive[peer]
                self.results.peers[peer]["absent"] = f"failed in the row {row.text!r}: {reason}"
            return None


async def measure(plan: Plan, say: Callable[[str], object] = print, save: Path | None = None) -> Results:
    """Measure all rows of all peers by turns; with `save`, write the results so far there after each row."""
    machine = {name: fact for name, fact in describe_machine("").items() if fact}
    results = Results(time.strftime("%Y-%m-%d"), plan.rounds, machine)
    results.peers = {peer: {"absent": reason} for peer, reason in plan.absent.items()}
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(plan, Path(folder), say, results)
        async with AsyncExitStack() as stack:
            for name, command in plan.commands.items():
                await _open_peer(session, stack, name, command)
            for row in plan.rows:
                began = time.perf_counter()
                results.rows[row.name] = {}
                await (
                    _measure_servers
                    if row.name in HTTP_ROWS
                    else _measure_imports
                    if row.name == "import"
                    else _measure_asked
                )(session, row)
                say(f"{row.text} [{time.perf_counter() - began:.0f} s]: {told(results, row)}")
                if save is not None:
                    results.save(save)
    return results


async def _open_peer(session: _Session, stack: AsyncExitStack, name: str, command: Sequence[str]) -> None:
    try:
        peer = await stack.enter_async_context(opened(name, command, session.folder, session.plan.limit))
    except PeerFailed as reason:
        session.results.peers[name] = {"absent": f"failed: {reason}"}
        session.say(f"{name} failed: {reason}")
        return
    session.alive[name] = peer
    session.results.peers[name] = {"versions": dict(peer.about.get("versions", {}))}
    session.say(f"{name}: {', '.join(' '.join(one) for one in session.results.peers[name]['versions'].items())}")


async def _measure_asked(session: _Session, row: Row) -> None:
    """Measure a row by asking the peers."""
    plan = session.plan
    times: dict[str, int] = {}
    for name, peer in list(session.alive.items()):
        if note := peer.about.get("notes", {}).get(row.name):
            session.keep(row, name, note=note)
        if row.name in peer.about.get("rows", ()):
            count = await session.turn(row, name, _calibrate_row(peer, row, plan))
            if count is not None:
                times[name] = count
    seen: dict[str, list[float]] = {name: [] for name in times}
    # Bytes are exact, so one round is enough.
    at, rounds = 0, 1 if row.unit == "bytes" else plan.rounds
    while at < rounds:
        # Rounds alternate in direction, so that no peer is always measured after the same neighbour.
        for name in list(seen)[:: -1 if at % 2 else 1]:
            took = await session.turn(row, name, _measure_one(session.alive[name], row, times[name]))
            if took is None:
                del seen[name]
                continue
            seen[name].append(took)
            if row.unit == "seconds" and took * times[name] > plan.slow:
                rounds = min(rounds, max(plan.few, at + 1))  # the peers after this one have this round, too
        at += 1
    session.record(row, seen)


async def _measure_one(peer: Peer, row: Row, times: int) -> float:
    """Return the result for one operation of the row, asking for `times`."""
    answer = await peer.ask(f"ROW {row.name} {times}")
    if "error" in answer:
        raise _RowFailed(answer["error"])
    try:
        return float(answer["bytes"]) if row.unit == "bytes" else float(answer["seconds"]) / times
    except (KeyError, TypeError, ValueError):
        raise PeerFailed(f"answered {answer} to the row {row.name}") from None


async def _calibrate_row(peer: Peer, row: Row, plan: Plan) -> int:
    """Return how many operations make a round of the row. The search also warms the peer up."""
    most = int(peer.about.get("most", {}).get(row.name, 1_000_000))
    if row.unit == "bytes":
        return 1
    times = 1
    while True:
        one = await _measure_one(peer, row, times)
        wanted = round(plan.seconds / max(one, 1e-9))
        if one * times >= plan.seconds / 4 or times >= most:
            return max(1, min(most, wanted))
        times = min(most, max(2 * times, min(50 * times, wanted // 3)))


async def _measure_imports(session: _Session, row: Row) -> None:
    """Measure the import of each peer in fresh processes."""
    seen: dict[str, list[float]] = {}
    for name, peer in session.alive.items():
        if name in session.plan.python and "import" in peer.about:
            seen[name] = []
        else:
            session.keep(row, name, note="a compiled program imports nothing")
    for _ in range(min(session.plan.rounds, session.plan.few) + 1):
        for name in list(seen):
            took = await session.turn(
                row, name, _time_import(session.plan.python[name], session.alive[name].about["import"])
            )
            if took is None:
                del seen[name]
            else:
                seen[name].append(took)
    # The first round fills the caches, and does not count.
    session.record(row, {name: each[1:] for name, each in seen.items()})


async def _time_import(python: Path, line: str) -> float:
    command = [str(python), "-c", _IMPORT.format(line)]
    done = await trio.run_process(
        command, env=environment(), cwd=ROOT, capture_stdout=True, stderr=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise _RowFailed(f"`{line}` ended with status {done.returncode}")
    return float(done.stdout.split()[-1])


async def _measure_servers(session: _Session, row: Row) -> None:
    """Measure the servers, all of which run at the same time."""
    kinds = server_kinds(session.plan.python, HTTP_ROWS[row.name])
    if not load_tool():
        for name in kinds:
            session.keep(row, name, note="wrk, which makes the load, is not installed")
        return
    servers: dict[str, Server] = {}
    async with AsyncExitStack() as stack:
        for name, kind in kinds.items():
            up = stack.enter_async_context(serving(name, kind, session.folder))
            server = await session.turn(row, name, up)
            if server is not None:
                servers[name] = server
        seen: dict[str, list[float]] = {name: [] for name in servers}
        for at in range(min(session.plan.rounds, session.plan.few) + 1):
            for name in list(seen):
                took = await session.turn(row, name, servers[name].runs_a_second(3 if at else 1))
                if took is None:
                    del seen[name]
                else:
                    seen[name].append(took)
    # The first round warms the servers up, and does not count.
    session.record(row, {name: each[1:] for name, each in seen.items()})
