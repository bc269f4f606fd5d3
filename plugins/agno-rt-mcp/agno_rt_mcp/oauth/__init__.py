"""OAuth for servers over HTTP: logins of people with the code grant and PKCE, and machines with client credentials.

The SDK has a provider for httpx2, which runs under trio. It is not used here, because it holds a lock until a server
begins to answer, so that a slow call stops all others; because it asks a person anew when a stored token has expired
in another process, and after any failed refresh; and because it keeps a client that the server has forgotten.
"""
