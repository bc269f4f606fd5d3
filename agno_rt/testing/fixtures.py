"""The pytest plugin: fixtures, markers and options for tests of agents. See the page on testing.

agno_rt is imported only when a fixture or marker is used: pytest loads plugins before coverage can watch imports.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agno_rt.models import Model, ModelProfile
    from agno_rt.testing.cassettes import Cassette, Mode, Scrub
    from agno_rt.testing.scripted import ScriptedModel

__all__ = ["cancel_everywhere", "cassette", "fail_everywhere", "kill_everywhere", "run_schedules", "scripted_model"]

SCHEDULES = "schedules(count=1000, first=0, virtual=True): run the async test under many seeded trio schedules"
NO_ORPHANS = "no_orphans(resources=True, allow=()): fail a test that leaves a task, thread, process, file or socket"

_FAILED = pytest.StashKey[bool]()
_TEST = pytest.StashKey[Callable[..., Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that replay findings and record cassettes."""
    group = parser.getgroup("agno-rt", "tests of agents")
    group.addoption("--agno-rt-seed", type=int, metavar="N", help="run the schedule of this seed alone")
    group.addoption("--agno-rt-schedules", type=int, metavar="N", help="run so many schedules in each test")
    group.addoption("--agno-rt-point", type=int, metavar="N", help="cancel, fail or kill at this point alone")
    group.addoption("--agno-rt-record", action="store_true", help="record all cassettes anew, asking their models")
    group.addoption("--agno-rt-record-new", action="store_true", help="ask models only what their cassettes lack")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", SCHEDULES)
    config.addinivalue_line("markers", NO_ORPHANS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Note that a test has failed, so that its fixtures do not complain of the consequences."""
    if call.excinfo is not None:
        item.stash[_FAILED] = True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let `pytest.fail`, `skip`, `xfail` and `exit` end the test even in a tool or a hook, where errors are caught."""
    # No import otherwise: the plugin is also loaded for tests that do not use agno_rt.
    if "agno_rt.failures" in sys.modules:
        from agno_rt.failures import let_pass

        let_pass(pytest.fail.Exception, pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Take a marked test's function before pytest-trio, which is next, replaces it by its runner."""
    schedules, orphans = item.get_closest_marker("schedules"), item.get_closest_marker("no_orphans")
    if not isinstance(item, pytest.Function) or (schedules is None and orphans is None):
        return (yield)
    from agno_rt.testing import _marks

    before = item.obj
    if orphans is not None:
        item.obj = _marks.check_for_tasks(item.obj, **orphans.kwargs)
    if schedules is not None:
        item.stash[_TEST] = item.obj
    try:
        if orphans is None:
            return (yield)
        with _marks.check_for_resources(**orphans.kwargs):
            return (yield)
    finally:
        item.obj = before


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that has the marker `schedules`."""
    marker = pyfuncitem.get_closest_marker("schedules")
    if marker is None:
        return None
    from agno_rt.testing import _marks

    schedules = _marks.Schedules(*marker.args, **marker.kwargs).narrowed(*_schedule_options(pyfuncitem.config))
    _marks.run_marked(pyfuncitem.stash[_TEST], pyfuncitem.funcargs, schedules)
    return True


def _schedule_options(config: pytest.Config) -> tuple[int | None, int | None]:
    return config.getoption("--agno-rt-seed"), config.getoption("--agno-rt-schedules")


@pytest.fixture
def scripted_model(request: pytest.FixtureRequest) -> Iterator[Callable[..., ScriptedModel]]:
    """Make scripted models, `scripted_model("Hello.")`; each is checked at the end of the test.

    Pass the steps as arguments, or one mapping of scripts by question, or one function for all requests.
    """
    from agno_rt.models import NO_PROFILE
    from agno_rt.testing.scripted import ScriptedModel

    made: list[ScriptedModel] = []

    def make(*steps: Any, name: str = "scripted", profile: ModelProfile = NO_PROFILE) -> ScriptedModel:
        script = steps[0] if len(steps) == 1 and isinstance(steps[0], Mapping) else steps
        made.append(ScriptedModel(script, name=name, profile=profile))
        return made[-1]

    yield make
    if not request.node.stash.get(_FAILED, False):
        for model in made:
            model.check()


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Callable[..., Cassette]]:
    """Make cassettes, `cassette("openai:gpt-5")`, each in a file named after the test, and checked at its end.

    Cassettes replay; `--agno-rt-record` records them. A second cassette in a test needs a `name`.
    """
    from agno_rt.testing import _marks
    from agno_rt.testing.cassettes import Cassette

    config, made = request.config, dict[Path, Cassette]()
    new: Mode = "auto" if config.getoption("--agno-rt-record-new") else "replay"
    mode: Mode = "record" if config.getoption("--agno-rt-record") else new

    def make(model: str | Model | None = None, *, name: str = "", scrub: Scrub | None = None) -> Cassette:
        path = _marks.cassette_path(request.node.path, request.node.nodeid, name)
        if path in made:
            raise pytest.UsageError(f"there is a cassette {path} in this test already: give the second one a `name`")
        made[path] = Cassette(path, model, mode=mode, scrub=scrub)
        return made[path]

    yield make
    if not request.node.stash.get(_FAILED, False):
        for each in made.values():
            each.check()


@pytest.fixture
def cancel_everywhere(request: pytest.FixtureRequest) -> Callable[..., int]:
    """`agno_rt.testing.cancel_everywhere`, at the single point of `--agno-rt-point` if given."""
    from agno_rt.testing.cancelling import cancel_everywhere

    return functools.partial(cancel_everywhere, only=request.config.getoption("--agno-rt-point"))


@pytest.fixture
def fail_everywhere(request: pytest.FixtureRequest) -> Callable[..., int]:
    """`agno_rt.testing.fail_everywhere`, at the single point of `--agno-rt-point` if given."""
    from agno_rt.testing.faults import fail_everywhere

    return functools.partial(fail_everywhere, only=request.config.getoption("--agno-rt-point"))


@pytest.fixture
def kill_everywhere(request: pytest.FixtureRequest) -> Callable[..., int]:
    """`agno_rt.testing.kill_everywhere`, at the single point of `--agno-rt-point` if given."""
    from agno_rt.testing.killing import kill_everywhere

    return functools.partial(kill_everywhere, only=request.config.getoption("--agno-rt-point"))


@pytest.fixture
def run_schedules(request: pytest.FixtureRequest) -> Callable[..., int]:
    """`agno_rt.testing.run_schedules`, with the seed of `--agno-rt-seed` or the count of `--agno-rt-schedules`."""
    from agno_rt.testing._marks import Schedules
    from agno_rt.testing.schedules import run_schedules

    def run(
        scenario: Callable[[], Awaitable[object]], count: int = 1_000, *, first: int = 0, virtual: bool = True
    ) -> int:
        asked = Schedules(count, first, virtual).narrowed(*_schedule_options(request.config))
        return run_schedules(scenario, asked.count, first=asked.first, virtual=virtual)

    return run
