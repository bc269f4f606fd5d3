"""Our own pages in a dashboard: the opening page, and the list of commits.

Pure: results, words and facts come in, HTML goes out. Knows the addresses of asv's graphs, and nothing of files or git.
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
    "exact count": "A number of calls, allocations, steps or bytes. Free of noise on one version of Python, so any "
    "change comes from a commit. The gate of the continuous integration holds exact counts.",
    "ratio": "A time divided by the time of its floor: a bare object, a bare checkpoint, bare tasks. Both are measured "
    "in turns in one process, so a slow moment hits both: compare ratios between commits and machines.",
    "time": "The time of one operation. Times depend on the machine, and on its mood, by as much as a factor of two "
    "within hours: look for lasting steps, and compare only within one machine.",
    "memory": "Held memory, or the peak. Nearly exact.",
    "rate": "A number per second: more is better. Rates depend on the machine, as times do.",
    "other": "A number of another kind; the words beside the number explain it.",
}


@attrs.frozen
class Commit:
    """A measured commit: its subject, and the name of its tag, if any."""

    hash: str
    date: int
    subject: str
    tag: str = ""


@attrs.frozen
class Aim:
    """A goal, the figure and the verdict of the latest commit, and the benchmark of the figure.

    `page` and `page_verdict` are the figure and the verdict on the performance page.
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
    """The contents of the opening page.

    results     results of the machine, oldest first
    benchmarks  asv's descriptions of the benchmarks, by name
    words       the benchmarks' docstrings, by name
    machine     facts of the machine
    others      names of other machines with results
    commits     measured commits, oldest first
    aims        goals
    page_day    day and commit of the performance page
    beside      HTML between the goals and the tables
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
    """Render the first page of a dashboard."""
    title = f"{contents.project}: how fast, commit by commit"
    parts = [
        _render_introduction(contents),
        _explain_kinds(contents),
        _render_aims(contents),
        contents.beside,
        _link_tables(contents),
    ]
    parts += [*_render_tables(contents), _list_commands(contents)]
    return _TEMPLATE.substitute(
        title=escape(title), body=f"<h1>{escape(title)}</h1>\n" + "\n".join(filter(None, parts))
    )


def commits_page(project: str, commits: Sequence[Commit]) -> str:
    """Render the page of measured commits, newest first. Points in asv's graphs lead here."""
    title = f"{project}: the measured commits"
    rows = "\n".join(
        f'<tr id="{commit.hash[:8]}"><td><code>{commit.hash[:8]}</code></td><td>{_format_day(commit.date)}</td>'
        f"<td>{escape(commit.tag)}</td><td>{escape(commit.subject)}</td></tr>"
        for commit in reversed(commits)
    )
    table = f"<table><tr><th>commit<th>date<th>tag<th>subject</tr>\n{rows}\n</table>"
    back = '<nav><a href="index.html">All measurements</a></nav>'
    return _TEMPLATE.substitute(title=escape(title), body=f"<h1>{escape(title)}</h1>\n{back}\n{table}")


def graph_link(name: str, params: Mapping[str, str] | None = None) -> str:
    """Return the address of asv's graph of the benchmark."""
    asked = {f"p-{key}": value for key, value in (params or {}).items()}
    return f"{GRAPHS}#{quote(name)}" + (f"?{urlencode(asked, quote_via=quote)}" if asked else "")


def kind_of(benchmark: Mapping[str, Any], words: Words) -> str:
    """Return the kind of the benchmark's number: a key of `_KINDS`, which the page explains."""
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
    """Render a value for readers: `7.45 µs`, `1.03 x`, `104 bytes`."""
    if value is None:
        return "-"
    if unit in _TIMES:
        seconds = value * _TIMES[unit]
        for name, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
            if abs(seconds) >= size:
                return f"{_format_digits(seconds / size)} {name}"
        return f"{_format_digits(seconds / 1e-9)} ns"
    if unit == "bytes" and abs(value) >= 10_000:
        return f"{_format_digits(value / 1e6)} MB" if abs(value) >= 1e6 else f"{_format_digits(value / 1e3)} kB"
    name = {"ratio": "x", "unit": ""}.get(unit, unit)
    if value == 1 and not name.endswith("/s"):
        name = name.removesuffix("s")
    return f"{_format_digits(value)} {name}".rstrip()


