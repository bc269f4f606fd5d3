"""The routes of the Agent2Agent protocol, A2A 1.0: agents of other makers find, run and follow the runnables here.

A task of A2A is a stored run, and a context is a session. https://a2a-protocol.org/v1.0.0/specification
"""
