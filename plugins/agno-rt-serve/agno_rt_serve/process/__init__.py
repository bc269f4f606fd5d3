"""The processes of the server: workers, signals, and the set-up of a process that serves."""

from agno_rt_serve.process.tuning import collect_as_memory_grows, raise_file_limit, tune_collector

__all__ = ["collect_as_memory_grows", "raise_file_limit", "tune_collector"]
