"""The pages of our own in a dashboard, as values turned into HTML: the opening page, and the list of commits.

Pure: results, words and facts come in, text goes out. Knows where asv's graphs are, and nothing of files or git.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby, product
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from .results import Result
from .words import Words

__all__ = ["Aim", "Commit", "Contents", "commits_page", "graph_link", "kind_of", "opening_page", "shown"]

GRAPHS = "graphs.html"

_TEMPLATE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
_TIMES = {"seconds": 1.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_KINDS = {
    "exact count": "How many calls, allocations, steps or bytes: the same each time on one version of Python. No noise "
    "can touch it, so any change comes from a commit. The gate of the continuous integration holds these.",
    "ratio": "How many times as long something takes as its floor: a bare object, a bare checkpoint, bare tasks. Both "
    "are measured by turns in one process, so a slow moment hits both: compare it between commits and machines.",
    "time": "How long one takes. It depends on the machine, and on its mood by as much as a factor of two within "
    "hours: look for steps that stay, and compare only within one machine.",
    "memory": "What is held, or the most that was. Nearly exact.",
    "rate": "How many in a second, so that more is better. Like a time, it is the machine's too.",
    "other": "What the words beside it say.",
}


@attrs.frozen
class Commit:
    """A measured commit: its subject, the name of its tag if it has one."""

    hash: str
    date: int
    subject: str
    tag: str = ""


@attrs.frozen
class Aim:
    """A row of what is to be reached, what the latest commit reaches, and the benchmark that tells of it.

    `page` is what the performance page says was measured, with its verdict there.
    """

    row: str
    goal: str
    measured: str = ""
    verdict: str = ""
    benchmark: str = ""
    params: tuple[str, ...] = ()
    page: str = ""
    page_verdict: str = ""


@attrs.frozen
class Contents:
    """What the opening page is made of.

    results     of the machine shown, oldest first
    benchmarks  as asv describes them, by name
    words       what they say of themselves, by name
    machine     the facts of the machine shown
    others      the names of the other machines
    commits     those measured, oldest first
    aims        what is to be reached
    page_day    when and on which commit the performance page was measured
    beside      more to show between the aims and the tables, as HTML
    """

    project: str
    results: Sequence[Result]
    benchmarks: Mapping[str, Mapping[str, Any]]
    words: Mapping[str, Words]
    machine: Mapping[str, Any]
    others: Sequence[str]
    commits: Sequence[Commit]
    aims: Sequence[Aim] = ()
    page_day: str = ""
    beside: str = ""


def opening_page(contents: Contents) -> str:
    """The page that a dashboard opens with."""
    title = f"{contents.project}: how fast, commit by commit"
    parts = [_opening(contents), _reading(contents), _aims(contents), contents.beside, _listing(contents)]
    parts += [*_tables(contents), _reproducing(contents)]
    return _TEMPLATE.substitute(
        title=escape(title), body=f"<h1>{escape(title)}</h1>\n" + "\n".join(filter(None, parts))
    )


def commits_page(project: str, commits: Sequence[Commit]) -> str:
    """The measured commits, newest first: where a point in one of asv's graphs leads."""
    title = f"{project}: the measured commits"
    rows = "\n".join(
        f'<tr id="{one.hash[:8]}"><td><code>{one.hash[:8]}</code></td><td>{_day(one.date)}</td>'
        f"<td>{escape(one.tag)}</td><td>{escape(one.subject)}</td></tr>"
        for one in reversed(commits)
    )
    table = f"<table><tr><th>commit<th>date<th>tag<th>subject</tr>\n{rows}\n</table>"
    back = '<nav><a href="index.html">What was measured</a></nav>'
    return _TEMPLATE.substitute(title=escape(title), body=f"<h1>{escape(title)}</h1>\n{back}\n{table}")


def graph_link(name: str, params: Mapping[str, str] | None = None) -> str:
    """Where asv's graph of the benchmark is."""
    asked = {f"p-{key}": value for key, value in (params or {}).items()}
    return f"{GRAPHS}#{quote(name)}" + (f"?{urlencode(asked, quote_via=quote)}" if asked else "")


def kind_of(benchmark: Mapping[str, Any], words: Words) -> str:
    """Which kind of number it is: a key of the list that the page explains."""
    unit = str(benchmark.get("unit", ""))
    if words.exact:
        return "exact count"
    if unit in ("x", "ratio", "checkpoints") or "ratio" in benchmark["name"] or "checkpoints" in benchmark["name"]:
        return "ratio"
    if unit.endswith("/s"):
        return "rate"
    if unit in _TIMES:
        return "time"
    return "memory" if "bytes" in unit or "memory" in str(benchmark.get("type")) else "other"


