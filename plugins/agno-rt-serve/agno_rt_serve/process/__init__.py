"""The processes of the server: workers, signals, and how a process that serves is set up."""

from agno_rt_serve.process.tuning import collect_as_memory_grows, raise_file_limit, tune_collector

__all__ = ["collect_as_memory_grows", "raise_file_limit", "tune_collector"]
