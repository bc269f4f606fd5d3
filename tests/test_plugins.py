"""The plugin host: plugins are found without an import, loaded on demand, and harmless when broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, distributions, version
from pathlib import Path
from typing import Any

import pytest

from agno_rt._package.requirements import find_unmet
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import NotFound, PluginError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.readiness import Finding
from agno_rt.testing import ScriptedModel

MakePoint = Callable[..., EntryPoint]
SHIPPED = {"files", "log", "memory", "sqlite"}


def offering(*names: str, help: str = "") -> Callable[[Any], None]:
    """Make a registration hook that offers models with these names. Each model's name repeats the request."""

    def register_all(register: Any) -> None:
        for name in names:
            register(name, lambda rest, settings, name=name: ScriptedModel([], name=f"{name}|{rest}|{settings}"), help)

    return register_all


class TestModels:
    """Models by spec string."""

    @pytest.mark.parametrize(
        ("spec", "called"),
        [
            ("p:small", "small||{'k': 1}"),
            ("p:small:8bit:x", "small|8bit:x|{'k': 1}"),
            ("p:huge", "*|huge|{'k': 1}"),
            ("p:huge:8bit", "*|huge:8bit|{'k': 1}"),
            ("p:/a/file.gguf", "*|/a/file.gguf|{'k': 1}"),
        ],
    )
    def test_names_and_the_star(self, plugin_point: MakePoint, spec: str, called: str) -> None:
        """A registered name gets the rest of the spec; the star gets every other spec unchanged."""
        host = PluginHost([plugin_point("p", agno_rt_register_models=offering("small", "*"))])

        assert host.model(spec, {"p": {"k": 1}, "q": {"k": 2}}).name == called

    @pytest.mark.parametrize("spec", ["p", "p:", "p:smal", "p:smal:x"])
    def test_a_name_that_is_not_there(self, plugin_point: MakePoint, spec: str) -> None:
        """An error for an unknown model lists the known models."""
        host = PluginHost([plugin_point("p", agno_rt_register_models=offering("small"))])
        with pytest.raises(NotFound, match=f"unknown model {spec!r}") as caught:
            host.model(spec, {})

        assert "p:small" in caught.value.hint

    def test_the_star_needs_a_name(self, plugin_point: MakePoint) -> None:
        """A spec of a plugin alone names no model, even for a plugin with a star."""
        host = PluginHost([plugin_point("p", agno_rt_register_models=offering("*"))])
        with pytest.raises(NotFound) as caught:
            host.model("p:", {})

        assert "p:NAME" in caught.value.hint

    def test_a_plugin_that_is_not_there(self, plugin_point: MakePoint) -> None:
        """An error for an unknown plugin tells the spec and the nearest name."""
        host = PluginHost([plugin_point("openai", agno_rt_register_models=offering("*"))])
        with pytest.raises(NotFound, match=r"unknown plugin 'opnai' .in 'opnai:gpt'") as caught:
            host.model("opnai:gpt", {})

        assert "Did you mean 'openai'?" in caught.value.hint

    def test_a_plugin_that_offers_something_else(self) -> None:
        """A plugin without models is not found for a model's spec."""
        with pytest.raises(NotFound, match="unknown model 'memory:x'"):
            PluginHost().model("memory:x", {})

    def test_a_name_twice(self, plugin_point: MakePoint) -> None:
        """Registering a name twice breaks the plugin."""
        host = PluginHost([plugin_point("p", agno_rt_register_models=offering("a", "a"))])
        with pytest.raises(PluginError, match="models 'a' is registered twice"):
            host.model("p:a", {})

    def test_the_same_name_in_two_plugins(self, plugin_point: MakePoint) -> None:
        """Two plugins may offer models of the same name."""
        hook = offering("a")
        host = PluginHost([plugin_point(name, agno_rt_register_models=hook) for name in ("p", "q")])

        assert host.model("p:a", {}).name == host.model("q:a", {}).name

    def test_tools_are_found_the_same_way(self, plugin_point: MakePoint) -> None:
        """A tool's spec reads like a model's."""
        host = PluginHost([plugin_point("p", agno_rt_register_tools=offering("small", "*"))])

        assert host.tool("p:x:y", {}).name == "*|x:y|{}"
        with pytest.raises(NotFound, match="unknown plugin 'q'"):
            host.tool("q:x", {})


