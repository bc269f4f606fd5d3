"""Floor 5: models around models, which retry, fall back, keep answers or keep to a rate: `agno_rt.Retry` and others."""
