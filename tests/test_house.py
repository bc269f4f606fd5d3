"""House rules as tests: one rule a test. The message says how to comply."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import agno_rt
from agno_rt import hookspecs

ROOT = Path(__file__).parent.parent
KERNEL = ROOT / "agno_rt"
PLUGINS = ROOT / "plugins"

FLOORS: dict[str, int] = {
    # 1 values
    "_package": 1,
    "errors": 1,
    "failures": 1,
    "messages": 1,
    # 2 contracts
    "_retrieval": 2,
    "_schema": 2,
    "context": 2,
    "providers": 2,
    "events": 2,
    "knowledge": 2,
    "limits": 2,
    "media": 2,
    "memory": 2,
    "models": 2,
    "names": 2,
    "run_store": 2,
    "tools": 2,
    "upkeep": 2,
    "wire": 2,
    # 3 declarations
    "access": 3,
    "agent": 3,
    "hooks": 3,
    "instructions": 3,
    "output": 3,
    "result": 3,
    "runnable": 3,
    "workflows": 3,
    # 4 decisions
    "_decide": 4,
    "drawing": 4,
    "facts": 4,
    "steps": 4,
    # 5 drivers
    "_context": 5,
    "approvers": 5,
    "_drive": 5,
    "_flow": 5,
    "context_providers": 5,
    "_watch": 5,
    "library": 5,
    "limiter": 5,
    "planning": 5,
    "pool": 5,
    "runs": 5,
    "tasktree": 5,
    "teams": 5,
    "wrappers": 5,
    # 6 host
    "config": 6,
    "hookspecs": 6,
    "keys": 6,
    "plugins": 6,
    # 7 runtime
    "_runtime": 7,
    "project": 7,
    "readiness": 7,
    "runtime": 7,
    # 8 edges
    "cli": 8,
    "defaults": 8,
    "from_asyncio": 8,
    "http_client": 8,
    "testing": 8,
}
"""The floor of each module of the kernel, as the table in the design has it."""

DRIVERS, EDGES = 5, 8
OUTSIDE: dict[int, set[str]] = {
    1: {"attrs"},
    2: {"attrs", "msgspec"},
    3: {"attrs", "msgspec"},
    4: {"attrs", "msgspec"},
    5: {"attrs", "msgspec", "trio"},
    6: {"attrs", "msgspec", "pluggy"},
    7: {"attrs", "msgspec", "trio"},
}
EDGE_OUTSIDE: dict[str, set[str]] = {
    "defaults": {"attrs", "msgspec", "numpy", "structlog", "trio", "Stemmer"},
    "from_asyncio": {"attrs", "trio"},
    "http_client": {"attrs", "httpx2", "trio"},
    "testing": {"attrs", "msgspec", "pytest", "trio"},
    "cli": {"attrs", "click", "msgspec", "rich", "trio"},
}
"""What may be imported from outside the standard library."""

DOERS = {"asyncio", "os", "random", "select", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time"}
"""Modules of the standard library that do something, and so are nothing for values, contracts and decisions."""

TEMPLATES = {KERNEL / "defaults" / "project" / "agents.py"}
"""Files that `agno-rt init` copies: they are a user's, not the kernel's."""

LONG_MODULES: dict[str, str] = {}
"""Modules over 500 lines, each with its reason. The list only shrinks."""

MANY_PARAMETERS: dict[str, str] = {}
"""Functions with more than six parameters, each with its reason. The list only shrinks."""


@functools.cache
def tree(path: Path) -> ast.Module:
    """Parse a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def kernel_files() -> list[Path]:
    """List every Python file of the kernel except the templates."""
    return sorted(path for path in KERNEL.rglob("*.py") if path not in TEMPLATES)


def plugin_files() -> list[Path]:
    """List every Python file of the plugins' packages, without tests."""
    return sorted(path for path in PLUGINS.glob("*/agno_rt_*/**/*.py"))


def module_name(path: Path) -> str:
    """Return the module name of a file, such as `agno_rt.cli.app`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def for_checkers_alone(path: Path) -> set[int]:
    """Return the lines of imports of `typing_extensions` within `if TYPE_CHECKING:`.

    Every type checker brings `typing_extensions` along, and no program needs the package.
    """
    blocks = [
        node for node in tree(path).body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imported = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {node.lineno for node in imported if node.module == "typing_extensions"}


def part(module: str) -> str:
    """Return the first name below `agno_rt`: a module or a package; empty for the root."""
    return [*module.split("."), ""][1]


def imports(path: Path) -> Iterator[tuple[str, str | None, int]]:
    """Yield module, name or `None`, and line of each import in the file, also inside functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; write the whole name"
            for alias in node.names:
                yield node.module or "", alias.name, node.lineno


