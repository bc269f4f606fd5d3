"""The page in a real browser, a subject a file."""
