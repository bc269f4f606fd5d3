"""The page of the comparison, made of the logs of the trials. Pure: results in, Markdown out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.results import Results as Peers
from benchmarks.peers.rows import ROWS
from benchmarks.peers.table import figure

__all__ = ["Log", "calls", "cell", "report"]

Log = Sequence[tuple[float, str]]
"""Seconds since the first line, and the line."""

TITLES = {"agno_rt": "agno_rt", "agno": "Agno", "pydantic_ai": "pydantic-ai", "langgraph": "LangGraph"}
STEPS = {
    "cancel": "the run is cancelled",
    "cancel_thread": "the run is cancelled, its blocking tool in a thread",
    "cancel_by_id": "the run is cancelled by its id (`acancel_run`)",
    "cancel_by_token": "the run is cancelled by its `CancellationToken`",
    "kill": "killed in the middle of `right`, then resumed",
    "approve": "killed while it waited; one process approves",
    "approve_twice": "killed while it waited; two processes approve at once",
}

WAYS = {
    "cancel": "by the task or the run",
    "cancel_thread": "with a tool in a thread",
    "cancel_by_id": "by the run's id",
    "cancel_by_token": "by a token",
}


def report(results: Mapping[str, Any], peers: Peers) -> str:
    """Render the versions, a table with a line for each trial, and the logs behind the table."""
    frameworks = {name: results["frameworks"][name] for name in TITLES if name in results["frameworks"]}
    versions = "; ".join(
        f"{TITLES[name]} ({', '.join(f'{package} {version}' for package, version in one['versions'].items())})"
        for name, one in frameworks.items()
    )
    parts = [
        f"Run on {results['date']} by `make compare`, CPython {results['python']}: {versions}.",
        _render_table(frameworks, peers),
        "\n\n".join(_render_logs(TITLES[name], one["logs"]) for name, one in frameworks.items()),
    ]
    return "\n\n".join(parts)


def calls(log: Log, tool: str) -> int:
    """Count the calls of the tool in the whole trial, over all processes."""
    return sum(line == f"{tool} called" for _, line in log)


def cell(trial: str, log: Log) -> str:
    """Describe the outcome of a trial in a few words."""
    if trial.startswith("cancel"):
        return _judge_cancel(log)
    if trial == "kill":
        return _judge_kill(log)
    return _judge_approval(log)


def _render_table(frameworks: Mapping[str, Any], peers: Peers) -> str:
    trials = (("cancel", "cancel"), ("kill -9", "kill"), ("one approves", "approve"), ("two approve", "approve_twice"))
    lines = [["", *(TITLES[name] for name in frameworks)], ["---"] * (len(frameworks) + 1)]
    for title, trial in trials:
        row = [f"**{title}**"]
        for one in frameworks.values():
            names = [name for name in one["logs"] if name.startswith("cancel")] if trial == "cancel" else [trial]
            row.append(
                "<br>".join(
                    (f"{WAYS[name]}: " if len(names) > 1 else "") + cell(name, one["logs"][name]) for name in names
                )
            )
        lines.append(row)
    lines.append(["**type of the answer**, to mypy", *(f"`{one['type']}`" for one in frameworks.values())])
    lines.append(
        [f"**a simple run**, by `make peers` of {peers.date}", *(_render_cost(name, peers) for name in frameworks)]
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _render_cost(name: str, peers: Peers) -> str:
    row = next(row for row in ROWS if row.name == "run")
    return figure(peers, row, name) or "not measured"


def _judge_cancel(log: Log) -> str:
    asked, returned = _find_time(log, "cancel"), _find_time(log, "returned")
    before = _list_lines_before(log, "returned")
    if "not back after 5 s" in before:
        return "not back after 5 s; the asynchronous tool still runs"
    told = f"back after {returned - asked:.1f} s; the asynchronous tool has cleaned up"
    if "wait cleaned up" not in before:
        told = f"back after {returned - asked:.1f} s; the asynchronous tool has not cleaned up"
    if "block ended" in _list_lines(log):
        return told + f", the blocking one runs on for {_find_time(log, 'block ended') - returned:.1f} s"
    return told + ", the blocking one is stopped"


def _judge_kill(log: Log) -> str:
    counts = ", ".join(f"`{name}` {calls(log, name)}" for name in ("first", "left", "right"))
    if not any(line.startswith("answered") for line in _list_lines(log)):
        return f"not resumed; calls: {counts}"
    doubt = "the model is told of right that its outcome is not known" in _list_lines(log)
    told = "the model is told that its outcome is not known" if doubt else "the model is told nothing"
    return f"calls: {counts}; of the call that was cut off {told}"


def _judge_approval(log: Log) -> str:
    refused = [line for line in _list_lines(log) if line.startswith("raised ")]
    told = f"`pay` called {_name_count(calls(log, 'pay'))}"
    if refused:
        told += f"; the other process: `{refused[0].removeprefix('raised ').partition(':')[0]}`"
    return told


def _render_logs(title: str, logs: Mapping[str, Log]) -> str:
    blocks = [f"{STEPS[name]}:\n\n```text\n{_render_log(log)}\n```" for name, log in logs.items()]
    return f"### {title}\n\n" + "\n\n".join(blocks)


def _render_log(log: Log) -> str:
    return "\n".join(f"{at:5.1f} s  {line[:100]}" for at, line in log)


def _list_lines(log: Log) -> list[str]:
    return [line for _, line in log]


def _list_lines_before(log: Log, line: str) -> list[str]:
    lines = _list_lines(log)
    return lines[: lines.index(line)] if line in lines else lines


def _find_time(log: Log, line: str) -> float:
    return next((at for at, text in log if text == line), float("nan"))


def _name_count(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
