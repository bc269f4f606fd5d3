"""What tests of agents and plugins need. Fixtures and markers come as a pytest plugin; see the page on testing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agno_rt.testing.cancelling import CancelPoint as CancelPoint
    from agno_rt.testing.cancelling import cancel_everywhere as cancel_everywhere
    from agno_rt.testing.cassettes import Cassette as Cassette
    from agno_rt.testing.clocks import WallClock as WallClock
    from agno_rt.testing.clocks import run_virtually as run_virtually
    from agno_rt.testing.contracts import CacheContract as CacheContract
    from agno_rt.testing.contracts import FactContract as FactContract
    from agno_rt.testing.contracts import LockContract as LockContract
    from agno_rt.testing.contracts import MemoryContract as MemoryContract
    from agno_rt.testing.contracts import ModelContract as ModelContract
    from agno_rt.testing.contracts import RunContract as RunContract
    from agno_rt.testing.faults import Faults as Faults
    from agno_rt.testing.faults import InjectedFault as InjectedFault
    from agno_rt.testing.faults import fail_everywhere as fail_everywhere
    from agno_rt.testing.orphans import no_orphans as no_orphans
    from agno_rt.testing.schedules import Pauses as Pauses
    from agno_rt.testing.schedules import pause as pause
    from agno_rt.testing.schedules import run_schedules as run_schedules
    from agno_rt.testing.scripted import Reply as Reply
    from agno_rt.testing.scripted import ScriptedModel as ScriptedModel
    from agno_rt.testing.scripted import Step as Step

__all__ = [
    "CacheContract",
    "CancelPoint",
    "Cassette",
    "FactContract",
    "Faults",
    "InjectedFault",
    "LockContract",
    "MemoryContract",
    "ModelContract",
    "Pauses",
    "Reply",
    "RunContract",
    "ScriptedModel",
    "Step",
    "WallClock",
    "cancel_everywhere",
    "fail_everywhere",
    "no_orphans",
    "pause",
    "run_schedules",
    "run_virtually",
]

_HOMES = {
    "cancelling": ("CancelPoint", "cancel_everywhere"),
    "cassettes": ("Cassette",),
    "clocks": ("WallClock", "run_virtually"),
    "contracts": ("CacheContract", "FactContract", "LockContract", "MemoryContract", "ModelContract", "RunContract"),
    "faults": ("Faults", "InjectedFault", "fail_everywhere"),
    "orphans": ("no_orphans",),
    "schedules": ("Pauses", "pause", "run_schedules"),
    "scripted": ("Reply", "ScriptedModel", "Step"),
}
"""Where each name lives. Loaded when first asked for: pytest imports this package before coverage can watch it."""

_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'agno_rt.testing' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"agno_rt.testing.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
