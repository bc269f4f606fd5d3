"""Floor 5: reads the progress of a runtime's runs from trio's own tasks, and reports it to other processes."""