def _render_introduction(contents: Contents) -> str:
    commits, machine = contents.commits, contents.machine
    facts = {
        "Machine": machine.get("machine", ""),
        "Processor": f"{machine.get('cpu', '')}, {machine.get('num_cpu', '?')} cores",
        "Memory": machine.get("ram", ""),
        "System": machine.get("os", ""),
        "Python": machine.get("python", ""),
        "Commits": f"{len(contents.results)}, the latest {contents.results[-1].commit[:8]} "
        f"of {_format_day(contents.results[-1].date)}",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value)
    also = ""
    if contents.others:
        also = f"<p class=soft>The graphs have these machines too: {escape(', '.join(contents.others))}.</p>"
    return (
        f"<p>The cost of {escape(contents.project)}, measured on {len(commits)} commits. Each line below is a "
        "benchmark: a description, the value on the latest commit, the change since the commit measured before, and "
        "the course. A line leads to its graph, with a point for each commit.</p>\n"
        f'<nav><a href="{GRAPHS}#/">All graphs at a glance</a> <a href="{GRAPHS}#/summarylist">As a list</a> '
        f'<a href="{GRAPHS}#/regressions">Regressions</a> <a href="commits.html">The commits</a></nav>\n'
        f"<dl>{listed}</dl>{also}"
        "<p class=soft>The graphs are drawn by airspeed velocity (asv). Nothing here is loaded from outside.</p>"
    )


def _explain_kinds(contents: Contents) -> str:
    used = {kind_of(benchmark, contents.words[name]) for name, benchmark in contents.benchmarks.items()}
    items = "".join(
        f"<dt><span class=kind>{kind}</span></dt><dd>{text}</dd>" for kind, text in _KINDS.items() if kind in used
    )
    return (
        "<h2 id=reading>How to read the tables</h2>\n<p>Less is better, except for rates. Numbers are compared only "
        "with numbers of the same machine and the same version of a benchmark. The pictures of a course begin at "
        f"zero.</p>\n<dl>{items}</dl>"
    )


def _render_aims(contents: Contents) -> str:
    if not any(aim.benchmark in contents.benchmarks or aim.page for aim in contents.aims):
        return ""
    before = ["", *(aim.row for aim in contents.aims)]
    rows = "\n".join(
        _render_aim(contents, aim, aim.row == last) for aim, last in zip(contents.aims, before, strict=False)
    )
    latest = contents.results[-1].commit[:8]
    page = f"<th class=number>performance page,<br>{escape(contents.page_day)}" if contents.page_day else ""
    return (
        "<h2 id=aims>Goals</h2>\n<p>The goals of the project, with the figures of the latest commit. A figure leads "
        "to its graph."
        + " The performance page is measured on its own, and compares with other frameworks too."
        * bool(page)
        + "</p>\n<div class=wide><table>"
        f"<tr><th>work<th>goal<th class=number>commit {latest}{page}</tr>\n{rows}\n</table></div>"
    )


def _render_aim(contents: Contents, aim: Aim, goes_on: bool) -> str:
    row = "" if goes_on else _format_words(aim.row)
    here = ""
    if aim.measured and aim.benchmark in contents.benchmarks:
        names = contents.benchmarks[aim.benchmark].get("param_names", ())
        chosen = dict(zip(names, aim.params, strict=False))
        here = f'<a href="{graph_link(aim.benchmark, chosen)}">{escape(aim.measured)}</a>'
    cells = f"<td class=number>{here}{_render_verdict(aim.verdict)}</td>"
    if contents.page_day:
        cells += f"<td class=number>{escape(aim.page)}{_render_verdict(aim.page_verdict)}</td>"
    return (
        f"<tr{' class=more' if goes_on else ''}><td>{row}</td><td class=goal>{_format_words(aim.goal)}</td>{cells}</tr>"
    )


def _render_verdict(verdict: str) -> str:
    kind = "good" if verdict == "holds" else "bad" if verdict.startswith(("short", "falls")) else "soft"
    return f"<div class={kind}>{escape(verdict)}</div>" if verdict else ""


