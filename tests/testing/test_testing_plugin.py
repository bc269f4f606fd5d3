"""The pytest plugin: fixtures, markers and options in a user's tests."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel

import agno_rt
from agno_rt.testing import CancelPoint, Faults, InjectedFault, _marks, pause

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a test module under strict options, with pytest-trio's mode or without."""
    # pytester drops modules imported during an inner run, so the package is imported completely before.
    for package in (agno_rt, agno_rt.testing):
        for name in dir(package):
            getattr(package, name)

    def call(source: str, *options: str, trio_mode: bool = True) -> pytest.RunResult:
        mode = "trio_mode = true" if trio_mode else ""
        pytester.makeini(f"[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n{mode}\n")
        pytester.makepyfile(test_it=source)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly", *options)

    return call


RACE = """
    import pytest, trio
    from agno_rt.testing import pause

    @pytest.mark.schedules(200)
    async def test_race():
        seen, total = [], 0

        async def add():
            nonlocal total
            was = total
            await pause()
            total = was + 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            nursery.start_soon(add)
        assert total == 2
"""

COUNTING = """
    import pytest, trio
    from pathlib import Path

    @pytest.mark.schedules(COUNT)
    async def test_counts():
        began = trio.current_time()
        await trio.sleep(3_600)
        assert trio.current_time() - began == 3_600
        with Path("runs").open("a") as file:
            file.write("x")
"""


class TestSchedulesMarker:
    """`@pytest.mark.schedules(1_000)` on an async test."""

    @pytest.mark.parametrize("trio_mode", [True, False])
    def test_finds_a_race_and_replays_it(self, run: Run, trio_mode: bool) -> None:
        """The failure names the seed, with or without pytest-trio's mode, and a run with the seed fails at once."""
        found = run(RACE, trio_mode=trio_mode)
        found.assert_outcomes(failed=1)
        told = re.search(r"Replay it: .*pytest (--agno-rt-seed=\d+)\.", found.stdout.str())
        assert told is not None
        again = run(RACE, told[1], trio_mode=trio_mode)

        again.assert_outcomes(failed=1)
        again.stdout.fnmatch_lines(["*after 0 that passed*"])

    def test_with_the_trio_marker(self, run: Run) -> None:
        """The marker works beside pytest-trio's own marker on a test."""
        source = RACE.replace("async def test_race", "@pytest.mark.trio\n    async def test_race")
        run(source, trio_mode=False).assert_outcomes(failed=1)

    @pytest.mark.parametrize(
        ("count", "options", "runs"),
        [
            ("30", [], 30),
            ("count=7, first=100", [], 7),
            ("30", ["--agno-rt-schedules=5"], 5),
            ("30", ["--agno-rt-seed=12"], 1),
            ("30", ["--agno-rt-seed=12", "--agno-rt-schedules=5"], 1),
        ],
    )
    def test_how_many(self, run: Run, pytester: pytest.Pytester, count: str, options: list[str], runs: int) -> None:
        """The marker or the command line sets the number of schedules; each has a virtual clock of its own."""
        run(COUNTING.replace("COUNT", count), *options).assert_outcomes(passed=1)

        assert (pytester.path / "runs").read_text() == "x" * runs

    def test_takes_fixtures_and_parameters(self, run: Run) -> None:
        """Fixtures are made once for all schedules, except the clock, made anew for each."""
        result = run(
            """
            import pytest, trio

            @pytest.fixture
            def made():
                return []

            @pytest.mark.schedules(3)
            class TestIt:
                @pytest.mark.parametrize("seconds", [5, 7])
                async def test_it(self, made, seconds, autojump_clock):
                    assert autojump_clock.current_time() == 0
                    await trio.sleep(seconds)
                    assert autojump_clock.current_time() == seconds
                    made.append(seconds)

            @pytest.fixture(autouse=True)
            def check(made, request):
                yield
                assert len(made) == 3
            """
        )
        result.assert_outcomes(passed=2)

    def test_a_test_that_runs_trio_itself(self, run: Run) -> None:
        """A sync test is called once for each schedule."""
        result = run(
            """
            import pytest, trio

            runs = []

            @pytest.mark.schedules(4)
            def test_it():
                trio.run(trio.sleep, 0)
                runs.append(1)

            def test_then():
                assert len(runs) == 4
            """
        )
        result.assert_outcomes(passed=2)

    def test_async_fixtures_are_refused(self, run: Run) -> None:
        """An async fixture, bound to one trio run, is refused for many schedules."""
        result = run(
            """
            import pytest

            @pytest.fixture
            async def server():
                yield 1

            @pytest.mark.schedules(3)
            async def test_it(server):
                pass
            """
        )
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*UsageError: fixture 'server' is async*"])

    def test_skips_and_expected_failures(self, run: Run) -> None:
        """A test may skip itself, or be expected to fail."""
        result = run(
            """
            import pytest

            @pytest.mark.schedules(3)
            async def test_skips():
                pytest.skip("not today")

            @pytest.mark.xfail(strict=True)
            @pytest.mark.schedules(3)
            async def test_fails():
                assert False
            """
        )
        result.assert_outcomes(skipped=1, xfailed=1)

    def test_other_tests_are_left_alone(self, run: Run) -> None:
        """A test without the marker runs as usual, even after a test with the marker."""
        run(RACE + "\n\n    async def test_plain(autojump_clock):\n        await trio.sleep(5)\n").assert_outcomes(
            failed=1, passed=1
        )


