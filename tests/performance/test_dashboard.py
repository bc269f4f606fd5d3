"""The dashboard in a real browser, served by `make dashboard` and by `agno-rt serve`: pages, links, graphs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agno_rt.errors import UsageError
from benchmarks.goals import goals
from benchmarks.peers.results import Results as PeerResults
from benchmarks.site import scripts
from benchmarks.site.aims import aims_of
from benchmarks.site.page import Commit, Contents, opening_page, shown
from benchmarks.site.results import Result, Row
from benchmarks.site.words import Words, read_words
from tests.history_helpers import ROOT, Tiny, tiny_project

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 30_000.0
AGENTS = """
from agno_rt import Agent
from agno_rt.testing import ScriptedModel

quick = Agent(ScriptedModel(["Done."]), "quick")
"""


def require(is_there: bool, reason: str) -> None:
    if not is_there:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Make a project with asv's results of two commits, and with the scripts of asv's pages."""
    known = ROOT / scripts.FOLDER
    require(
        not scripts.missing(known), "asv's scripts are not here: fetch them with `python -m benchmarks.site.scripts`"
    )
    made = tiny_project(tmp_path_factory.mktemp("dashboard"))
    facts = {"machine": "bench-box", "os": "Debian", "cpu": "Fast one", "num_cpu": "4", "ram": "8 GB"}
    (made.root.parent / ".asv-machine.json").write_text(json.dumps({"version": 1, "bench-box": facts}))
    for commit in (made.commits[0], made.commits[2]):
        made.git("checkout", "--quiet", commit)
        command = [sys.executable, "-m", "asv", "run", "--machine", "bench-box", "--set-commit-hash", commit]
        command += ["--environment", f"existing:{sys.executable}"]
        environ = {**made.environ(), "ASV_PYTHONPATH": str(made.root)}
        done = subprocess.run(command, cwd=made.root, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    made.git("checkout", "--quiet", "main")
    shutil.copytree(known, made.root / scripts.FOLDER)
    return made


@pytest.fixture(scope="module")
def by_make(project: Tiny) -> Iterator[str]:
    """Serve the dashboard with `make dashboard`, and yield the URL."""
    command = [sys.executable, "-m", "benchmarks.dashboard", "--project", str(project.root), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=project.environ(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()


@pytest.fixture(scope="module")
def by_serve(project: Tiny, by_make: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the dashboard with `agno-rt serve`, and yield the URL."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "agents.py").write_text(AGENTS)
    command = [sys.executable, "-m", "agno_rt.cli", "serve", "agents.py", "--port", "0", "--grace", "0"]
    command += ["--benchmarks", str(project.root / ".asv/html")]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert found is not None
        yield f"{found[0]}/benchmarks/"
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium with Playwright."""
    require(CHROMIUM.exists(), f"there is no {CHROMIUM}: install it with `apt-get install chromium`")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(params=["by_make", "by_serve"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of the dashboard, from each of the two servers."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """Open the first page. An error in the console, a failed response or a request to another host fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    complaints: list[str] = []
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: None if asked.url.startswith((url, "data:")) else complaints.append(asked.url))
    opened.on("response", lambda answer: None if answer.status < 400 else complaints.append(answer.url))
    opened.goto(url)
    yield opened
    context.close()
    assert not complaints


def test_the_first_page(page: Page) -> None:
    """The page has the project, the machine, a guide for readers, and the numbers of the latest commit."""
    expect(page.get_by_role("heading", name="tiny: how fast, commit by commit")).to_be_visible()
    expect(page.locator("body")).to_contain_text("Fast one, 4 cores")
    expect(page.get_by_role("heading", name="Sums")).to_be_visible()
    expect(page.locator("body")).to_contain_text("Adding up: what a sum costs.")
    calls = page.locator("tr", has=page.get_by_role("link", name="The calls that a sum makes."))
    expect(calls).to_contain_text("exact count")
    expect(calls).to_contain_text("12 355 calls")
    expect(calls).to_contain_text("-50 %")
    ratio = page.locator("tr", has=page.get_by_role("link", name="A sum, against a length."))
    expect(ratio).to_contain_text("1.25 x")
    expect(ratio).to_contain_text("same")


def test_a_link_leads_to_a_graph(page: Page) -> None:
    """A benchmark's link opens asv's graph, with a line; the project's name leads back."""
    page.get_by_role("link", name="The calls that a sum makes.").click()

    expect(page.locator("#title")).to_contain_text("sums.Sums.track_calls")
    expect(page.locator("#main-graph canvas").first).to_be_visible()
    assert page.evaluate(
        "(() => { const c = document.querySelector('#main-graph canvas.flot-base');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value > 0); })()"
    )
    page.locator("#project-name").click()
    expect(page.get_by_role("heading", name="How to read the tables")).to_be_visible()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the dashboard of agno_rt itself: a clone with the stored results."""
    require((ROOT / ".git").exists(), "this is not a git checkout")
    require((ROOT / scripts.FOLDER).exists(), "the scripts are not there: make dashboard")
    clone = tmp_path_factory.mktemp("own") / "agno_rt"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    # asv publishes the main branch, and the checkout may be on another.
    subprocess.run(["git", "-C", str(clone), "checkout", "--quiet", "-B", "main"], check=True)
    shutil.copytree(ROOT / scripts.FOLDER, clone / scripts.FOLDER)
    command = [sys.executable, "-m", "benchmarks.dashboard", "--project", str(clone), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()


def test_every_link_leads_to_a_line(browser: Browser, own: str) -> None:
    """Each link from the first page to a graph, parameters included, opens a graph with points."""
    page = browser.new_page()
    page.goto(own)
    links = page.eval_on_selector_all(
        "a[href*='graphs.html#']:not([href*='#/'])", "links => links.map(link => link.href)"
    )
    empty = []
    for link in sorted(set(links)):
        page.goto("about:blank")
        page.goto(link)
        page.wait_for_function("() => window.jQuery && jQuery('#main-graph').data('plot') !== undefined")
        points = page.evaluate(
            "() => jQuery('#main-graph').data('plot').getData().reduce((n, s) => n + s.data.length, 0)"
        )
        if not points:
            empty.append(link)

    assert len(links) > 5
    assert any("?p-" in link for link in links)
    assert not empty
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_graphs_have_labels_and_colours(browser: Browser, own: str, scheme: str) -> None:
    """The x axis names commits and days, zoomed in too; in dark mode the page is dark, the words light."""
    context = browser.new_context(
        viewport={"width": 1100, "height": 760}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(f"{own}graphs.html#create.Create.track_bytes")
    labels = page.locator("#main-graph .flot-x-axis .flot-tick-label")
    expect(labels.first).to_have_text(re.compile(r"^[0-9a-f]{8}2\d{3}-\d\d-\d\d$"))
    many = labels.count()
    page.evaluate(
        "() => { const plot = jQuery('#main-graph').data('plot'), axis = plot.getAxes().xaxis;"
        " plot.setSelection({xaxis: {from: (axis.min + axis.max) / 2, to: axis.max}}); }"
    )

    assert many > 3
    expect(labels.last).to_have_text(re.compile(r"^[0-9a-f]{8}2\d{3}-\d\d-\d\d$"))
    paper = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    words = labels.first.evaluate("one => Number(getComputedStyle(one).color.match(/\\d+/)[0])")
    assert (paper > 200 and words < 100) if scheme == "light" else (paper < 60 and words > 200)
    context.close()


def test_peers_are_on_the_first_page(browser: Browser, own: str) -> None:
    """The first page has the last figures of `make peers`, HTTP too, with day and versions, and judges the goals."""
    page = browser.new_page()
    page.goto(own)
    results = PeerResults.load()
    table = page.locator("table.peers")

    expect(page.locator("#peers + p")).to_contain_text(f"Measured on {results.date}")
    expect(page.locator("#peers + p")).to_contain_text(f"Agno {results.peers['agno']['versions']['agno']}")
    row = table.locator("tr", has_text="HTTP: simple runs a second, one process")
    expect(row).to_contain_text(f"{results.value('http', 'agno_rt'):,.0f}/s")
    expect(row).to_contain_text(f"{results.value('http', 'agno'):,.0f}/s")
    goal = page.locator("tr", has_text="at least 30 x as fast as Agno")
    expect(goal).to_contain_text("x as fast")
    assert "side by side: make peers" not in page.inner_text("body")
    page.close()


def test_rates_are_not_read_as_regressions() -> None:
    """asv treats larger numbers as worse; rates, better when larger, are excluded from its regressions."""
    conf = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
    unread = [pattern for pattern, first in conf["regressions_first_commits"].items() if first is None]

    assert any(re.match(pattern, "sqlite.Sessions.track_runs_a_second('full')") for pattern in unread)
    assert not any(re.match(pattern, "run.Run.time_1000_runs('simple')") for pattern in unread)


def test_asvs_own_lists(page: Page) -> None:
    """asv's grid, list and regressions exist and have the benchmarks."""
    page.get_by_role("link", name="All graphs at a glance").click()
    expect(page.locator("#summarygrid-display")).to_contain_text("Sums.track_calls")
    expect(page.locator("#summarygrid-display canvas").first).to_be_visible()
    page.get_by_role("link", name="Benchmark list").click()
    expect(page.locator("#summarylist-body")).to_contain_text("sums.Sums.track_ratio_to_len")
    page.get_by_role("link", name="Regressions").click()
    expect(page.locator("#regressions-body")).to_be_visible()


def test_the_commits(page: Page, project: Tiny) -> None:
    """The page of commits has a line for each point of a graph: hash, day, tag and subject."""
    page.get_by_role("link", name="The commits").click()

    expect(page.locator("tr[id]")).to_have_count(2)
    expect(page.locator(f"tr[id='{project.commits[0][:8]}']")).to_contain_text("v1")
    expect(page.locator(f"tr[id='{project.commits[2][:8]}']")).to_contain_text("One call")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_looks(browser: Browser, by_make: str, tmp_path: Path, scheme: str, width: int) -> None:
    """The first page fits the window, light and dark differ, and a screenshot is saved for people."""
    context = browser.new_context(
        viewport={"width": width, "height": 760}, color_scheme="dark" if scheme == "dark" else "light"
    )
    opened = context.new_page()
    opened.goto(by_make)
    folder = Path(os.environ.get("AGNO_RT_SCREENSHOTS", tmp_path))
    opened.screenshot(path=folder / f"dashboard-{scheme}-{width}.png", full_page=True)

    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    red = opened.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red > 200) if scheme == "light" else (red < 60)
    context.close()


class TestWords:
    def test_of_benchmarks(self, tmp_path: Path) -> None:
        """Words come from the file's docstrings and marks, inherited ones too."""
        (tmp_path / "sums.py").write_text(
            '"""A table.\n\nMore of it."""\n'
            'class Base:\n    """A group."""\n    @exact("calls")\n    def track_a(self):\n        """One."""\n'
            'class Made(Base):\n    """Another group."""\n'
        )

        assert read_words(tmp_path, "sums.Base.track_a") == Words("A table.", "A group.", "One.", True)
        assert read_words(tmp_path, "sums.Made.track_a").text == "One."
        assert read_words(tmp_path, "sums.Made.track_b") == Words("A table.", "Another group.")
        assert read_words(tmp_path, "nothing.track_a") == Words()

    @pytest.mark.parametrize(
        ("value", "unit", "expected"),
        [
            (4.76e-7, "seconds", "476 ns"),
            (0.0281, "seconds", "28.1 ms"),
            (12.5, "µs", "12.5 µs"),
            (1.0294, "x", "1.03 x"),
            (104, "bytes", "104 bytes"),
            (123_456, "bytes", "123 kB"),
            (8_700.4, "runs/s", "8 700 runs/s"),
            (1.0, "allocations", "1 allocation"),
            (1, "bytes", "1 byte"),
            (1, "runs/s", "1 runs/s"),
            (None, "x", "-"),
        ],
    )
    def test_numbers(self, value: float | None, unit: str, expected: str) -> None:
        """A number has three digits and a fitting unit."""
        assert shown(value, unit) == expected

    def test_goals(self) -> None:
        """The first page has every goal of the performance page; measured goals have a verdict and a link."""
        name, params = "create.Create.track_ratio_to_bare_object", [["'simple'", "'with tools'"]]
        result = Result("c" * 40, 0, "bench-box", "3.11", {name: Row([1.1, 2.2], params, "v")})
        benchmark = {"name": name, "version": "v", "unit": "x", "params": params, "param_names": ["agent"]}
        aims, commit = aims_of(result), Commit("c" * 40, 0, "One")
        contents = Contents("tiny", [result], {name: benchmark}, {name: Words()}, {}, [], [commit], aims)
        page = opening_page(contents)

        assert {aim.row for aim in aims} == {goal.row for goal in goals()}
        assert 'href="graphs.html#create.Create.track_ratio_to_bare_object?p-agent=%27simple%27"' in page
        assert "class=good>holds<" in page
        assert "class=bad>short by 100 %<" in page


class TestPublishing:
    def test_nothing_to_show(self, tmp_path: Path, project: Tiny) -> None:
        """Without results the command fails, and names the command for new results."""
        empty = tiny_project(tmp_path)
        shutil.copytree(project.root / scripts.FOLDER, empty.root / scripts.FOLDER)
        done = empty.run("dashboard", "--publish-only")

        assert done.returncode == 1
        assert "make bench-history" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_port_in_use(self, project: Tiny, by_make: str) -> None:
        """A port in use is reported in one line, with a remedy."""
        port = by_make.rstrip("/").rpartition(":")[2]
        done = project.run("dashboard", "--port", port)

        assert done.returncode == 1
        assert f"port {port}" in done.stderr
        assert "make dashboard PORT=" in done.stderr

    def test_asks_for_a_script_that_is_not_known(self) -> None:
        """An unknown script of a new asv raises an error, before a page refers to another host."""
        page = '<script src="https://cdn.example.com/new-plot.js" integrity="sha256-x"></script>'

        with pytest.raises(UsageError, match=r"new-plot\.js"):
            scripts.localize(page)

    def test_names_nothing_outside(self, project: Tiny, by_make: str) -> None:
        """No published page has a script, a style or a picture from another host."""
        pages = list((project.root / ".asv/html").glob("*.html"))

        assert {page.name for page in pages} == {"index.html", "graphs.html", "commits.html"}
        for page in pages:
            assert re.search(r'(src|href)="(https?:)?//', page.read_text(encoding="utf-8")) is None

    def test_tells_no_folder(self, project: Tiny, by_make: str) -> None:
        """Published files do not contain the folder of the measuring."""
        folder = project.root / ".asv/html"
        published = [file for file in folder.rglob("*") if file.suffix in (".html", ".json", ".xml")]

        assert (folder / "index.json") in published
        for file in published:
            text = file.read_text(encoding="utf-8")
            assert str(project.root) not in text
            assert sys.prefix not in text
