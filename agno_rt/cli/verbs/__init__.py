"""The verbs of `agno-rt`, one module each, imported when the verb is typed. Shared code lies one folder up."""
