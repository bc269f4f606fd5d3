"""Messages of the command line besides answers: notices, warnings and errors, on stderr. Knows no verb."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from agno_rt.names import UNSEEN

if TYPE_CHECKING:
    from agno_rt.readiness import Finding

__all__ = ["clean", "notice", "remark", "show_error", "show_findings", "show_warning", "styled", "tell_warning"]

_UNSEEN = re.compile(f"(?![\n\t])[{UNSEEN}]")


def clean(text: str) -> str:
    """Return the text without control characters: text of a model, a tool or a user must not control the terminal."""
    # Most text is plain, and passes without the expression.
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub("", text)


def notice(text: str) -> None:
    """Print a dim line on stderr, apart from answers."""
    click.echo(styled(clean(text), dim=True), err=True)


def remark(text: str) -> None:
    """Print as `notice`, wrapped at words in a terminal. For prose; a wrapped command could not be copied."""
    if sys.stderr.isatty():
        from agno_rt.cli.text.word_wrap import wrap_words

        text = wrap_words(clean(text))
    notice(text)


def show_error(message: str, hint: str = "") -> None:
    """Print `error: message` on stderr, and the hint on the next line."""
    _show_message("error:", "red", message, hint)


def show_warning(message: str, hint: str = "") -> None:
    """Print `warning: message` on stderr, and the hint on the next line. The command goes on."""
    _show_message("warning:", "yellow", message, hint)


def show_findings(findings: Iterable[Finding]) -> None:
    """Print the findings about an agent before its run: errors and warnings always, notes only in a terminal."""
    for finding in findings:
        if finding.level != "note":
            show_warning(str(finding), finding.hint)
        elif sys.stderr.isatty():
            notice(str(finding))


_show_of_python = warnings.showwarning


def tell_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Show a warning of agno_rt as a message, any other warning as Python does. For `warnings.showwarning`."""
    if not category.__module__.startswith("agno_rt."):
        _show_of_python(message, category, *place, **more)
        return
    text, _, hint = str(message).partition("\n")
    show_warning(text, hint)


def _show_message(word: str, colour: str, message: str, hint: str) -> None:
    lines = [f"{styled(word, fg=colour, bold=True)} {clean(message)}"]
    if hint:
        lines.append(f"{styled('hint:', bold=True)} {clean(hint)}")
    # stderr may be closed; the exit code still tells of the error.
    with suppress(OSError, ValueError):
        click.echo("\n".join(lines), err=True)


def styled(text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
    """Return the text in the style, unless NO_COLOR is set. `click.echo` removes the style outside a terminal."""
    plain = not (fg or bold or dim) or os.environ.get("NO_COLOR")
    return text if plain else click.style(text, fg=fg, bold=bold, dim=dim)