def own_imports(path: Path) -> Iterator[tuple[str, str | None, int]]:
    """Yield the imports of agno_rt's own modules; `from agno_rt import module` counts as the module."""
    for module, name, line in imports(path):
        if module == "agno_rt" and name is not None and name in FLOORS:
            yield f"agno_rt.{name}", None, line
        elif module == "agno_rt" or module.startswith("agno_rt."):
            yield module, name, line


def test_every_module_has_a_floor() -> None:
    """Every module of the kernel has a place in FLOORS."""
    modules = {part(module_name(path)) for path in kernel_files()} - {""}

    assert modules == FLOORS.keys(), "write it into FLOORS here, and into the table of the design"


@pytest.mark.parametrize("path", kernel_files(), ids=module_name)
def test_imports_go_down_only(path: Path) -> None:
    """A module imports from its own floor or below, and from the defining module, never from the package root."""
    own = part(module_name(path))
    for module, name, line in own_imports(path):
        if not own:
            continue
        assert part(module), f"{path}:{line}: import {name} from the module that defines it, not from the root"
        assert FLOORS[part(module)] <= FLOORS[own], (
            f"{path}:{line}: floor {FLOORS[own]} must not know {module}, which is on floor {FLOORS[part(module)]}"
        )
        if FLOORS[own] == EDGES and FLOORS[part(module)] == EDGES:
            assert part(module) == own, f"{path}:{line}: the edges must not know each other"


def test_no_module_imports_itself_through_others() -> None:
    """The kernel has no import cycle, not even through imports inside functions."""
    graph: dict[str, set[str]] = {}
    files = {module_name(path): path for path in kernel_files() if path != KERNEL / "__init__.py"}
    for module, path in files.items():
        names = {f"{to}.{name}" if f"{to}.{name}" in files else to for to, name, _ in own_imports(path)}
        graph[module] = {name for name in names if name != "agno_rt"}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"an import cycle: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module not in done:
            for other in sorted(graph.get(module, ())):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("path", kernel_files(), ids=module_name)
def test_each_floor_has_its_dependencies(path: Path) -> None:
    """A module imports only the outside packages of its floor. Values, contracts and decisions import no doers."""
    own = part(module_name(path))
    if not own:
        return
    floor = FLOORS[own]
    allowed = EDGE_OUTSIDE[own] if floor == EDGES else OUTSIDE[floor]
    for module, _, line in imports(path):
        top = module.partition(".")[0]
        if top == "agno_rt" or line in for_checkers_alone(path):
            continue
        if top not in sys.stdlib_module_names:
            assert top in allowed, f"{path}:{line}: floor {floor} may import {sorted(allowed)}, not {top}"
        assert top != "asyncio" or own == "from_asyncio", f"{path}:{line}: all concurrency is trio's"
        if floor < DRIVERS:
            assert top not in DOERS, f"{path}:{line}: floor {floor} decides, it does nothing: leave {top} to a driver"


@pytest.mark.parametrize("path", plugin_files(), ids=module_name)
def test_plugins_know_public_names_alone(path: Path) -> None:
    """A plugin imports only public names of agno_rt, and nothing of another plugin."""
    own = path.relative_to(PLUGINS).parts[1]
    for module, name, line in imports(path):
        top, *below = module.split(".")
        assert top == own or not top.startswith("agno_rt_"), f"{path}:{line}: a plugin must not know another, {top}"
        if top != "agno_rt":
            continue
        private = [word for word in (*below, name or "") if word.startswith("_")]
        assert not private, f"{path}:{line}: {private[0]} may change any day; ask for a public name"
        if name is not None and below:
            public = getattr(importlib.import_module(module), "__all__", None)
            assert public is None or name in public, f"{path}:{line}: {module} does not offer {name}: not in `__all__`"


WITHOUT_TRIO = """
import importlib, sys, types

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "trio":
            raise ImportError("trio is blocked here")

sys.meta_path.insert(0, Blocker())
# The package root brings everything; the modules below it are imported by themselves.
root = types.ModuleType("agno_rt")
root.__path__ = [sys.argv[1]]
sys.modules["agno_rt"] = root
for module in sys.argv[2:]:
    importlib.import_module("agno_rt." + module)
assert "trio" not in sys.modules
"""


