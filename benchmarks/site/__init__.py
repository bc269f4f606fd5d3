"""What the history of results is made of: results as values, asv as a process, the pages of the dashboard."""
