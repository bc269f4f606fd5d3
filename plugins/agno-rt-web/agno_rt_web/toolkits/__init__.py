"""The toolkits, one a module: `make_tools(session, rest)` makes the tools on open connections."""