def test_decisions_need_no_trio() -> None:
    """Floors 1 to 4 import in a process that cannot import trio."""
    modules = [
        module_name(path).partition(".")[2]
        for path in kernel_files()
        if FLOORS.get(part(module_name(path)), 9) < DRIVERS
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRIO, str(KERNEL), *modules], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, f"floors 1 to 4 must not import trio:\n{done.stderr}"


def test_the_kernel_imports_little() -> None:
    """The kernel imports attrs, msgspec, pluggy and trio with their dependencies, and nothing else."""
    code = "import sys; before = set(sys.modules); import agno_rt; agno_rt.Runtime; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought = {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names

    of_trio = {"outcome", "sniffio", "sortedcontainers", "idna", "cffi", "exceptiongroup"}
    of_msgspec = {"typing_extensions"}
    few = {"agno_rt", "attr", "attrs", "msgspec", "pluggy", "trio"}
    assert {name for name in brought if not name.startswith("_")} <= few | of_trio | of_msgspec
    assert not {"sqlite3", "asyncio", "importlib.metadata"} & set(done.stdout.split()), "import it where it is used"


def test_no_folder_is_crowded() -> None:
    """A folder of the kernel or of a plugin has at most 30 modules, so that a reader finds one by its name."""
    folders: dict[Path, int] = {}
    for path in [*kernel_files(), *plugin_files()]:
        folders[path.parent] = folders.get(path.parent, 0) + 1

    crowded = {str(folder): count for folder, count in folders.items() if count > 30}
    assert not crowded, f"group modules of one subject in a folder of their own: {crowded}"