class TestSuggestions:
    """Hints for unknown spec strings."""

    def test_a_name_without_its_plugin(self, plugin_point: MakePoint) -> None:
        """The hint for a bare name puts the plugin in front."""
        host = PluginHost([plugin_point("p", agno_rt_register_models=offering("small"))])

        assert host.suggest("models", "small") == "Write p:small."
        with pytest.raises(NotFound, match="unknown model 'small'") as caught:
            host.model("small", {})
        assert caught.value.hint == "Write p:small."

    def test_a_spec_without_its_plugin(self, plugin_point: MakePoint) -> None:
        """The hint keeps the rest of the spec, hides passwords, and names each plugin with such a thing."""
        points = [plugin_point(name, agno_rt_register_tools=offering("sql")) for name in ("p", "q")]
        host = PluginHost(points)

        assert host.suggest("tools", "sql:shop.db") == "Write p:sql:shop.db or q:sql:shop.db."
        for password in ("s3cret", "p#s3cret", "p/s3cret", "p?s3cret"):
            assert "s3cret" not in host.suggest("tools", f"sql:postgresql://ann:{password}@db/shop")

    def test_a_thing_named_as_its_plugin(self, plugin_point: MakePoint) -> None:
        """A thing with the plugin's name is listed and suggested by the name alone, which makes the thing."""
        host = PluginHost([plugin_point("todo", agno_rt_register_tools=offering("todo", "other"))])

        assert [offer.spec for offer in host.offers("tools")] == ["todo", "todo:other"]
        assert host.tool("todo", {}).name == "todo||{}"
        with pytest.raises(NotFound) as caught:
            host.tool("todu", {})
        assert caught.value.hint == "Did you mean 'todo'? Known: todo, todo:other."

    def test_a_plugin_has_its_say(self, plugin_point: MakePoint) -> None:
        """A plugin with a star may suggest a spec; a failing suggestion is dropped."""

        def register_all(register: Any) -> None:
            register("*", print, suggest=lambda spec: {"big": "Write p:big."}[spec])

        host = PluginHost([plugin_point("p", agno_rt_register_models=register_all)])

        assert [host.suggest("models", spec) for spec in ("big", "odd")] == ["Write p:big.", ""]

    def test_plugins_without_models_are_not_named(self, plugin_point: MakePoint) -> None:
        """The hint for a model's unknown plugin lists only plugins with models."""
        points = [
            plugin_point("p", agno_rt_register_models=offering("small")),
            plugin_point("q", agno_rt_register_tools=offering("saw")),
        ]
        with pytest.raises(NotFound) as caught:
            PluginHost(points).model("x:small", {})

        assert caught.value.hint == "Known: p."

    def test_a_misspelt_hook(self, plugin_point: MakePoint) -> None:
        """A misspelt hook keeps the plugin from loading. The error names the nearest hook."""
        host = PluginHost([plugin_point("p", agno_rt_register_tool=offering("saw"))])
        with pytest.raises(PluginError, match="unknown hook 'agno_rt_register_tool'") as caught:
            host.tool("p:saw", {})

        assert "Did you mean 'agno_rt_register_tools'?" in caught.value.hint


class TestPasswords:
    """URLs in spec strings, whose passwords no error may show."""

    @pytest.mark.parametrize("spec", ["q:db://ann:pa@ss@host/x", "p:smal:db://ann:pa@ss@host", "p", "db://ann:pa@ss@h"])
    def test_errors_hide_the_password_of_a_url(self, plugin_point: MakePoint, spec: str) -> None:
        """Errors for unknown plugins, names, schemes and texts have the user and not the password."""
        host = PluginHost([plugin_point("p", agno_rt_register_models=offering("small"))])
        for make in (host.model, host.tool, host.memory, host.knowledge):
            with pytest.raises(UsageError) as caught:
                make(spec, {})
            assert "pa@ss" not in caught.value.full_text
            assert "ann:...@h" in caught.value.full_text or ":" not in spec or make in (host.memory, host.knowledge)


