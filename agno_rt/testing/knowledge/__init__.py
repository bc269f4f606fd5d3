"""Contract suites of the parts of knowledge."""
