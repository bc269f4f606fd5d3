"""The package itself: its public names, found at first use, and the versions that plugins require. Knows nothing."""
