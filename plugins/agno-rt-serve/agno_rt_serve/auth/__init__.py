"""The caller of a request, and the rights of the caller. Knows no route and no sockets.

`caller` has the value for handlers, `scopes` the words of rights, `doors` finds the caller.
"""
