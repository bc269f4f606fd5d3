"""Floor 7: the parts of a `Runtime`: resolved agents, sessions, stored runs, closing."""
