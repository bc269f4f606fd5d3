"""Bodies of answers over HTTP, read as they are sent: unpacked, a small body may have gigabytes."""

from __future__ import annotations

from contextlib import aclosing

import httpx2

__all__ = ["UNPACKED", "find_packing", "read_body"]

UNPACKED = {"accept-encoding": "identity"}
"""The header that asks for no compression."""


def find_packing(response: httpx2.Response) -> str:
    """Return the compression of an answer, which was not asked for; "" for none."""
    packing = response.headers.get("content-encoding", "").strip().lower()
    return "" if packing == "identity" else packing[:40]


async def read_body(response: httpx2.Response, most: int) -> bytes:
    """Return the whole body. Raises httpx2's `StreamError` for more than `most` bytes, and for a packed body."""
    if packing := find_packing(response):
        raise httpx2.StreamError(f"the answer is packed as {packing!r}, which was not asked for")
    body = bytearray()
    async with aclosing(response.aiter_raw()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > most:
                raise httpx2.StreamError(f"the answer has more than {most:,} bytes")
    return bytes(body)
