"""The resources of the server: a module for each, with its table of routes. Knows no sockets."""
