"""The tables of the performance history measure what their names say, and no table is skipped by mistake."""

from __future__ import annotations

import ast
import importlib
import sqlite3
from itertools import repeat
from pathlib import Path

import pytest

import benchmarks
from benchmarks import common, counted, one
from benchmarks.counting import Statements, allocations, statements

FOLDER = Path(benchmarks.__file__).parent
IMPORTS = ast.Import | ast.ImportFrom
ATTRIBUTES_OF_ASV = {
    *("min_run_count", "number", "params", "param_names", "processes", "repeat", "rounds", "sample_time"),
    *("setup_cache", "timeout", "timer", "type", "unit", "version", "warmup_time"),
}
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def tracked_methods(module: str) -> list[tuple[ast.FunctionDef, str]]:
    """Return the methods with tracked values, each with the name of its first decorator."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    return [
        (node, ast.unparse(node.decorator_list[0]).partition("(")[0] if node.decorator_list else "")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("track_")
    ]


@pytest.mark.parametrize("module", [name for name in MODULES if "Parts()" in (FOLDER / f"{name}.py").read_text()])
def test_all_parts_are_here(module: str) -> None:
    """The parts skipped on old commits are all present on the current commit."""
    if module == "common":
        return
    importlib.import_module(f"benchmarks.{module}").setup()


@pytest.mark.parametrize("module", MODULES)
def test_every_exact_count_is_held(module: str) -> None:
    """The gate counts each table with exact counts."""
    exact = [node.name for node, decorator in tracked_methods(module) if decorator == "exact"]

    assert not exact or module in counted.TABLES, f"add {module!r} to benchmarks.counted.TABLES"


@pytest.mark.parametrize("module", [name for name in MODULES if tracked_methods(name)])
def test_no_name_is_taken_for_an_attribute_of_asv(module: str) -> None:
    """asv reads settings from a benchmark's module, too: an imported `repeat` or `unit` would change the measuring."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    bound = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, IMPORTS) for alias in node.names}
    bound |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    assert not bound & ATTRIBUTES_OF_ASV


def test_a_missing_part_skips() -> None:
    """A table with a missing part is skipped by asv; other errors are raised."""
    with common.Parts() as setup:
        from agno_rt import no_such_part  # type: ignore[attr-defined] # noqa: F401

    with pytest.raises(NotImplementedError, match="no_such_part"):
        setup("any", 1)
    with pytest.raises(ValueError, match="other"), common.Parts():
        raise ValueError("other")


async def test_a_quick_benchmark_takes_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `make bench-quick` sizes end at a thousand, except for the least, and a comparison takes one round."""
    taken: list[int] = []

    async def body(times: int) -> None:
        taken.append(times)

    assert common.sizes(10, 1_000, 10_000) == (10, 1_000, 10_000)
    await common.ratio(body, common.checkpoints, times=3, rounds=4)
    monkeypatch.setattr(common, "QUICK", True)
    assert common.sizes(10, 1_000, 10_000) == (10, 1_000)
    assert common.sizes(10_000, 100_000) == (10_000,)
    await common.ratio(body, common.checkpoints, times=5, rounds=4)
    assert taken == [3, 3, 3, 3, 5]


async def test_allocations() -> None:
    """`allocations` counts each request for memory; a loop without requests counts zero."""

    async def making(times: int) -> None:
        for _ in repeat(None, times):
            "x" * times

    async def nothing(times: int) -> None:
        for _ in repeat(None, times):
            pass

    assert await allocations(making) == 1
    assert await allocations(nothing) == 0


async def test_statements(tmp_path: Path) -> None:
    """`statements` counts the statements on files opened in the block, and stops after the block."""
    with Statements() as opened:
        connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)

        async def ask(times: int) -> None:
            for _ in range(times):
                connection.execute("BEGIN")
                connection.execute("SELECT 1")
                connection.execute("COMMIT")

        assert await statements(ask, opened) == 3
    connection.close()

    after, other = opened.count, sqlite3.connect(tmp_path / "b.db")
    other.execute("SELECT 1")
    other.close()
    assert opened.count == after


def test_one() -> None:
    """`one.measure` finds a benchmark by its name and the indexes of its parameters, and skips as asv does."""
    assert one.measure("run.Run.track_scheduler_steps", [1]) == 0
    with pytest.raises(NotImplementedError):
        one.measure("run.Tools.track_checkpoints_a_run", [1, 0])
