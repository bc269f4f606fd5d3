"""The verbs of `agno-rt`, a module each, imported when the verb is typed. What they share is one folder up."""
