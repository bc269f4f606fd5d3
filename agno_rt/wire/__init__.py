"""Floor 2: wire formats that several model plugins share, as pure functions."""
