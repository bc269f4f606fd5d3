"""AG-UI: the protocol between agents and the pages in which people use them. Runs become its events.

Reference: the AG-UI specification 1.0 (https://ag-ui.com/spec/1.0/schema.json). A thread is a session.
"""
