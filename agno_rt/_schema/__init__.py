"""Floor 2: types and signatures as JSON Schemas, and JSON read back into them. Knows no tools, runs or trio."""