def shown(value: float | None, unit: str) -> str:
    """A value as people read it: `7.45 µs`, `1.03 x`, `104 bytes`."""
    if value is None:
        return "-"
    if unit in _TIMES:
        seconds = value * _TIMES[unit]
        for name, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
            if abs(seconds) >= size:
                return f"{_digits(seconds / size)} {name}"
        return f"{_digits(seconds / 1e-9)} ns"
    if unit == "bytes" and abs(value) >= 10_000:
        return f"{_digits(value / 1e6)} MB" if abs(value) >= 1e6 else f"{_digits(value / 1e3)} kB"
    name = {"ratio": "x", "unit": ""}.get(unit, unit)
    if value == 1 and not name.endswith("/s"):
        name = name.removesuffix("s")
    return f"{_digits(value)} {name}".rstrip()


def _opening(contents: Contents) -> str:
    commits, machine = contents.commits, contents.machine
    facts = {
        "Machine": machine.get("machine", ""),
        "Processor": f"{machine.get('cpu', '')}, {machine.get('num_cpu', '?')} cores",
        "Memory": machine.get("ram", ""),
        "System": machine.get("os", ""),
        "Python": machine.get("python", ""),
        "Commits": f"{len(contents.results)}, the latest {contents.results[-1].commit[:8]} "
        f"of {_day(contents.results[-1].date)}",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value)
    also = ""
    if contents.others:
        also = f"<p class=soft>The graphs have these machines too: {escape(', '.join(contents.others))}.</p>"
    return (
        f"<p>What {escape(contents.project)} costs, measured on {len(commits)} of its commits. Each line below is one "
        "benchmark: what it measures in words, the value on the latest commit, how it moved since the commit measured "
        "before, and its course. Follow a line to its graph, where a point is a commit.</p>\n"
        f'<nav><a href="{GRAPHS}#/">All graphs at a glance</a> <a href="{GRAPHS}#/summarylist">As a list</a> '
        f'<a href="{GRAPHS}#/regressions">Where it got slower</a> <a href="commits.html">The commits</a></nav>\n'
        f"<dl>{listed}</dl>{also}"
        "<p class=soft>The graphs are drawn by airspeed velocity (asv). Nothing here is loaded from outside.</p>"
    )


def _reading(contents: Contents) -> str:
    used = {kind_of(benchmark, contents.words[name]) for name, benchmark in contents.benchmarks.items()}
    items = "".join(
        f"<dt><span class=kind>{kind}</span></dt><dd>{text}</dd>" for kind, text in _KINDS.items() if kind in used
    )
    return (
        "<h2 id=reading>How to read it</h2>\n<p>Less is better everywhere, except for rates. Numbers are compared only "
        "with numbers of the same machine and the same version of a benchmark. The pictures of a course begin at "
        f"zero.</p>\n<dl>{items}</dl>"
    )


def _aims(contents: Contents) -> str:
    if not any(aim.benchmark in contents.benchmarks or aim.page for aim in contents.aims):
        return ""
    before = ["", *(aim.row for aim in contents.aims)]
    rows = "\n".join(_aim(contents, aim, aim.row == last) for aim, last in zip(contents.aims, before, strict=False))
    latest = contents.results[-1].commit[:8]
    page = f"<th class=number>performance page,<br>{escape(contents.page_day)}" if contents.page_day else ""
    return (
        "<h2 id=aims>What is to be reached</h2>\n<p>The goals of the project, and what is reached of them: on the "
        "latest commit of the graphs, where a number leads to its graph"
        + (
            "; and on the performance page, which is measured on its own and compares with other frameworks"
            * bool(page)
        )
        + ".</p>\n<div class=wide><table>"
        f"<tr><th>what<th>to reach<th class=number>commit {latest}{page}</tr>\n{rows}\n</table></div>"
    )


def _aim(contents: Contents, aim: Aim, goes_on: bool) -> str:
    row = "" if goes_on else _prose(aim.row)
    here = ""
    if aim.measured and aim.benchmark in contents.benchmarks:
        names = contents.benchmarks[aim.benchmark].get("param_names", ())
        chosen = dict(zip(names, aim.params, strict=False))
        here = f'<a href="{graph_link(aim.benchmark, chosen)}">{escape(aim.measured)}</a>'
    cells = f"<td class=number>{here}{_judged(aim.verdict)}</td>"
    if contents.page_day:
        cells += f"<td class=number>{escape(aim.page)}{_judged(aim.page_verdict)}</td>"
    return f"<tr{' class=more' if goes_on else ''}><td>{row}</td><td class=goal>{_prose(aim.goal)}</td>{cells}</tr>"


def _judged(verdict: str) -> str:
    kind = "good" if verdict == "holds" else "bad" if verdict.startswith(("short", "falls")) else "soft"
    return f"<div class={kind}>{escape(verdict)}</div>" if verdict else ""


