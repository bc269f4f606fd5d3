"""The `agno-rt` group, its verbs, and the only place where an error becomes a message and an exit code."""

from __future__ import annotations

import builtins
import importlib
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from agno_rt.cli.options import State, debug_option
from agno_rt.cli.report import notice, show_error, tell_warning
from agno_rt.cli.streams import UNWRITABLE, finish, open_missing
from agno_rt.errors import AgnoError, NotFound, PluginError, UsageError
from agno_rt.failures import must_pass, named

if TYPE_CHECKING:
    from agno_rt.plugins import Offer

__all__ = ["main"]

VERBS = (
    "run",
    "chat",
    "map",
    "agents",
    "graph",
    "models",
    "keys",
    "sessions",
    "runs",
    "facts",
    "approvals",
    "knowledge",
    "memory",
    "top",
    "init",
    "doctor",
    "plugins",
    "plugin",
    "completion",
)
"""Built-in verbs, in the order of `--help`; `agno_rt.cli.verbs.VERB` holds the click command `command`."""

_ELSEWHERE = {"bench": "bench", "profile": "bench", "serve": "serve"}
"""Commands of the plugins that `agno-rt[all]` installs, with the plugin's name.

Installed plugins tell their commands by a hook. These are suggested for a misspelt command while the plugin, which
could tell, is not installed."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


class Verbs(click.Group):
    """A group that looks up the built-in verbs first, then the commands of plugins. Imports only the command typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in verbs; for the completion of a shell also the commands of plugins."""
        return [*VERBS, *(offer.name for offer in _find_plugin_offers()[0])] if ctx.resilient_parsing else list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the built-in verb of the name; for the completion of a shell also a plugin's command."""
        if cmd_name not in VERBS:
            return _find_plugin_command(cmd_name) if ctx.resilient_parsing else None
        command: click.Command = importlib.import_module(f"agno_rt.cli.verbs.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the typed command and its arguments. Raises `NotFound` with the nearest name, or `PluginError`."""
        name, rest = args[0], args[1:]
        return name, self.get_command(ctx, name) or _find_plugin_command(name), rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the built-in verbs with their help, then the commands of plugins, then the names of broken plugins."""
        offers, failures = _find_plugin_offers()
        shown: list[tuple[str, list[tuple[str, str]]]] = [
            ("Commands", [(name, _render_short_help(self.get_command(ctx, name))) for name in VERBS]),
            ("Commands of plugins", [(offer.name, offer.help) for offer in offers]),
        ]
        for title, rows in shown:
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if failures:
            formatter.write_paragraph()
            formatter.write_text(f"Failed to load: {', '.join(failures)}. `agno-rt plugins` says why.")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="agno-rt", prog_name="agno-rt", message="%(prog)s %(version)s")
@debug_option
def command() -> None:
    """Run agents: once, in a conversation, or as a server.

    `agno-rt init` writes a project to start from. Without one, the agents that ship with agno_rt answer. `agno-rt
    completion` lets your shell complete what you type.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 1 for a failure, 2 for a call that the user can mend, 130 for Ctrl-C."""
    open_missing()
    warnings.showwarning = tell_warning
    for name in ("exit", "quit"):
        # Python's own `exit` also closes standard input: a tool that called `exit` would end the whole chat.
        if hasattr(builtins, name):
            setattr(builtins, name, sys.exit)
    sys.exit(finish(_run_command(args, State())))


def _run_command(args: Sequence[str] | None, state: State) -> int:
    try:
        code = command.main(args, "agno-rt", standalone_mode=False, obj=state)
    except click.Abort:
        return INTERRUPTED
    except BaseExceptionGroup as group:
        # trio wraps the KeyboardInterrupt of a task in a group.
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        return INTERRUPTED
    except click.ClickException as exc:
        return _show_click(exc)
    except AgnoError as exc:
        if state.debug:
            traceback.print_exception(exc)
        show_error(exc.message, _find_install_hint(exc))
        return 2 if isinstance(exc, UsageError) else 1
    except OSError as exc:
        # An error with a file name is about another file than the output.
        if exc.filename is not None or exc.errno not in UNWRITABLE:
            raise
        show_error(f"the output cannot be written: {exc.strerror}")
        return 1
    return code if isinstance(code, int) else 0


def _find_install_hint(exc: AgnoError) -> str:
    if not isinstance(exc, NotFound) or exc.kind not in ("plugin", "command"):
        return exc.hint
    from agno_rt.plugins import extra_plugins

    plugin = _ELSEWHERE.get(exc.name, exc.name) if exc.kind == "command" else exc.name
    distribution = extra_plugins().get(plugin)
    if distribution is None:
        return exc.hint
    return f"Install it: pip install {distribution}. If it is installed, see `block` in [runtime]."


def _show_click(exc: click.ClickException) -> int:
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        exc.show()
        return exc.exit_code
    context = exc.ctx if isinstance(exc, click.UsageError) else None
    show_error(exc.format_message(), f"See `{context.command_path} --help`." if context else "")
    return exc.exit_code


def _find_plugin_command(name: str) -> click.Command:
    from agno_rt.plugins import PluginHost

    host = PluginHost(block=_load_blocked_plugins())
    offer = host.shared("commands", name)
    if offer is None:
        raise NotFound("command", name, [*VERBS, *_ELSEWHERE, *(offer.name for offer in host.offers("commands"))])
    return _make_command(offer)


def _make_command(offer: Offer) -> click.Command:
    try:
        made = offer.factory()
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise PluginError(
            f"plugin {offer.plugin!r} failed to make its command {offer.name!r}: {named(exc)}",
            plugin=offer.plugin,
            hint=f"Upgrade it, or tell its author what `agno-rt --debug {offer.name}` prints.",
        ) from exc
    if isinstance(made, click.Command):
        return made
    raise PluginError(
        f"plugin {offer.plugin!r} made a {type(made).__name__}, not a click command, for its command {offer.name!r}",
        plugin=offer.plugin,
        hint="Its factory must return a click.Command.",
    )


def _find_plugin_offers() -> tuple[list[Offer], list[str]]:
    from agno_rt.plugins import PluginHost

    host = PluginHost(block=_load_blocked_plugins())
    offers = [offer for offer in host.offers("commands") if offer.name not in VERBS]
    return offers, sorted(host.failures)


def _load_blocked_plugins() -> tuple[str, ...]:
    """Return the plugins blocked by the agno-rt.toml in this folder; report an unreadable file, and block nothing."""
    from agno_rt.cli.target import local_config

    try:
        return local_config().runtime.block
    except UsageError as exc:
        notice(f"{exc.message}; no plugin is blocked")
        return ()


def _render_short_help(found: click.Command | None) -> str:
    return "" if found is None else found.get_short_help_str(limit=100)
