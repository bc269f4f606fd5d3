"""The performance history of agno_rt, one file per table. Names have counts: `time_100_` is a hundred at a call.

asv does not run coroutines, and a `trio.run` alone costs hundreds of microseconds, so a benchmark repeats its operation
inside one `trio.run`. If the load of the machine would blur a time, the row is an exact count, or a ratio to a floor
that is measured in turns with the row.

asv's version of a benchmark is a hash of its method's and its `setup`'s source, docstrings included. A change of either
hides the old results in the dashboard, and `make bench-history` measures all commits again.
"""
