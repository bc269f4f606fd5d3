"""Floor 4: decides the next step of a run. Values go in and values come out: no trio, no clock, no I/O."""
