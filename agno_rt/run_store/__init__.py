"""A run as stored, and the protocols of backends for stored runs: a face of the modules within.

A memory backend that is also a `RunStore` keeps runs. `SignalStore` and `FlowStore` add signals and long workflows;
`LeaseStore` is for a store of several hosts, `EventLog` for following a run from any process.
"""

from __future__ import annotations

from agno_rt._package.face import lazy_names

# Loaded on demand: a program that stores no run needs few of the names.
__getattr__, __dir__ = lazy_names(__name__, __file__)
