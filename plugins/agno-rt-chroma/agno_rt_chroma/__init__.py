"""The plugin `chroma`: knowledge in a Chroma server. The HTTP client is imported at the first use.

`chroma://HOST:PORT` and, over TLS, `chromas://HOST` are URLs of a knowledge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_chroma.knowledge import ChromaKnowledge

__all__ = ["agno_rt_register_knowledge", "make_knowledge"]


@hookimpl
def agno_rt_register_knowledge(register: Register) -> None:
    """Offer `chroma://HOST` and `chromas://HOST`."""
    register("chroma", make_knowledge, help="Knowledge in a Chroma server: words and vectors.")
    register("chromas", make_knowledge, help="Knowledge in a Chroma server, over TLS.")


def make_knowledge(url: str, settings: Mapping[str, Any] | None = None) -> ChromaKnowledge:
    """Make the knowledge of a `chroma://` or `chromas://` URL; nothing is connected yet. Raises `UsageError`."""
    from agno_rt_chroma.address import read_url
    from agno_rt_chroma.knowledge import ChromaKnowledge

    return ChromaKnowledge(read_url(url))
