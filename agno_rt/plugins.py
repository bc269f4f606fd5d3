"""Finds, loads and asks plugins. Finding reads metadata only; the first use of a plugin imports the plugin.

A plugin that fails is remembered with the error, which each use raises, and other plugins go on. The host knows no
plugin by name: plugins that ship with agno_rt use the same entry points as all others.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from agno_rt import hookspecs
from agno_rt.errors import AgnoError, NotFound, PluginError, UsageError
from agno_rt.failures import must_pass, named, repr_of
from agno_rt.hookspecs import Observer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Offer", "PluginHost", "PluginInfo", "extra_plugins"]

GROUP = "agno_rt"
KINDS = (
    "models",
    "embedders",
    "rerankers",
    "tools",
    "guardrails",
    "context",
    "modes",
    "memory",
    "knowledge",
    "readers",
    "commands",
    "routes",
)
"""The kinds of things that plugins register, each by the hook `agno_rt_register_KIND`."""

_SHARED = ("memory", "knowledge", "readers", "commands", "routes")
"""Kinds whose names have no plugin's name before them, and so must be unique over all plugins."""


@attrs.frozen
class Offer:
    """A factory that a plugin registered under a name."""

    plugin: str
    kind: str
    name: str
    factory: Callable[..., Any] = attrs.field(repr=False)
    help: str = ""
    examples: Callable[[Mapping[str, Any]], Iterable[str]] | None = attrs.field(default=None, repr=False)
    suggest: Callable[[str], str] | None = attrs.field(default=None, repr=False)
    any_name: str = "NAME"

    @property
    def spec(self) -> str:
        """The spec string: `plugin:name`, with a word for any name; the plugin alone for a name equal to the plugin."""
        if self.name == self.plugin:
            return self.plugin
        return f"{self.plugin}:{self.any_name if self.name == '*' else self.name}"


@attrs.frozen
class PluginInfo:
    """A plugin as `agno-rt plugins` shows it: its distribution, its offers, and its error if it failed."""

    name: str
    distribution: str
    version: str
    offers: tuple[Offer, ...] = ()
    error: PluginError | None = None
    observes: bool = False


