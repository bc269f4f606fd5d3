"""Floor 5: reads what the runs of a runtime are doing, from trio's own tasks, and tells other processes."""