class TestGuardrails:
    """Guardrails by spec string."""

    def test_are_found_as_models_are(self, plugin_point: MakePoint) -> None:
        """A guardrail's spec reads like a model's. The host returns the factory's value."""
        host = PluginHost([plugin_point("p", agno_rt_register_guardrails=offering("calm", "*"))])

        assert host.guardrail("p:calm:0.5", {"p": {"k": 1}}).name == "calm|0.5|{'k': 1}"
        assert host.guardrail("p:x:y", {}).name == "*|x:y|{}"
        assert [offer.name for offer in host.offers("guardrails")] == ["calm", "*"]

    def test_one_that_is_not_there(self, plugin_point: MakePoint) -> None:
        """An error for an unknown guardrail or plugin offers the nearest name."""
        host = PluginHost([plugin_point("p", agno_rt_register_guardrails=offering("calm"))])
        with pytest.raises(NotFound, match="unknown guardrail 'p:clam'") as caught:
            host.guardrail("p:clam", {})
        assert "Did you mean 'p:calm'?" in caught.value.hint
        with pytest.raises(NotFound, match=r"unknown plugin 'q' .in 'q:calm'"):
            host.guardrail("q:calm", {})

    def test_a_broken_plugin(self, plugin_point: MakePoint) -> None:
        """A broken plugin fails each request; a failing factory is named with the guardrail."""

        def factory(rest: str, settings: Any) -> Any:
            raise LookupError("no rules")

        good = plugin_point("p", agno_rt_register_guardrails=lambda register: register("calm", factory))
        host = PluginHost([good, EntryPoint("bad", "no_such_module", "agno_rt")])
        with pytest.raises(PluginError, match="failed to make 'calm': LookupError: no rules"):
            host.guardrail("p:calm", {})
        with pytest.raises(PluginError, match=r"plugin 'bad'.*ModuleNotFoundError"):
            host.guardrail("bad:calm", {})


class TestMemory:
    """Memory backends by URL."""

    def make(self, url: str, settings: Mapping[str, Any]) -> Any:
        """Make a backend that remembers URL and settings."""
        memory = InProcessMemory()
        memory.url = url  # type: ignore[attr-defined]  # a double
        memory.settings = settings  # type: ignore[attr-defined]  # a double
        return memory

    def test_a_scheme_of_another_name_is_found(self, plugin_point: MakePoint) -> None:
        """A scheme with another name than the plugin's is found by loading all plugins, despite broken plugins."""

        def broken(register: Any) -> None:
            raise OSError("gone")

        host = PluginHost(
            [
                plugin_point("broken", agno_rt_register_memory=broken),
                plugin_point("pg", agno_rt_register_memory=lambda register: register("postgresql", self.make)),
            ]
        )
        memory = host.memory("postgresql://host/db", {"pg": {"k": 1}})

        assert (memory.url, memory.settings) == ("postgresql://host/db", {"k": 1})
        assert set(host.failures) == {"broken"}

    def test_a_scheme_named_as_its_plugin_loads_no_other(self, plugin_point: MakePoint) -> None:
        """A scheme with the plugin's name loads only this plugin."""
        host = PluginHost(
            [
                EntryPoint("other", "no_such_module_at_all", "agno_rt"),
                plugin_point("redis", agno_rt_register_memory=lambda register: register("redis", self.make)),
            ]
        )
        host.memory("redis://host", {})

        assert host.failures == {}

    @pytest.mark.parametrize("url", ["", "memory", ":x", "agents.db"])
    def test_no_url(self, url: str) -> None:
        """An error for an invalid URL shows a valid one."""
        with pytest.raises(UsageError, match="is not a memory URL") as caught:
            PluginHost().memory(url, {})

        assert "sqlite:///" in caught.value.hint

    def test_an_unknown_scheme(self) -> None:
        """An error for an unknown scheme tells the URL and the nearest scheme."""
        with pytest.raises(NotFound, match=r"unknown memory URL scheme 'sqlit' .in 'sqlit:///a'") as caught:
            PluginHost().memory("sqlit:///a", {})

        assert "'sqlite'" in caught.value.hint

    def test_a_scheme_twice(self, plugin_point: MakePoint) -> None:
        """A scheme offered by two plugins works for the first plugin, and the second is broken."""
        host = PluginHost(
            [
                plugin_point(name, agno_rt_register_memory=lambda register: register("mine", self.make))
                for name in ("a", "b")
            ]
        )
        infos = {info.name: info for info in host.plugins()}

        assert infos["a"].error is None
        assert "memory 'mine' is taken by plugin 'a'" in str(infos["b"].error)
        assert host.memory("mine:", {}).url == "mine:"


