"""Floor 2: wire formats and URLs that several plugins share, as pure functions."""