@pytest.mark.parametrize("path", [*kernel_files(), *plugin_files()], ids=module_name)
def test_modules_are_short(path: Path) -> None:
    """A module has at most 500 lines; a listed exception has at most 600."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = 600 if module_name(path) in LONG_MODULES else 500

    assert lines <= limit, f"{path} has {lines} lines: split it by what its parts know"


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function of a file with its qualified name."""

    def walk(node: ast.AST, where: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{where}.{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child
                yield from walk(child, name)
            else:
                yield from walk(child, where)

    return walk(tree(path), module_name(path))


@pytest.mark.parametrize("path", [*kernel_files(), *plugin_files()], ids=module_name)
def test_functions_are_short(path: Path) -> None:
    """A function has at most 80 lines."""
    for name, function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= 80, f"{name} has {lines} lines: give its parts names"


@pytest.mark.parametrize("path", [*kernel_files(), *plugin_files()], ids=module_name)
def test_functions_take_few_parameters(path: Path) -> None:
    """A function has at most six parameters, without `self`. Keyword parameters count; click's commands are exempt."""
    for name, function in functions(path):
        names = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        count = len([arg for arg in names if arg.arg not in ("self", "cls")])
        is_command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
        if any(ast.unparse(decorator) == "overload" for decorator in function.decorator_list):
            continue  # what a checker is told of a function, or of a value's fields
        assert count <= 6 or is_command or name in MANY_PARAMETERS, f"{name} takes {count} parameters: make values"


def test_the_exceptions_are_still_needed() -> None:
    """Every listed exception is still needed."""
    files = {module_name(path): path for path in [*kernel_files(), *plugin_files()]}
    long = {name for name, path in files.items() if len(path.read_text(encoding="utf-8").splitlines()) > 400}

    assert LONG_MODULES.keys() <= long
    assert MANY_PARAMETERS.keys() <= {name for path in files.values() for name, _ in functions(path)}


def test_an_agent_has_ten_slots() -> None:
    """An agent has at most ten fields. A new setting goes into one of the values held by the agent."""
    assert len(attrs.fields(agno_rt.Agent)) <= 10


def public_modules() -> list[Path]:
    """List the modules with public names."""
    return [
        path
        for path in kernel_files()
        if path.name != "__init__.py" and not any(name.startswith("_") for name in path.relative_to(KERNEL).parts)
    ]


def exported(path: Path) -> list[str]:
    """Read the module's `__all__` from the source."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise AssertionError(f"{path} has no `__all__`: say what is public")


@pytest.mark.parametrize("path", public_modules(), ids=module_name)
def test_all_is_sorted_and_there(path: Path) -> None:
    """Each public module has a sorted `__all__`: constants, then classes, then functions."""
    names = exported(path)
    module = importlib.import_module(module_name(path))

    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name)), f"sort {path}"
    assert all(hasattr(module, name) for name in names), f"{path} offers what it does not have"


@pytest.mark.parametrize("path", public_modules(), ids=module_name)
def test_public_names_are_documented(path: Path) -> None:
    """Every public class, function and method has a docstring."""
    assert ast.get_docstring(tree(path)), f"{path} does not say what it owns"
    for node in tree(path).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name not in exported(
            path
        ):
            continue
        if any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list):
            continue
        assert ast.get_docstring(node), f"{path}:{node.lineno}: {node.name} has no docstring"
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                assert ast.get_docstring(method), f"{path}:{method.lineno}: {node.name}.{method.name} has no docstring"


def test_the_public_surface() -> None:
    """`agno_rt` offers exactly these names. A change here makes or breaks a promise: write the change down."""
    offered = [
        alias.name
        for node in ast.walk(tree(KERNEL / "__init__.pyi"))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    ]

    assert all(getattr(agno_rt, name) is not None for name in offered), "type checkers see what is not there"
    assert set(offered) <= set(dir(agno_rt))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module("agno_rt").no_such_name
    assert sorted(offered) == [
        "Again",
        "Agent",
        "AgentPool",
        "AgnoError",
        "Ask",
        "Cache",
        "Deps",
        "Emit",
        "Event",
        "Fallback",
        "Flow",
        "FromUser",
        "Guard",
        "Guardrail",
        "Hedge",
        "Hook",
        "Knowledge",
        "Limiter",
        "Limits",
        "Media",
        "MemoryPolicy",
        "Message",
        "Model",
        "ModelRequest",
        "ModelResponse",
        "ModelSettings",
        "Output",
        "RateLimit",
        "Retry",
        "Run",
        "RunContext",
        "RunResult",
        "RunStream",
        "Runnable",
        "Runtime",
        "SpendLimit",
        "State",
        "Stop",
        "Team",
        "Template",
        "Tool",
        "ToolCall",
        "ToolSearch",
        "Toolkit",
        "Usage",
        "Verdict",
        "Workflow",
        "hookimpl",
        "run",
        "step",
        "tool",
        "workflow",
    ]


def test_hooks_are_documented() -> None:
    """Every hook has a docstring, and is public, so that the documentation lists the hook."""
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("agno_rt_")}

    assert set(hooks) == {
        "agno_rt_examine",
        "agno_rt_observe",
        "agno_rt_register_commands",
        "agno_rt_register_context",
        "agno_rt_register_embedders",
        "agno_rt_register_guardrails",
        "agno_rt_register_knowledge",
        "agno_rt_register_memory",
        "agno_rt_register_models",
        "agno_rt_register_modes",
        "agno_rt_register_readers",
        "agno_rt_register_rerankers",
        "agno_rt_register_routes",
        "agno_rt_register_tools",
    }
    for name, hook in hooks.items():
        assert inspect.getdoc(hook), f"{name} has no docstring"
        assert name in hookspecs.__all__, f"{name} is not public, so that the documentation leaves it out"


def tracked() -> list[Path]:
    """List every tracked file in the repository."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_machine_and_no_registry_is_named() -> None:
    """No tracked file contains a path of a machine or the host of a package registry."""
    folders = "work|root|home"
    hosts = "|".join(
        re.escape(".".join(parts)) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "com"))
    )
    named = re.compile(rf"(?<![\w.~$}}])/(?:{folders})/\w|{hosts}")
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            assert not named.search(line), (
                f"{path.relative_to(ROOT)}:{number} names a machine or a registry: {line[:80]}"
            )


def test_the_tests_tell_what_they_show() -> None:
    """Every test of the kernel has a docstring, and no test mocks or sleeps."""
    # Tests of commands and of whole programs wait for processes by the clock.
    inside = [path for path in Path(__file__).parent.rglob("test_*.py") if not {"cli", "e2e"} & {*path.parts}]
    for path in sorted(inside):
        for name, function in functions(path):
            if function.name.startswith("test_") and ast.get_docstring(function) is None:
                raise AssertionError(f"{name} does not say what it shows")
        names = {module.partition(".")[0] for module, _, _ in imports(path)}
        assert "mock" not in names, f"{path} mocks: use a real thing, or one of agno_rt.testing"
        assert ("unittest", "mock") not in {(module, name) for module, name, _ in imports(path)}
        assert "time" not in names, f"{path} may sleep: use a clock or an event"