class TestBroken:
    """Broken plugins."""

    def check(self, host: PluginHost, reason: str, name: str = "bad") -> PluginError:
        """Check that the bad plugin fails twice alike, that a good plugin works, and that both are listed."""
        for _ in range(2):
            with pytest.raises(PluginError, match=reason) as caught:
                host.model(f"{name}:x", {})
            assert caught.value.plugin == name
            assert name in caught.value.message
            assert caught.value.hint
        assert host.model("good:x", {}).name == "x||{}"
        infos = {info.name: info for info in host.plugins()}
        assert infos["good"].error is None
        assert infos[name].error is host.failures[name]
        return caught.value

    @pytest.fixture
    def good(self, plugin_point: MakePoint) -> EntryPoint:
        """Make a plugin that works."""
        return plugin_point("good", agno_rt_register_models=offering("x"))

    def test_an_import_that_fails(self, good: EntryPoint) -> None:
        """A missing module breaks the plugin."""
        error = self.check(PluginHost([EntryPoint("bad", "no_such_module", "agno_rt"), good]), "ModuleNotFoundError")

        assert isinstance(error.__cause__, ModuleNotFoundError)

    def test_an_attribute_that_is_not_there(self, good: EntryPoint) -> None:
        """An entry point to a missing attribute breaks the plugin."""
        self.check(PluginHost([EntryPoint("bad", "json:no_such_thing", "agno_rt"), good]), "AttributeError")

    def test_a_misspelt_hook(self, plugin_point: MakePoint, good: EntryPoint) -> None:
        """A misspelt hook breaks the plugin."""
        bad = plugin_point("bad", agno_rt_register_model=offering("x"))
        self.check(PluginHost([bad, good]), "agno_rt_register_model'?.*")

    def test_wrong_arguments(self, plugin_point: MakePoint, good: EntryPoint) -> None:
        """A hook with wrong arguments breaks the plugin."""

        def hook(registry: Any) -> None:
            """Take another argument."""

        self.check(PluginHost([plugin_point("bad", agno_rt_register_models=hook), good]), "registry")

    @pytest.mark.parametrize(("offered", "factory"), [("x", 42), (42, print), ("", print), (None, print)])
    def test_registering_nonsense(self, plugin_point: MakePoint, good: EntryPoint, offered: Any, factory: Any) -> None:
        """An invalid name or a factory that cannot be called breaks the plugin."""
        bad = plugin_point("bad", agno_rt_register_models=lambda register: register(offered, factory))
        self.check(PluginHost([bad, good]), "TypeError")

    @pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(3), ExceptionGroup("g", [ValueError("oops")])])
    def test_a_hook_that_raises(self, plugin_point: MakePoint, good: EntryPoint, error: BaseException) -> None:
        """An exception of a hook, even `SystemExit`, breaks only the hook's plugin."""

        def hook(register: Any) -> None:
            raise error

        bad = plugin_point("bad", agno_rt_register_models=hook)
        assert self.check(PluginHost([bad, good]), type(error).__name__).__cause__ is error

    def test_half_registered_is_not_registered(self, plugin_point: MakePoint, good: EntryPoint) -> None:
        """The registrations of a broken plugin are dropped, and the names stay free."""

        def half(register: Any) -> None:
            register("mine", lambda url, settings: InProcessMemory())
            raise ValueError("oops")

        bad = plugin_point("bad", agno_rt_register_memory=half)
        whole = plugin_point(
            "whole", agno_rt_register_memory=lambda register: register("mine", lambda u, s: InProcessMemory())
        )
        host = PluginHost([bad, whole, good])

        assert [offer.plugin for offer in host.offers("memory")] == ["whole"]
        assert host.memory("mine:", {})

    def test_a_factory_that_fails(self, plugin_point: MakePoint) -> None:
        """A factory's exception becomes a new `PluginError` each time. Other factories of the plugin work."""

        def factory(rest: str, settings: Any) -> Any:
            raise LookupError("no key")

        def register_all(register: Any) -> None:
            register("bad", factory)
            offering("x")(register)

        host = PluginHost([plugin_point("p", agno_rt_register_models=register_all)])
        for _ in range(2):
            with pytest.raises(PluginError, match="failed to make 'bad': LookupError: no key") as caught:
                host.model("p:bad", {})
            assert isinstance(caught.value.__cause__, LookupError)
        assert host.model("p:x", {})

    def test_a_factory_that_blames_the_caller(self, plugin_point: MakePoint) -> None:
        """A factory's `UsageError` is passed on to the caller."""

        def factory(rest: str, settings: Any) -> Any:
            raise UsageError("there is no such file", hint="Name another.")

        host = PluginHost([plugin_point("p", agno_rt_register_models=lambda register: register("m", factory))])
        with pytest.raises(UsageError, match="no such file"):
            host.model("p:m", {})

    def test_two_distributions_with_one_name(self, good: EntryPoint) -> None:
        """A name offered by two distributions is refused, and the error names both."""
        host = PluginHost([EntryPoint("bad", "one", "agno_rt"), EntryPoint("bad", "two", "agno_rt"), good])
        error = self.check(host, "two distributions offer a plugin 'bad': one and two")

        assert "Uninstall" in error.hint

    def test_one_distribution_seen_twice(self, plugin_point: MakePoint) -> None:
        """The same entry point found twice, as with a repeated path, is one plugin."""
        point = plugin_point("p", agno_rt_register_models=offering("x"))
        host = PluginHost([point, point])

        assert host.names() == ["p"]
        assert host.model("p:x", {})


