"""Contract suites for shared, kept-up and hard-pressed memory backends. `agno_rt.testing` has the names."""
