"""The parts of the performance history: results as values, asv as a process, the pages of the dashboard."""
