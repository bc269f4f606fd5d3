"""The page in a real browser, one subject per file."""