class TestExamine:
    """What plugins find about themselves, for `agno-rt doctor`."""

    def test_returns_the_findings_of_one_plugin(self, plugin_point: MakePoint) -> None:
        """The hook gets the plugin's own table; a plugin without the hook finds nothing."""
        examine = lambda settings: [Finding("note", f"mark {settings['mark']}")]  # noqa: E731
        host = PluginHost([plugin_point("p", agno_rt_examine=examine), plugin_point("q")])

        assert host.examine("p", {"mark": "*"}) == [Finding("note", "mark *")]
        assert host.examine("q", {}) == []

    def test_a_hook_that_raises(self, plugin_point: MakePoint) -> None:
        """A failing hook is an error of the plugin, also one that returns no list."""
        for name, examine in (("p", raises_os_error), ("q", lambda settings: 3)):
            with pytest.raises(PluginError, match=rf"plugin '{name}' .*failed to examine itself"):
                PluginHost([plugin_point(name, agno_rt_examine=examine)]).examine(name, {})


def raises_os_error(settings: Any) -> Any:
    """Fail."""
    raise OSError("no disk")


class TestObservers:
    """Observers of plugins."""

    def test_returns_what_the_hook_returns(self, plugin_point: MakePoint) -> None:
        """The hook gets the runtime, and the host returns the hook's observer."""
        host = PluginHost([plugin_point("p", agno_rt_observe=lambda runtime: [runtime].append)])

        assert host.observer("p", "the runtime").__self__ == ["the runtime"]  # type: ignore[attr-defined]  # a bound method

    def test_a_plugin_that_observes_nothing(self, plugin_point: MakePoint) -> None:
        """A plugin without an observer is an error, also when the hook returns nothing."""
        for name, hooks in (("p", {}), ("q", {"agno_rt_observe": lambda runtime: None})):
            with pytest.raises(PluginError, match=f"plugin '{name}' observes nothing") as caught:
                PluginHost([plugin_point(name, **hooks)]).observer(name, None)
            assert "agno_rt_observe" in caught.value.hint

    def test_a_hook_that_raises(self, plugin_point: MakePoint) -> None:
        """A failing hook is an error of the plugin."""

        def observe(runtime: Any) -> Any:
            raise OSError("no socket")

        with pytest.raises(PluginError, match="failed to make its observer: OSError: no socket"):
            PluginHost([plugin_point("p", agno_rt_observe=observe)]).observer("p", None)

    def test_an_unknown_one(self) -> None:
        """An error for an unknown plugin offers the nearest name."""
        with pytest.raises(NotFound, match="unknown plugin 'lok'") as caught:
            PluginHost().observer("lok", None)

        assert "'log'" in caught.value.hint


class TestBlocked:
    """Blocked plugins, never loaded."""

    def test_are_not_there_but_known_to_be_blocked(self) -> None:
        """A blocked plugin is in no list. An error for a blocked plugin tells the reason."""
        host = PluginHost(block=["sqlite"])

        assert set(host.names()) >= SHIPPED - {"sqlite"}
        assert "sqlite" not in host.names()
        for ask in (
            lambda: host.memory("sqlite:///a.db", {}),
            lambda: host.model("sqlite:x", {}),
            lambda: host.observer("sqlite", None),
        ):
            with pytest.raises(NotFound, match="'sqlite'") as caught:
                ask()
            assert "blocked" in caught.value.hint

    def test_a_name_that_is_blocked_but_not_installed(self) -> None:
        """The hint for a blocked plugin does not claim an installation."""
        with pytest.raises(NotFound) as caught:
            PluginHost(block=["nope"]).model("nope:x", {})

        assert "installed" not in caught.value.hint


