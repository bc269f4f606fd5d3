"""The package itself: the public names, found at first use, and the versions required by plugins. Knows nothing."""
