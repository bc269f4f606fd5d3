"""Floor 7: what a `Runtime` is made of: agents resolved, stored runs found, everything closed."""
