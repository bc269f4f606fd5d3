"""Floor 5: models around models, which retry, fall back, cache answers or limit rates: `agno_rt.Retry` and others."""