class TestNoOrphansMarker:
    """`@pytest.mark.no_orphans` on a test, a class or a module."""

    @pytest.mark.parametrize("more", ["", "@pytest.mark.schedules(3)"])
    def test_finds_what_is_left(self, run: Run, more: str) -> None:
        """Tasks are searched at the end of trio's run, under each schedule too; other leaks after the test."""
        result = run(
            f"""
            import pytest, socket, trio

            pytestmark = pytest.mark.no_orphans
            kept = []

            {more}
            async def test_task():
                trio.lowlevel.spawn_system_task(trio.sleep_forever)

            {more}
            async def test_socket():
                kept.append(socket.socket())

            {more}
            async def test_clean():
                await trio.sleep(0)

            def test_sync():
                socket.socket()

            def test_close():
                for each in kept:
                    each.close()
            """
        )
        result.assert_outcomes(failed=3, passed=2)
        result.stdout.fnmatch_lines_random(
            ["*- task trio.sleep_forever, started in test_task*", "*- open file *socket*"]
        )

    def test_allows_what_it_is_told(self, run: Run) -> None:
        """The marker accepts the arguments of the function."""
        result = run(
            """
            import pytest, socket, trio

            @pytest.mark.no_orphans(allow=["sleep_forever"])
            async def test_task():
                trio.lowlevel.spawn_system_task(trio.sleep_forever)

            kept = []

            @pytest.mark.no_orphans(resources=False)
            async def test_socket():
                kept.append(socket.socket())

            def test_close():
                kept[0].close()
            """
        )
        result.assert_outcomes(passed=3)

    def test_async_fixtures_are_there_before(self, run: Run) -> None:
        """The resources of pytest-trio's fixtures do not count as leaks of the test."""
        result = run(
            """
            import pytest, socket, trio

            @pytest.fixture
            async def server():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    with socket.socket() as listening:
                        yield listening
                    nursery.cancel_scope.cancel()

            @pytest.mark.no_orphans
            async def test_it(server):
                await trio.sleep(0)
            """
        )
        result.assert_outcomes(passed=1)

    def test_a_failing_test_keeps_its_own_error(self, run: Run) -> None:
        """A failing test reports its own error, without the leaks."""
        result = run(
            """
            import pytest, socket

            kept = []

            @pytest.mark.no_orphans
            def test_it():
                kept.append(socket.socket())
                raise ZeroDivisionError

            def test_close():
                kept[0].close()
            """
        )
        result.assert_outcomes(failed=1, passed=1)
        assert "left behind" not in result.stdout.str()


