"""The routes of Agno-Go's AgentOS, for clients to move: thin over the server's own routes.

Paths, bodies, answers, error codes and names of events are as in AgentOS 1.2.9.
"""
