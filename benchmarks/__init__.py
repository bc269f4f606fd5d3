"""The performance history of agno_rt, one file per table. A name says what a call does: `time_100_` does it 100 times.

asv knows no coroutines and a `trio.run` alone costs hundreds of microseconds, so a benchmark does many of a thing
inside one. Where a machine's mood would blur a time, the row is a ratio to its floor, measured in turns with it, or an
exact count.
"""
