"""The agent that agno_rt serves in the rows over HTTP: `agno-rt serve benchmarks/peers/served.py`."""

from __future__ import annotations

from agno_rt import Agent
from benchmarks.common import INSTANT

assistant = Agent(INSTANT, "assistant")
