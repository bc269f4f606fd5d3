"""The project's agents as the tools of an MCP server, over stdio and as a route of `agno-rt serve`.

The modules `offers`, `direct` and `questions` know no protocol; `calls` and `tasks` answer the protocol's requests, and
`protocol` hands the requests out. Everything that needs the protocol's SDK is imported late.
"""

from __future__ import annotations
