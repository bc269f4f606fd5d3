"""The package itself: its public names, found at their first use, and the versions that plugins require. Knows nothing."""