def test_what_ships_comes_through_the_same_door() -> None:
    """The shipped plugins are entry points of the distribution, and each loads."""
    infos = {info.name: info for info in PluginHost().plugins() if info.name in SHIPPED}

    assert set(infos) == SHIPPED
    for info in infos.values():
        assert info.error is None
        assert info.distribution == "agno-rt"
        assert info.version
    assert [(offer.kind, offer.name) for offer in infos["memory"].offers] == [
        ("context", "past-sessions"),
        ("memory", "memory"),
        ("knowledge", "memory"),
    ]
    assert all(offer.help for info in infos.values() for offer in info.offers)


def test_hosts_share_nothing(plugin_point: MakePoint) -> None:
    """Failures of one host do not reach another host."""
    point = EntryPoint("bad", "no_such_module", "agno_rt")
    PluginHost([point]).plugins()

    assert PluginHost([point]).failures == {}


def install(folder: Path, distribution: str, entry: str, code: str, requires: str = "") -> None:
    """Put a distribution into a folder, as an installer does: a module and metadata."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n{requires}\n")
    (info / "entry_points.txt").write_text(f"[agno_rt]\n{entry}\n")


GOOD = """
from agno_rt import ModelResponse, hookimpl

class Parrot:
    name = "parrot"
    async def respond(self, request, emit=None):
        return ModelResponse(request.messages[-1].content)

@hookimpl
def agno_rt_register_models(register):
    register("grey", lambda rest, settings: Parrot(), help="repeats you")
"""

SCRIPT = """
import json, sys
from agno_rt.plugins import PluginHost