class PluginHost:
    """The plugins of one runtime. `block` names plugins that are never loaded.

    `entry_points` replaces the installed entry points, for tests.
    """

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None, *, block: Collection[str] = ()) -> None:
        self._given = entry_points
        self._block = frozenset(block)
        self._points: dict[str, EntryPoint] | None = None
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._offers: dict[str, dict[tuple[str, str], Offer]] = {}
        self._failures: dict[str, PluginError] = {}
        self._observing: list[tuple[Observer, str]] = []
        self._dropped: dict[str, PluginError] = {}
        self._blocked: set[str] = set()

    def names(self) -> list[str]:
        """Return the names of plugins that are installed and not blocked, without importing any."""
        return sorted(self._found())

    def provides(self, name: str, kind: str) -> bool:
        """Return whether an installed plugin offers things of the kind. Raises `PluginError` if it is broken."""
        return name in self._found() and any(of == kind for of, _ in self._load(name))

    def suggest(self, kind: str, spec: str) -> str:
        """Return a hint on how to write an unknown spec string; empty if no plugin has one."""
        offers = list(self.offers(kind))
        name, colon, rest = spec.partition(":")
        fitting = [_hide_password(f"{offer.spec}{colon}{rest}") for offer in offers if offer.name == name]
        hint = f"Write {' or '.join(fitting)}." if fitting else ""
        return hint or next((hint for offer in offers if (hint := _ask_for_hint(offer, spec))), "")

    def plugins(self) -> list[PluginInfo]:
        """Load every plugin, and return the offers or the error of each."""
        return [self._info(name, point) for name, point in sorted(self._found().items())]

    def model(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the model of a spec string. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("models", spec, settings)

    def embedder(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the embedder of a spec string. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("embedders", spec, settings)

    def reranker(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the reranker of a spec string. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("rerankers", spec, settings)

    def tool(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the tool or toolkit of a spec string. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("tools", spec, settings)

    def guardrail(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the guardrail or hook of a spec string. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("guardrails", spec, settings)

    def context(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the context provider of a spec string. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("context", spec, settings)

    def mode(self, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the mode of a spec string, for a team. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make("modes", spec, settings)

    def memory(self, url: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the memory backend of a URL. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make_of_url("memory", url, settings)

    def knowledge(self, url: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        """Make the knowledge store of a URL. Raises `UsageError`, `NotFound` or `PluginError`."""
        return self._make_of_url("knowledge", url, settings)

    def reader(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> Any | None:
        """Make the reader of a media type, or of a URL scheme with its colon; None without one.

        Raises `PluginError` for a reader that fails to be made.
        """
        offer = next((offer for offer in self.offers("readers") if offer.name == name), None)
        return None if offer is None else self._call(offer, name, settings.get(offer.plugin, {}))

    def shared(self, kind: str, name: str) -> Offer | None:
        """Return the scheme, command or route of a name. A plugin of the same name is asked first.

        Raises `PluginError` if the plugin of the same name is broken.
        """
        if name in self._found() and (offer := self._load(name).get((kind, name))):
            return offer
        return next((offer for offer in self.offers(kind) if offer.name == name), None)

    def offers(self, kind: str) -> Iterator[Offer]:
        """Yield the offers of a kind from all plugins that load. Plugins that fail are in `failures`."""
        for name in self.names():
            try:
                offers = self._load(name)
            except PluginError:
                continue
            yield from (offer for offer in offers.values() if offer.kind == kind)

    def observer(self, name: str, runtime: Any) -> Observer:
        """Return a plugin's observer for the runtime. Raises `NotFound` or `PluginError`."""
        self._load(name)
        hook = self._hook(name, "agno_rt_observe")
        try:
            observers = [observer for observer in hook(runtime=runtime) if observer is not None]
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise self._failed(name, "failed to make its observer", exc) from exc
        if not observers:
            raise PluginError(
                f"plugin {name!r} observes nothing", plugin=name, hint="It needs the hook agno_rt_observe."
            )
        observer: Observer = observers[0]
        self._observing.append((observer, name))
        return observer

    def examine(self, name: str, settings: Mapping[str, Any]) -> list[Any]:
        """Return a plugin's findings for `agno-rt doctor`. Raises `NotFound` or `PluginError`."""
        self._load(name)
        try:
            several = self._hook(name, "agno_rt_examine")(settings=settings)
            return [each for found in several for each in found]
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise self._failed(name, "failed to examine itself", exc) from exc

    @property
    def failures(self) -> Mapping[str, PluginError]:
        """The errors of the plugins that failed so far, by name."""
        return self._dropped | self._failures

    def observer_failed(self, observer: Observer, exc: BaseException) -> None:
        """Remember that an observer raised and was dropped. Warn if the observer did not come from a plugin."""
        name = next((name for other, name in self._observing if other is observer), None)
        if name is None:
            warnings.warn(
                f"the observer {repr_of(observer)} raised {named(exc)} and is dropped", RuntimeWarning, stacklevel=2
            )
            return
        self._dropped[name] = self._failed(name, "raised while it observed, and was dropped", exc)

    def _found(self) -> dict[str, EntryPoint]:
        if self._points is None:
            # Imported at the first look for plugins: importlib.metadata takes a fifth of the kernel's import time.
            from importlib.metadata import entry_points

            self._points = {}
            for point in entry_points(group=GROUP) if self._given is None else self._given:
                if point.name in self._block:
                    self._blocked.add(point.name)
                else:
                    self._find(self._points, point)
        return self._points

    def _find(self, points: dict[str, EntryPoint], point: EntryPoint) -> None:
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            both = f"{_name_distribution(other)[0]} and {_name_distribution(point)[0]}"
            self._failures[point.name] = PluginError(
                f"two distributions offer a plugin {point.name!r}: {both}",
                plugin=point.name,
                hint="Uninstall one of them; the name does not tell them apart.",
            )

    def _load(self, name: str) -> dict[tuple[str, str], Offer]:
        points = self._found()
        if name not in points:
            raise self._missing("plugin", name, points)
        if name in self._failures:
            raise self._failures[name]
        if name not in self._offers:
            self._offers[name] = self._import(name, points[name])
        return self._offers[name]

    def _import(self, name: str, point: EntryPoint) -> dict[tuple[str, str], Offer]:
        unfit = _check_kernel(name, point)
        if unfit is not None:
            self._failures[name] = unfit
            raise unfit
        try:
            plugin = point.load()
            self._manager.register(plugin, name)
            _check_hooks(plugin)
            return self._ask(name)
        except BaseException as exc:
            # A plugin may fail after it was registered, and its hooks must not be called then.
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            if must_pass(exc):
                raise
            self._failures[name] = self._failed(name, "failed to load", exc)
            raise self._failures[name] from exc

    def _ask(self, name: str) -> dict[tuple[str, str], Offer]:
        offers: dict[tuple[str, str], Offer] = {}
        for kind in KINDS:

            def register(
                offered: str, factory: Callable[..., Any], help: str = "", *, kind: str = kind, **more: Any
            ) -> None:
                if not isinstance(offered, str) or not offered:
                    raise TypeError(f"{offered!r} is not a name for one of its {kind}")
                if not callable(factory):
                    raise TypeError(f"the factory of {kind} {offered!r} is not callable")
                if (kind, offered) in offers:
                    raise ValueError(f"{kind} {offered!r} is registered twice")
                self._must_be_free(kind, offered)
                offers[kind, offered] = Offer(name, kind, offered, factory, help, **more)

            self._hook(name, f"agno_rt_register_{kind}")(register=register)
        return offers

    def _must_be_free(self, kind: str, offered: str) -> None:
        taken = [plugin for plugin, offers in self._offers.items() if (kind, offered) in offers]
        if kind in _SHARED and taken:
            raise ValueError(f"{kind} {offered!r} is taken by plugin {taken[0]!r}")

    def _hook(self, name: str, hook: str) -> pluggy.HookCaller:
        # pluggy has no call for one plugin: it is asked for all but the others.
        plugin = self._manager.get_plugin(name)
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        return self._manager.subset_hook_caller(hook, others)

    def _make(self, kind: str, spec: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        plugin, _, rest = spec.partition(":")
        if plugin not in self._found():
            raise self._unknown(kind, spec)
        offers = {offer.name: offer for (of, _), offer in self._load(plugin).items() if of == kind}
        name, _, more = rest.partition(":")
        if name and name in offers:
            return self._call(offers[name], more, settings.get(plugin, {}))
        if not rest and plugin in offers:  # a plugin's only thing, with the plugin's name
            return self._call(offers[plugin], rest, settings.get(plugin, {}))
        if rest and "*" in offers:
            return self._call(offers["*"], rest, settings.get(plugin, {}))
        if not offers:
            raise self._unknown(kind, spec)
        known = [offer.spec for offer in offers.values()]
        # A suggestion of the nearest name would repeat what was written.
        hint = "" if rest else f"Its name is missing: write {' or '.join(known)}."
        raise NotFound(kind.removesuffix("s"), _hide_password(spec), known, hint=hint)

    def _make_of_url(self, kind: str, url: str, settings: Mapping[str, Mapping[str, Any]]) -> Any:
        scheme, colon, _ = url.partition(":")
        if not colon or not scheme:
            raise UsageError(
                f"{_hide_password(url)!r} is not a {kind} URL",
                hint="Write scheme:..., as in `memory:` or `sqlite:///a.db`.",
            )
        offer = self.shared(kind, scheme)
        if offer is None:
            known = [offer.name for offer in self.offers(kind)]
            raise self._missing(f"{kind} URL scheme", scheme, known, url)
        return self._call(offer, url, settings.get(offer.plugin, {}))

    def _unknown(self, kind: str, spec: str) -> NotFound:
        """Return the error for a spec string whose first part is not a plugin with things of the kind."""
        plugin, colon, _ = spec.partition(":")
        offers, hint = list(self.offers(kind)), self.suggest(kind, spec)
        if colon and plugin not in self._found():
            return self._missing("plugin", plugin, {offer.plugin for offer in offers}, spec, hint)
        return self._missing(kind.removesuffix("s"), spec, (offer.spec for offer in offers), "", hint)

    def _missing(self, kind: str, name: str, known: Iterable[str], where: str = "", hint: str = "") -> NotFound:
        hint = "It is installed, but blocked by `block` in [runtime]." if name in self._blocked else hint
        place = f"in {_hide_password(where)!r}" if where else ""
        return NotFound(kind, _hide_password(name), known, where=place, hint=hint)

    def _call(self, offer: Offer, rest: str, settings: Mapping[str, Any]) -> Any:
        try:
            return offer.factory(rest, settings)
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise self._failed(offer.plugin, f"failed to make {offer.name!r}", exc) from exc

    def _failed(self, name: str, what: str, exc: BaseException) -> PluginError:
        point = self._found().get(name)
        origin = " ".join(part for part in _name_distribution(point) if part) if point else "this program"
        said, hint = (exc.message, exc.hint) if isinstance(exc, NotFound) else (named(exc), _REMEDY)
        error = PluginError(f"plugin {name!r} ({origin}) {what}: {said}", plugin=name, hint=hint)
        error.__cause__ = exc
        return error

    def _info(self, name: str, point: EntryPoint) -> PluginInfo:
        distribution, version = _name_distribution(point)
        try:
            offers = tuple(self._load(name).values())
        except PluginError:
            offers = ()
        observes = self._manager.has_plugin(name) and bool(self._hook(name, "agno_rt_observe").get_hookimpls())
        return PluginInfo(name, distribution, version, offers, self.failures.get(name), observes)


def extra_plugins() -> dict[str, str]:
    """Return the distribution of each plugin that `agno-rt[all]` installs, by the plugin's name; installed or not."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires("agno-rt") or []
    except PackageNotFoundError:
        return {}
    found = (re.match(r"(agno-rt-([a-z0-9-]+))", requirement) for requirement in needed)
    return {match[2]: match[1] for match in found if match}


_REMEDY = "Upgrade or uninstall it, or name it in `block` of [runtime] in agno-rt.toml."


def _check_kernel(name: str, point: EntryPoint) -> PluginError | None:
    """Return the error of a plugin that requires another version of the kernel, without importing the plugin."""
    # Plugins that ship with the kernel always fit, and reading metadata takes time.
    if point.dist is None or point.value.startswith("agno_rt."):
        return None
    from agno_rt._package.requirements import KERNEL, find_unmet, kernel_version

    try:
        requirements = point.dist.requires or ()
    except Exception:
        return None  # unreadable metadata requires nothing
    unmet = find_unmet(requirements, kernel_version())
    if not unmet:
        return None
    distribution, version = _name_distribution(point)
    return PluginError(
        f"plugin {name!r} ({distribution} {version}) is made for {KERNEL}{unmet}, and this is {KERNEL} "
        f"{kernel_version()}",
        plugin=name,
        hint=f"Install what fits: pip install --upgrade {distribution}, or pip install '{KERNEL}{unmet}'.",
    )


def _name_distribution(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return point.value, ""
    return point.dist.name, point.dist.version


def _check_hooks(plugin: object) -> None:
    """Raise `NotFound`, with the nearest hook, for a hook of the plugin that does not exist."""
    known = {name for name in vars(hookspecs) if name.startswith(f"{GROUP}_")}
    for name in dir(plugin):
        if name.startswith(f"{GROUP}_") and name not in known and hasattr(getattr(plugin, name), f"{GROUP}_impl"):
            raise NotFound("hook", name, known)


def _hide_password(spec: str) -> str:
    """Return the spec string or URL without the password of a user."""
    # Up to the last @: a password that is not written in percent signs may have any other letter, too.
    return re.sub(r"(//[^/?#:@\s]*):\S*@", r"\1:...@", spec)


def _ask_for_hint(offer: Offer, spec: str) -> str:
    """Return the plugin's own hint for an unknown spec; empty if it has none or fails."""
    if offer.suggest is None:
        return ""
    try:
        return offer.suggest(spec)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return ""