def _listing(contents: Contents) -> str:
    files = sorted({name.partition(".")[0] for name in contents.benchmarks})
    links = " ".join(f'<a href="#{quote(file)}">{escape(_heading(file))}</a>' for file in files)
    return f"<h2>The tables</h2>\n<nav>{links}</nav>"


def _tables(contents: Contents) -> Iterable[str]:
    for file, names in groupby(sorted(contents.benchmarks), key=lambda name: name.partition(".")[0]):
        listed = list(names)
        text = contents.words[listed[0]].table
        yield f"<h2 id={quote(file)}>{escape(_heading(file))}</h2>\n<p>{_prose(text)}</p>"
        for group, members in groupby(listed, key=lambda name: name.rpartition(".")[0]):
            inside = list(members)
            heading = contents.words[inside[0]].group
            rows = "\n".join(row for name in inside for row in _rows(contents, name))
            if rows:
                yield (
                    (f"<h3 title={quote(group)}>{_prose(heading)}</h3>\n" if heading else "")
                    + "<div class=wide><table><tr><th>what<th>kind<th>with<th class=number>latest"
                    "<th class=number>since before<th>course</tr>\n" + rows + "</table></div>"
                )


def _rows(contents: Contents, name: str) -> Iterable[str]:
    benchmark, words = contents.benchmarks[name], contents.words[name]
    names = [str(param) for param in benchmark.get("param_names", ())]
    combinations = list(product(*benchmark.get("params", ())))
    course = _course(contents, name)
    if not course:
        return
    text = _prose(words.text or name.rpartition(".")[2].replace("_", " "))
    first = f'<a href="{graph_link(name)}" title="{escape(name)}">{text}</a>'
    kind = f"<span class=kind>{kind_of(benchmark, words)}</span>"
    for at, combination in enumerate(combinations):
        values = [row[at] for row in course if at < len(row) and row[at] is not None]
        given = ", ".join(f"{key} {str(value).strip(chr(39))}" for key, value in zip(names, combination, strict=False))
        if not values:
            continue
        yield (
            f"<tr{'' if first else ' class=more'}><td class=words>{first}</td><td>{kind}</td>"
            f"<td class=with>{escape(given)}</td>"
            f"<td class=number>{shown(values[-1], _unit(contents, name))}</td>"
            f"<td class=number>{_change(values, kind_of(benchmark, words))}</td><td>{_line(values)}</td></tr>"
        )
        first, kind = "", ""


def _course(contents: Contents, name: str) -> list[list[float | None]]:
    """The values of the benchmark as it is now, one list for each commit, oldest first."""
    version = contents.benchmarks[name].get("version")
    rows = [result.rows[name] for result in contents.results if name in result.rows]
    return [row.values for row in rows if row.values and row.version in (None, version)]


def _unit(contents: Contents, name: str) -> str:
    return str(contents.benchmarks[name].get("unit", ""))


def _change(values: Sequence[float | None], kind: str) -> str:
    if len(values) < 2 or not values[-2] or values[-1] is None:
        return "<span class=soft>first</span>" if len(values) < 2 else ""
    moved = values[-1] / values[-2] - 1
    # Below these, a time or a ratio moves by itself.
    if abs(moved) < {"exact count": 1e-9, "memory": 0.005, "ratio": 0.05}.get(kind, 0.15):
        return "<span class=soft>same</span>"
    better = (moved < 0) != (kind == "rate")
    return f"<span class={'good' if better else 'bad'}>{moved * 100:+.{1 if abs(moved) < 0.1 else 0}f} %</span>"


def _line(values: Sequence[float | None]) -> str:
    """The course as a small picture that begins at zero, so that what looks small is small."""
    known = [value for value in values if value is not None]
    top = max(*known, 0.0) or 1.0
    step = 100 / max(len(known) - 1, 1)
    points = [(2 + at * step, 22 - 20 * max(value, 0.0) / top) for at, value in enumerate(known)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        f'<svg width="106" height="24" role="img" aria-label="{len(known)} commits"><polyline points="{drawn}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/></svg>'
    )


def _reproducing(contents: Contents) -> str:
    return (
        "<h2>Measure it yourself</h2>\n"
        "<dl><dt><code>agno-rt bench</code></dt><dd>the main rows on your machine, in half a minute, with your own "
        "agents</dd><dt><code>make bench</code></dt><dd>every benchmark, on the commit that is checked out</dd>"
        "<dt><code>make bench-compare BASE=…</code></dt><dd>two commits by turns: did this change make it slower?</dd>"
        "<dt><code>make bench-history</code></dt><dd>commits of the main branch and tags that are not measured yet</dd>"
        "<dt><code>make dashboard</code></dt><dd>these pages, with what you measured</dd></dl>"
    )


def _prose(text: str) -> str:
    """Words of a docstring, with what stands in backticks as code."""
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text))


def _heading(file: str) -> str:
    return file.replace("_", " ").capitalize()


def _digits(value: float) -> str:
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", " ")


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")