def _link_tables(contents: Contents) -> str:
    files = sorted({name.partition(".")[0] for name in contents.benchmarks})
    links = " ".join(f'<a href="#{quote(file)}">{escape(_format_heading(file))}</a>' for file in files)
    return f"<h2>The tables</h2>\n<nav>{links}</nav>"


def _render_tables(contents: Contents) -> Iterable[str]:
    for file, names in groupby(sorted(contents.benchmarks), key=lambda name: name.partition(".")[0]):
        listed = list(names)
        text = contents.words[listed[0]].table
        yield f"<h2 id={quote(file)}>{escape(_format_heading(file))}</h2>\n<p>{_format_words(text)}</p>"
        for group, members in groupby(listed, key=lambda name: name.rpartition(".")[0]):
            inside = list(members)
            heading = contents.words[inside[0]].group
            rows = "\n".join(row for name in inside for row in _render_rows(contents, name))
            if rows:
                yield (
                    (f"<h3 title={quote(group)}>{_format_words(heading)}</h3>\n" if heading else "")
                    + "<div class=wide><table><tr><th>benchmark<th>kind<th>with<th class=number>latest"
                    "<th class=number>since before<th>course</tr>\n" + rows + "</table></div>"
                )


def _render_rows(contents: Contents, name: str) -> Iterable[str]:
    benchmark, words = contents.benchmarks[name], contents.words[name]
    names = [str(param) for param in benchmark.get("param_names", ())]
    combinations = list(product(*benchmark.get("params", ())))
    course = _list_course(contents, name)
    if not course:
        return
    text = _format_words(words.text or name.rpartition(".")[2].replace("_", " "))
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
            f"<td class=number>{shown(values[-1], _find_unit(contents, name))}</td>"
            f"<td class=number>{_render_change(values, kind_of(benchmark, words))}</td>"
            f"<td>{_draw_course(values)}</td></tr>"
        )
        first, kind = "", ""


def _list_course(contents: Contents, name: str) -> list[list[float | None]]:
    """Return the values of the benchmark's present version, a list for each commit, oldest first."""
    version = contents.benchmarks[name].get("version")
    rows = [result.rows[name] for result in contents.results if name in result.rows]
    return [row.values for row in rows if row.values and row.version in (None, version)]


def _find_unit(contents: Contents, name: str) -> str:
    return str(contents.benchmarks[name].get("unit", ""))


def _render_change(values: Sequence[float | None], kind: str) -> str:
    if len(values) < 2 or not values[-2] or values[-1] is None:
        return "<span class=soft>first</span>" if len(values) < 2 else ""
    moved = values[-1] / values[-2] - 1
    # Smaller changes are noise: times and ratios move as much by themselves.
    if abs(moved) < {"exact count": 1e-9, "memory": 0.005, "ratio": 0.05}.get(kind, 0.15):
        return "<span class=soft>same</span>"
    better = (moved < 0) != (kind == "rate")
    return f"<span class={'good' if better else 'bad'}>{moved * 100:+.{1 if abs(moved) < 0.1 else 0}f} %</span>"


def _draw_course(values: Sequence[float | None]) -> str:
    """Draw the course as a small picture. The picture begins at zero, so that small changes look small."""
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


def _list_commands(contents: Contents) -> str:
    return (
        "<h2>Measure it yourself</h2>\n"
        "<dl><dt><code>agno-rt bench</code></dt><dd>the main rows on your machine, in half a minute, with your own "
        "agents</dd><dt><code>make bench</code></dt><dd>every benchmark, on the checked-out commit</dd>"
        "<dt><code>make bench-compare BASE=…</code></dt><dd>two commits in turns, to find a slower change</dd>"
        "<dt><code>make bench-history</code></dt><dd>unmeasured commits of the main branch, and unmeasured tags</dd>"
        "<dt><code>make dashboard</code></dt><dd>these pages, with your own measurements</dd></dl>"
    )


def _format_words(text: str) -> str:
    """Render the words of a docstring; backticks mark code."""
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text))


def _format_heading(file: str) -> str:
    return file.replace("_", " ").capitalize()


def _format_digits(value: float) -> str:
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", " ")


def _format_day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")
