"""What the server answers: a module for each resource, with its table of routes. Knows no sockets."""
