"""Reports and counts the stored things that cannot be read, and that a list leaves out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agno_rt.cli.report import show_warning
from agno_rt.memory import DamagedWarning

__all__ = ["collect_damage", "report_damage"]


@contextmanager
def report_damage() -> Iterator[None]:
    """Show a warning once for each stored thing that cannot be read. The verb goes on with the others."""
    show = warnings.showwarning
    shown: set[str] = set()

    def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, DamagedWarning):
            show(message, category, *place, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            what, _, hint = str(message).partition("\n")
            show_warning(what, hint)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DamagedWarning)
        warnings.showwarning = tell
        yield


@contextmanager
def collect_damage() -> Iterator[list[str]]:
    """Yield a list that gets a line for each stored thing that cannot be read. The warnings are shown as before."""
    show = warnings.showwarning
    damage: list[str] = []

    def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, DamagedWarning):
            damage.append(str(message).partition("\n")[0])
        show(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DamagedWarning)
        warnings.showwarning = tell
        yield damage
