"""The settings of A2A: the table `[plugins.serve.a2a]` of agno-rt.toml."""

from __future__ import annotations

import attrs

__all__ = ["A2ASettings"]


@attrs.frozen
class A2ASettings:
    """Settings of A2A.

    enabled     serve the routes
    agent       the runnable of `/.well-known/agent-card.json`; by default the project's first
    url         the server's public address for the cards, such as `https://agents.example.com`; by default the address
                that the client used
    open_cards  on a server with keys: show each card's beginnings without a key, and the rest as extended card
    """

    enabled: bool = True
    agent: str = ""
    url: str = ""
    open_cards: bool = False
