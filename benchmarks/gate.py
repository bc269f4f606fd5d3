"""Holds every exact count to the recorded baseline: `python -m benchmarks.gate`; `--record "reason"` sets it.

A count that grows fails, unless the baseline was changed as well and gives a reason. The baseline lies in
`baseline.toml`, one table for each minor version of Python, since each counts differently.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from agno_rt.errors import UsageError

from .counted import Count, counts

__all__ = ["BASELINE", "Entry", "main"]

BASELINE = Path(__file__).with_name("baseline.toml")
HELD_ON = "3.11"
"""The version of Python that must have a baseline in CI."""
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
RECORD = 'python -m benchmarks.gate --record "why"'
HEAD = """\
# The exact counts that `make gate` holds, by the minor version of Python. Change them by `python -m benchmarks.gate
# --record "why"`, in the commit that changes the count: a count may grow only together with a new reason.
"""

Baseline = Mapping[str, "Entry"]


@attrs.frozen
class Entry:
    """The record of a count: the value, the unit, and the reason for the value or for the last change."""

    value: int
    unit: str
    reason: str


@attrs.frozen
class Before:
    """The baseline of an earlier commit."""

    revision: str
    entries: Baseline


def main(argv: Sequence[str] | None = None) -> int:
    """Hold the counts to the baseline, or record them. Return the exit code: 0 if all hold, 1 if not, 2 for misuse."""
    options = _make_parser().parse_args(argv)
    try:
        recorded = read(options.baseline)
        measured = _read_measured(options.measured) if options.measured else counts()
        if options.record is not None:
            return _record_counts(options.baseline, recorded, measured, options.record)
        return _hold_counts(options.baseline, recorded, measured)
    except UsageError as exc:
        print(f"error: {exc}\nhint: {exc.hint}", file=sys.stderr)
        return 2


def read(path: Path) -> dict[str, dict[str, Entry]]:
    """Read the baselines in a file by the version of Python; none if there is no file. Raises `UsageError`."""
    return _parse_baselines(path.read_text(encoding="utf-8"), str(path)) if path.exists() else {}


def problems(measured: Mapping[str, Count], recorded: Baseline) -> Iterator[str]:
    """Yield the faults of the measured counts, compared with the recorded ones."""
    for name, count in measured.items():
        entry = recorded.get(name)
        if entry is None:
            yield f"{name}: {count.value} {count.unit} measured, none recorded. Record it: {RECORD}"
        elif entry.unit != count.unit:
            yield f"{name}: measured in {count.unit}, recorded in {entry.unit}. Record it: {RECORD}"
        elif count.value > entry.value:
            grown = (
                f"{entry.value} {entry.unit} recorded, {count.value} measured: it grew by {count.value - entry.value}"
            )
            yield f"{name}: {grown}. Make it cheaper, or record it with the reason: {RECORD}"
    for name in recorded.keys() - measured.keys():
        yield f"{name}: recorded, but measured no more. Bring its benchmark back, or record without it: {RECORD}"
    for name, entry in recorded.items():
        if not entry.reason.strip():
            yield f"{name}: recorded without a reason. Write why it is {entry.value} {entry.unit}"


def grown_silently(recorded: Baseline, before: Before) -> Iterator[str]:
    """Yield the counts whose record grew since an earlier commit, with the same reason as then."""
    for name, entry in recorded.items():
        then = before.entries.get(name)
        if then is not None and entry.value > then.value and entry.reason == then.reason:
            change = f"recorded as {then.value} {then.unit} at {before.revision} and as {entry.value} now"
            yield f"{name}: {change}, with the same reason. Say why it grew: {RECORD}"


def _hold_counts(path: Path, baselines: Mapping[str, Baseline], measured: Mapping[str, Count]) -> int:
    recorded = baselines.get(VERSION)
    if recorded is None:
        must = VERSION == HELD_ON and os.environ.get("CI") == "true"
        print(f"{path.name} has no baseline for Python {VERSION}" + (f". Record one: {RECORD}" if must else "."))
        return int(must)
    wrong = list(problems(measured, recorded))
    for before in _load_befores(path):
        wrong += [problem for problem in grown_silently(recorded, before) if problem not in wrong]
    for problem in wrong:
        print(f"error: {problem}", file=sys.stderr)
    for name, count in measured.items():
        entry = recorded.get(name)
        if entry is not None and entry.unit == count.unit and count.value < entry.value:
            print(f"{name} fell from {entry.value} to {count.value} {count.unit}. Hold it there: {RECORD}")
    if not wrong:
        print(f"{len(measured)} exact counts hold on Python {VERSION}.")
    return int(bool(wrong))


def _record_counts(path: Path, baselines: Mapping[str, Baseline], measured: Mapping[str, Count], reason: str) -> int:
    if not reason.strip():
        raise UsageError("--record has no reason", hint='Say why the counts are what they are: --record "why".')
    old = baselines.get(VERSION, {})
    new: dict[str, Entry] = {}
    for name, count in sorted(measured.items()):
        then = old.get(name)
        same = then is not None and (then.value, then.unit) == (count.value, count.unit)
        new[name] = then if same and then is not None else Entry(count.value, count.unit, reason.strip())
        if not same:
            print(f"{name}: {'new' if then is None else then.value} -> {count.value} {count.unit}")
    path.write_text(_render_baselines({**baselines, VERSION: new}), encoding="utf-8")
    return 0


def _render_baselines(baselines: Mapping[str, Baseline]) -> str:
    lines = [HEAD]
    for version, entries in sorted(baselines.items()):
        for name, entry in entries.items():
            unit, reason = (json.dumps(text, ensure_ascii=False) for text in (entry.unit, entry.reason))
            lines.append(f'["{version}"."{name}"]\nvalue = {entry.value}\nunit = {unit}\nreason = {reason}\n')
    return "\n".join(lines)


def _parse_baselines(text: str, place: str) -> dict[str, dict[str, Entry]]:
    try:
        return {
            version: {name: Entry(int(entry["value"]), entry["unit"], entry["reason"]) for name, entry in table.items()}
            for version, table in tomllib.loads(text).items()
        }
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, ValueError) as exc:
        hint = "Each count is a table with value, unit and reason; take the file from the last commit, and record."
        raise UsageError(f"{place} is not a baseline: {exc!r}", hint=hint) from exc


def _load_befores(path: Path) -> Iterator[Before]:
    """Yield the baselines of the last commit, the commit before, and the beginning of the branch, if available."""
    for revision in ("HEAD", "HEAD^", _run_git(path, "merge-base", "HEAD", "origin/main")):
        text = revision and _run_git(path, "show", f"{revision}:./{path.name}")
        if text:
            yield Before(revision[:12], _parse_baselines(text, f"{path.name} at {revision}").get(VERSION, {}))


def _run_git(path: Path, *arguments: str) -> str:
    """Return git's output, or "" if git fails: without git, outside a repository, in a young or shallow one."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=path.parent, capture_output=True, encoding="utf-8", check=False, timeout=60
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read_measured(path: Path) -> dict[str, Count]:
    return {name: Count(*pair) for name, pair in json.loads(path.read_text(encoding="utf-8")).items()}


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.gate", description="Hold the exact counts to the baseline.")
    parser.add_argument("--record", metavar="REASON", help="rewrite the baseline; what changed gets this reason")
    parser.add_argument("--baseline", type=Path, default=BASELINE, metavar="FILE", help="another baseline")
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help='counts to take instead of measuring: JSON, {"name": [value, "unit"]}',
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
