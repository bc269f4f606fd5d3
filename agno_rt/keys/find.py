"""Finds an API key by its name: in the environment first, then in the user's file of keys."""

from __future__ import annotations

import os

import attrs

from agno_rt.keys.key_file import KeyFile

__all__ = ["Key", "find_key"]


@attrs.frozen
class Key:
    """An API key and its source. `text` is empty if no key is sent; the text is never shown."""

    text: str = attrs.field(repr=False)
    source: str

    def bearer(self) -> dict[str, str]:
        """Return the header that sends the key as a bearer token; no header without a key."""
        return {"authorization": f"Bearer {self.text}"} if self.text else {}


def find_key(name: str) -> Key | None:
    """Return the key of the name, read now; `None` if neither the environment nor the file of keys has the key.

    Raises `ConfigError` for a damaged file of keys, and for a file open to other users.
    """
    text = os.environ.get(name, "").strip()
    if text:
        return Key(text, f"the environment variable {name}")
    file = KeyFile()
    found = file.read(name)
    return None if found is None else Key(found, f"{name} in {file.shown}")
