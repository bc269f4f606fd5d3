"""`make dashboard`: publishes the results of this machine and the reference machine, and serves them locally.

asv makes its pages of graphs; ours come before them. The published pages load nothing from elsewhere, so they work in
any folder of any server, without a network. asv's own page becomes `graphs.html`; `index.html` is ours.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs

from agno_rt.errors import UsageError

from .peers.results import RESULTS
from .peers.results import Results as PeerResults
from .site.aims import aims_of, read_page
from .site.beside import peers_part
from .site.page import Aim, Commit, Contents, commits_page, opening_page
from .site.results import Result, machine_facts, merge, read_folder, write_result
from .site.running import Project, failed
from .site.scripts import fetch, lay, localize
from .site.words import read_words

__all__ = ["main", "publish"]

REFERENCE = "reference"

# asv's page begins with a line about asv. Ours begins with a link to the project's page; asv fills in the name.
_LINE = re.compile(r'<p class="navbar-text">.*?</p>', re.DOTALL)
_BACK = '<p class="navbar-text"><a id="project-name" href="index.html" class="navbar-link">project</a></p>'

# Additions to asv's page, after the files that they override: dark colours, and labels on the x axis.
_ADDED = {
    "graphs.css": '<link rel="stylesheet" href="graphs.css">',
    "graphs.js": '<script src="graphs.js"></script>',
}


@attrs.frozen
class Own:
    """Contents of the opening page for this project only: goals, the performance page's day, the table of peers."""

    aims: Callable[[Result], Sequence[Aim]] = lambda result: ()
    page_day: str = ""
    beside: str = ""


def publish(project: Project, own: Own | None = None) -> Path:
    """Publish the dashboard and return its folder. The old dashboard is replaced at once, when all pages are made.

    `own` has the contents of this project alone: its goals, and the figures of peers.

    Raises:
        UsageError: there are no results, asv's scripts are not available, or asv fails.
    """
    fetch(project.scripts)
    found = project.discover()
    results, machines = _lay_results(project)
    benchmarks = _select_shown(found, results)
    if not benchmarks:
        why = "are all of other versions of the benchmarks" if results else "are none"
        raise UsageError(f"there is nothing to show: results there {why}", hint="Measure: make bench-history")
    project.describe_benchmarks(benchmarks)
    project.asv("publish", "--no-pull", config=project.work / "asv.conf.json")
    made = project.work / "html"
    _bring_home(made, project.scripts)
    _add_pages(project, made, _collect_contents(project, results, machines, benchmarks, own or Own()))
    shutil.rmtree(project.html, ignore_errors=True)
    made.rename(project.html)
    return project.html


def _lay_results(project: Project) -> tuple[list[Result], dict[str, dict[str, Any]]]:
    """Trim kept and local results alike, and lay them out for asv, so that both are in the same graph."""
    found: list[Result] = []
    machines: dict[str, dict[str, Any]] = {}
    for place in (project.kept, project.local):
        for file in sorted(place.glob("*/machine.json")):
            facts = machine_facts(json.loads(file.read_text(encoding="utf-8")))
            measured = read_folder(file.parent)
            if measured:
                machines[facts["machine"]] = {**machines.get(facts["machine"], {}), **facts}
                found += measured
    there = set(project.git("rev-list", "--all", "HEAD"))
    results = merge(result for result in found if result.commit in there)
    for result in results:
        write_result(result, project.work / "results" / result.machine)
    for name, facts in machines.items():
        if any(result.machine == name for result in results):
            (project.work / "results" / name / "machine.json").write_text(json.dumps(facts), encoding="utf-8")
    return results, machines