class TestFunctionsAsFixtures:
    """`run_schedules`, `cancel_everywhere` and `fail_everywhere` as fixtures, with the command line's options."""

    def test_without_options(
        self,
        run_schedules: Callable[..., int],
        cancel_everywhere: Callable[..., int],
        fail_everywhere: Callable[..., int],
    ) -> None:
        """Without options the fixtures are the functions themselves."""

        async def cancelled(point: CancelPoint) -> None:
            with point:
                await trio.lowlevel.checkpoint()

        async def failed(faults: Faults) -> None:
            with suppress(InjectedFault):
                faults.point("here")

        assert run_schedules(pause, 5) == 5
        assert cancel_everywhere(cancelled) > 1
        assert fail_everywhere(failed) == 1

    def test_seeds_and_counts(self, run: Run) -> None:
        """Options of the command line override arguments."""
        source = """
            import trio

            def test_it(run_schedules):
                runs = []

                async def scenario():
                    runs.append(1)
                    await trio.sleep(0)

                assert run_schedules(scenario, 10) == len(runs) == EXPECTED
            """
        run(source.replace("EXPECTED", "10")).assert_outcomes(passed=1)
        run(source.replace("EXPECTED", "1"), "--agno-rt-seed=3").assert_outcomes(passed=1)
        run(source.replace("EXPECTED", "4"), "--agno-rt-schedules=4").assert_outcomes(passed=1)

    def test_points(self, run: Run) -> None:
        """`--agno-rt-point` tries the point of a failure alone."""
        source = """
            import trio

            def test_cancelled(cancel_everywhere):
                async def scenario(point):
                    done = []
                    with point:
                        await trio.sleep(0)
                        done.append(1)
                        await trio.sleep(0)
                        done.append(2)
                    assert len(done) != 1

                cancel_everywhere(scenario)

            def test_failed(fail_everywhere):
                async def scenario(faults):
                    for each in "abc":
                        try:
                            faults.point(each)
                        except Exception:
                            assert each != "c"

                fail_everywhere(scenario)
            """
        found = run(source, "-k", "cancelled")
        found.assert_outcomes(failed=1)
        told = re.search(r"or (--agno-rt-point=\d+)", found.stdout.str())
        assert told is not None
        run(source, "-k", "cancelled", told[1]).assert_outcomes(failed=1)
        run(source, "-k", "failed", "--agno-rt-point=2").assert_outcomes(passed=1)
        run(source, "-k", "failed", "--agno-rt-point=3").assert_outcomes(failed=1)


TALK = """
    import trio
    from agno_rt import Message, ModelRequest
    from agno_rt.testing import ScriptedModel

    def ask(model, text="hi"):
        return trio.run(model.respond, ModelRequest([Message("user", text)])).content

    class TestTalk:
        def test_it(self, cassette):
            model = cassette(ScriptedModel(lambda request: "ANSWER"))
            assert ask(model) == "first"
"""


class TestCassetteFixture:
    """Cassettes in files with the test's name."""

    def test_records_and_replays(self, run: Run, pytester: pytest.Pytester) -> None:
        """A cassette is recorded on request, replayed without the model, and recorded again on request."""
        file = pytester.path / "cassettes" / "test_it" / "TestTalk.test_it.json"
        missing = run(TALK)
        missing.assert_outcomes(failed=1)
        missing.stdout.fnmatch_lines(["*there is no cassette*", "*Record it: pytest --agno-rt-record*"])

        run(TALK.replace("ANSWER", "first"), "--agno-rt-record").assert_outcomes(passed=1)
        run(TALK.replace("ANSWER", "second")).assert_outcomes(passed=1)
        assert json.loads(file.read_text())["exchanges"][0]["response"]["content"] == "first"

        run(TALK.replace("ANSWER", "second"), "--agno-rt-record").assert_outcomes(failed=1)
        assert json.loads(file.read_text())["exchanges"][0]["response"]["content"] == "second"

    def test_records_what_is_new(self, run: Run) -> None:
        """`--agno-rt-record-new` asks the model only for missing exchanges."""
        run(TALK.replace("ANSWER", "first"), "--agno-rt-record-new").assert_outcomes(passed=1)
        more = TALK.replace("ANSWER", "second") + '            assert ask(model, "new") == "second"\n'
        run(more, "--agno-rt-record-new").assert_outcomes(passed=1)
        run(more).assert_outcomes(passed=1)

    def test_checks_at_the_end(self, run: Run) -> None:
        """An unused exchange is an error, except for a test that already fails."""
        run(TALK.replace("ANSWER", "first"), "--agno-rt-record").assert_outcomes(passed=1)
        run(TALK.replace("assert ask(model)", "assert 'first'")).assert_outcomes(passed=1, errors=1)
        run(TALK.replace("assert ask(model)", "assert 'other'")).assert_outcomes(failed=1)

    def test_several_in_one_test(self, run: Run, pytester: pytest.Pytester) -> None:
        """A second cassette needs a name; file names include parameters."""
        source = """
            import pytest
            from agno_rt.testing import ScriptedModel

            @pytest.mark.parametrize("text", ["a/b", "x" * 300])
            def test_two(cassette, text):
                for name in ("", "judge"):
                    model = cassette(ScriptedModel(["one"]), name=name)
                    AGAIN
        """
        from_here = "__import__('trio').run(model.respond, __import__('agno_rt').ModelRequest(()))"
        run(source.replace("AGAIN", from_here), "--agno-rt-record").assert_outcomes(passed=2)
        names = sorted(path.name for path in (pytester.path / "cassettes" / "test_it").iterdir())

        assert {"test_two[a-b].json", "test_two[a-b].judge.json"} < set(names)
        assert len(names) == 4
        assert max(map(len, names)) < 150
        twice = run(source.replace('("", "judge")', '("", "")').replace("AGAIN", ""), "--agno-rt-record-new")
        twice.assert_outcomes(failed=2)
        twice.stdout.fnmatch_lines(["*give the second one a `name`*"])

    def test_no_model_to_record(self, run: Run) -> None:
        """A cassette without a model cannot be recorded."""
        run("def test_it(cassette):\n    cassette()\n", "--agno-rt-record").stdout.fnmatch_lines(
            ["*UsageError: cassette * has no model to record*"]
        )


