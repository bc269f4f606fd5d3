"""HTTP/1.1 itself: bytes to requests, answers to bytes, sockets, connections. Knows no agent and no route."""