def _select_shown(benchmarks: dict[str, dict[str, Any]], results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return the benchmarks that have a result of their present version; asv has no graph of the others."""
    told = {(name, row.version) for result in results for name, row in result.rows.items()}
    return {name: one for name, one in benchmarks.items() if (name, one["version"]) in told or (name, None) in told}


def _bring_home(made: Path, scripts: Path) -> None:
    """Replace outside addresses in asv's page, and make room for our pages."""
    lay(scripts, made)
    page = localize((made / "index.html").read_text(encoding="utf-8"))
    page = _LINE.sub(_BACK, page, count=1)
    for name, tag in _ADDED.items():
        shutil.copyfile(Path(__file__).parent / "site" / name, made / name)
        page = page.replace("</head>", f"{tag}\n  </head>", 1)
    (made / "graphs.html").write_text(page, encoding="utf-8")
    (made / "error.html").unlink(missing_ok=True)
    feed = made / "regressions.xml"
    if feed.is_file():
        feed.write_text(feed.read_text(encoding="utf-8").replace("index.html#", "graphs.html#"), encoding="utf-8")


def _collect_contents(
    project: Project,
    results: Sequence[Result],
    machines: dict[str, dict[str, Any]],
    benchmarks: dict[str, dict[str, Any]],
    own: Own,
) -> Contents:
    by_machine = {name: [r for r in results if r.machine == name] for name in machines}
    chosen = REFERENCE if by_machine.get(REFERENCE) else max(by_machine, key=lambda name: len(by_machine[name]))
    order = {commit: at for at, commit in enumerate(reversed(project.git("rev-list", "--topo-order", "--all")))}
    shown = sorted(by_machine[chosen], key=lambda result: order.get(result.commit, -1))
    return Contents(
        project=project.settings()["project"],
        results=shown,
        benchmarks=benchmarks,
        words={name: read_words(project.root / "benchmarks", name) for name in benchmarks},
        machine=machines[chosen],
        others=[name for name in machines if name != chosen and by_machine[name]],
        commits=_list_commits(project, results, order),
        aims=own.aims(shown[-1]),
        page_day=own.page_day,
        beside=own.beside,
    )


def _list_commits(project: Project, results: Sequence[Result], order: dict[str, int]) -> list[Commit]:
    tags = project.tags()
    measured = {result.commit: result.date for result in results}
    known = sorted((commit for commit in measured if commit in order), key=order.__getitem__)
    subjects = project.git("log", "--no-walk=unsorted", "--format=%s", *known) if known else []
    return [
        Commit(commit, measured[commit], subject, tags.get(commit, ""))
        for commit, subject in zip(known, subjects, strict=True)
    ]


def _add_pages(project: Project, made: Path, contents: Contents) -> None:
    (made / "index.html").write_text(opening_page(contents), encoding="utf-8")
    (made / "commits.html").write_text(commits_page(contents.project, contents.commits), encoding="utf-8")


def _load_own() -> Own:
    page = read_page()
    beside = peers_part(PeerResults.load()) if RESULTS.is_file() else ""
    return Own(partial(aims_of, page=page), page.day, beside)


def serve(folder: Path, port: int) -> None:
    """Serve the folder to this machine only, until Ctrl-C."""
    handler = partial(_Quiet, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as exc:
        raise UsageError(
            f"cannot listen on port {port}: {exc.strerror}", hint="Name another: make dashboard PORT=…"
        ) from exc
    with server:
        print(f"The dashboard is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Do not print requests."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return exit code 1 if there is nothing to show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description="Publish the dashboard.")
    parser.add_argument("--port", type=int, default=7778, help="where to serve it; 0 takes a free one [7778]")
    parser.add_argument("--project", type=Path, default=Path(), help="the project's folder [this one]")
    parser.add_argument("--publish-only", action="store_true", help="do not serve it")
    options = parser.parse_args(arguments)
    project = Project(options.project.resolve())
    try:
        folder = publish(project, _load_own())
        if options.publish_only:
            print(f"Published in {folder.relative_to(project.root)}. `agno-rt serve --benchmarks` takes that folder.")
        else:
            serve(folder, options.port)
    except UsageError as exc:
        return failed(exc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