class TestScriptedModelFixture:
    """Models with a check at the end of the test."""

    def test_a_failing_test_keeps_its_own_error(self, run: Run) -> None:
        """A failing test reports its own error, without the unused steps."""
        result = run("def test_it(scripted_model):\n    scripted_model('one')\n    raise ZeroDivisionError\n")
        result.assert_outcomes(failed=1)

    def test_scripts_by_question(self, run: Run) -> None:
        """A mapping is a script for each question."""
        result = run(
            """
            from agno_rt import Message, ModelRequest

            async def test_it(scripted_model):
                model = scripted_model({"a?": ["a!"], "b?": ["b!"]})
                for text in ("b?", "a?"):
                    assert (await model.respond(ModelRequest([Message("user", text)]))).content == f"{text[0]}!"
            """
        )
        result.assert_outcomes(passed=1)


def test_the_plugin_imports_nothing_by_itself(pytester: pytest.Pytester) -> None:
    """Until a fixture or a marker is used, the plugin imports only its own modules of agno_rt."""
    pytester.makepyfile(
        """
        import sys

        def test_it(request):
            loaded = {name for name in sys.modules if name.partition(".")[0] == "agno_rt"}
            names = ("_package", "_package.face", "testing", "testing.fixtures")
            assert loaded == {"agno_rt", *(f"agno_rt.{name}" for name in names)}
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_page_on_testing(run: Run, pytester: pytest.Pytester) -> None:
    """The examples on the page pass unchanged, except two for a recorded model; the reader's store is a small one."""
    pytester.makepyfile(shelf="from tests.knowledge.dictionary_store import DictionaryStore as Shelf")
    page = (Path(__file__).parents[2] / "docs" / "howto" / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    result = run("\n".join(blocks), "--agno-rt-schedules=50", "-k", "not real_thing and not for_a_user")

    outcomes = result.parseoutcomes()
    assert outcomes.keys() <= {"passed", "skipped", "deselected"}
    assert outcomes["deselected"] == 2
    assert outcomes["passed"] > 9, "the contracts of the page were not collected"


def test_the_options_are_in_the_help(pytester: pytest.Pytester) -> None:
    """pytest's help and list of markers include the plugin's."""
    options = pytester.runpytest_inprocess("--help").stdout.str()
    markers = pytester.runpytest_inprocess("--markers").stdout.str()

    assert all(f"--agno-rt-{name}" in options for name in ("seed", "schedules", "point", "record", "record-new"))
    assert "@pytest.mark.schedules(count=1000, first=0, virtual=True)" in markers
    assert "@pytest.mark.no_orphans(resources=True, allow=())" in markers


def test_the_kit_offers_what_it_names() -> None:
    """Every name in `__all__` exists, and other names raise `AttributeError`."""
    kit = importlib.import_module("agno_rt.testing")
    offered: list[str] = kit.__all__  # `__all__` as `import *` reads it
    assert {name: getattr(agno_rt.testing, name) for name in offered}
    assert set(offered) <= set(dir(agno_rt.testing))
    assert _marks.Schedules(5).narrowed(None, None) == _marks.Schedules(5)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kit.nothing
