"""Floor 4: what happens next in a run. Values go in and values come out: no trio, no clock, no I/O."""
