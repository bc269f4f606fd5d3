"""Floor 8: the HTTP client that model plugins share. Opening a client imports httpx2; importing this package does not.

The package has the address and the key of a server (`server`), a pooled client (`client`), and answers (`transport`).
"""