host = PluginHost()
names = host.names()
imported = [name for name in sys.modules if name.startswith("throwaway_") or name.startswith("agno_rt.defaults.")]
import agno_rt
answer = agno_rt.run(agno_rt.Agent("parrot:grey"), "hello", plugins=host).content
after = [name for name in sys.modules if name.startswith("throwaway_")]
infos = {
    i.name: [i.distribution, i.version, [o.name for o in i.offers], i.error and i.error.message]
    for i in host.plugins()
}
print(json.dumps([names, imported, answer, after, infos]))
"""


def test_real_distributions(tmp_path: Path) -> None:
    """Installed distributions are found without an import. A good plugin runs; errors name broken plugins."""
    install(tmp_path, "throwaway-good", "parrot = throwaway_good", GOOD)
    install(tmp_path, "throwaway-broken", "broken = throwaway_broken", "import no_such_driver")
    install(tmp_path, "throwaway-misspelt", "misspelt = throwaway_misspelt", GOOD.replace("_models", "_modles"))
    install(tmp_path, "throwaway-one", "twice = throwaway_one", GOOD)
    install(tmp_path, "throwaway-two", "twice = throwaway_two", GOOD)

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names, imported, answer, after, infos = json.loads(done.stdout)

    assert {"parrot", "broken", "misspelt", "twice", *SHIPPED} <= set(names)
    assert imported == []
    assert answer == "hello"
    assert after == ["throwaway_good"]
    assert infos["parrot"] == ["throwaway-good", "1.2.3", ["grey"], None]
    assert "'broken' (throwaway-broken 1.2.3) failed to load: ModuleNotFoundError" in infos["broken"][3]
    assert "agno_rt_register_modles" in infos["misspelt"][3]
    assert "throwaway-one" in infos["twice"][3]
    assert "throwaway-two" in infos["twice"][3]
    assert done.stderr == ""


KERNEL = version("agno-rt")


@pytest.mark.parametrize(
    ("kernel", "requirement", "unmet"),
    [
        ("0.1.0", "agno-rt~=0.1.0", ""),
        ("0.1.7", "agno-rt~=0.1.0", ""),
        ("0.1.0rc1", "agno-rt~=0.1.0", ""),
        ("0.2.0", "agno-rt~=0.1.0", "~=0.1.0"),
        ("0.1.0", "agno-rt~=0.0.9", "~=0.0.9"),
        ("0.1.0", "Agno.RT[process]~=0.2.0", "~=0.2.0"),
        ("1.4.2", "agno-rt~=1.2", ""),
        ("2.0", "agno-rt~=1.2", "~=1.2"),
        ("1.1.9", "agno-rt~=1.2", "~=1.2"),
        ("0.1", "agno-rt==0.1.0", ""),
        ("0.1.0", "agno-rt==0.1.*", ""),
        ("0.1.0", "agno-rt==0.0.*", "==0.0.*"),
        ("0.1.0", "agno-rt!=0.1.*", "!=0.1.*"),
        ("0.3.1", "agno-rt<0.4,>=0.2,!=0.3.1", "<0.4,>=0.2,!=0.3.1"),
        ("0.1.0", "agno_rt (>=0.2,<0.3)", ">=0.2,<0.3"),
        ("0.1.0", "agno-rt[process] (<1.0,>=0.1)", ""),
        ("0.1.0", "agno-rt<=0.0.9", "<=0.0.9"),
        ("0.1.0", "agno-rt>0.1", ">0.1"),
        ("0.1.0", "agno-rt===0.1.0", ""),
        ("0.1.0", "agno-rt", ""),
        ("0.1.0", "agno-rt @ file:///somewhere", ""),
        ("0.1.0", "agno-rt~=not.a.version", ""),
        ("0.1.0", 'agno-rt~=9.0; extra == "later"', ""),
        ("0.1.0", "agno-rt-serve~=9.0", ""),
        ("", "agno-rt~=0.1.0", ""),
    ],
)
def test_requirements_of_the_kernel(kernel: str, requirement: str, unmet: str) -> None:
    """Requirements are read as by installers. Unreadable or foreign requirements require nothing."""
    assert find_unmet(["attrs>=24.2", requirement], kernel) == unmet


def test_a_plugin_made_for_another_kernel(tmp_path: Path) -> None:
    """A plugin for another kernel is refused before the import, with both versions and a remedy."""
    install(tmp_path, "made-for", "made = no_such_module", "", "Requires-Dist: agno-rt~=9.1.0")
    [found] = distributions(path=[str(tmp_path)])
    host = PluginHost(found.entry_points)
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            host.model("made:x", {})
        assert caught.value.message == (
            f"plugin 'made' (made-for 1.2.3) is made for agno-rt~=9.1.0, and this is agno-rt {KERNEL}"
        )
        assert caught.value.hint == (
            "Install what fits: pip install --upgrade made-for, or pip install 'agno-rt~=9.1.0'."
        )
        assert host.failures == {"made": caught.value}


def test_metadata_that_cannot_be_read_require_nothing(tmp_path: Path) -> None:
    """A distribution without metadata, as after a broken installation, is loaded unchecked."""
    install(tmp_path, "made-for", "made = made_for", GOOD)
    (tmp_path / "made_for-1.2.3.dist-info" / "METADATA").unlink()
    [found] = distributions(path=[str(tmp_path)])
    sys.path.insert(0, str(tmp_path))
    try:
        assert PluginHost(found.entry_points).model("made:grey", {}).name == "parrot"
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("made_for", None)


def test_the_command_line_names_a_plugin_for_another_kernel(tmp_path: Path) -> None:
    """`agno-rt plugins` lists a plugin for another kernel as failed, with a remedy. Other plugins and commands work."""
    install(tmp_path, "made-for", "made = made_for", "raise Exception", "Requires-Dist: agno-rt~=9.1.0")
    install(tmp_path, "throwaway-good", "parrot = throwaway_good", GOOD, f"Requires-Dist: agno-rt~={KERNEL}")

    def agno(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("agno-rt")), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    (tmp_path / "agno-rt.toml").write_text('[agents.bird]\nmodel = "parrot:grey"\n[agents.made]\nmodel = "made:x"\n')
    listed, good, bad = agno("plugins"), agno("run", "bird", "hello"), agno("run", "made", "hello")

    assert "is made for agno-rt~=9.1.0, and this is agno-rt" in listed.stderr
    assert "pip install --upgrade made-for" in listed.stderr
    assert good.stdout == "hello\n"
    assert "plugin 'made' (made-for 1.2.3) is made for agno-rt~=9.1.0" in bad.stderr
    assert bad.returncode != 0
