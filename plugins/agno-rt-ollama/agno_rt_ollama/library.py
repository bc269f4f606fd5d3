"""The models on an Ollama server: their list, and downloads with progress.

Reference: Ollama's documentation, "API", its sections "List local models" and "Pull a model".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec

from agno_rt.errors import ModelError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.model import build_headers
from agno_rt.http_client.server import without_query
from agno_rt.wire.json_lines import JsonLines
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import Peer, reported
from agno_rt_ollama.profile import HOST_ENV, Server

__all__ = [
    "QUICK_SECONDS",
    "Library",
    "ListedModel",
    "Progress",
    "check_listening",
    "is_listening",
    "list_quickly",
    "read_tags",
]

Progress = Callable[[str, int, int], None]
"""A callback for each step of a download: the name of the step, the bytes done, and all bytes; 0 if unknown."""

QUICK_SECONDS = 0.5
"""Seconds to wait for the list of models where the list is only a help."""

_MOST_TAGS = 2**22


@attrs.frozen
class ListedModel:
    """A model on a server. `size` is in bytes; `parameters` and `quantization` are the server's words, or empty."""

    name: str
    size: int = 0
    parameters: str = ""
    quantization: str = ""


def read_tags(body: bytes) -> list[ListedModel]:
    """Return the models in a list of the server, sorted by name; models without a name are left out."""
    value = read_json(body)
    entries = value.get("models") if isinstance(value, dict) else None
    models = [_read_model(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return sorted((model for model in models if model.name), key=lambda model: model.name)


def _read_model(entry: Mapping[str, Any]) -> ListedModel:
    found = entry.get("details")
    details = found if isinstance(found, dict) else {}
    name, size = entry.get("name") or entry.get("model"), entry.get("size")
    words = (details.get("parameter_size"), details.get("quantization_level"))
    return ListedModel(
        name if isinstance(name, str) else "",
        size if isinstance(size, int) else 0,
        *(word if isinstance(word, str) else "" for word in words),
    )


def list_quickly(server: Server) -> list[str]:
    """Return the names of the models of a server on this machine; nothing if the server does not answer at once.

    Blocks the thread for at most about a second. Servers on other machines are not asked.
    """
    if not server.is_loopback:
        return []
    import http.client
    from urllib.parse import urlsplit

    url = urlsplit(server.url("api/tags"))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=QUICK_SECONDS)
    try:
        connection.request("GET", url.path, headers={"accept": "application/json"})
        answer = connection.getresponse()
        return [model.name for model in read_tags(answer.read(_MOST_TAGS))] if answer.status == 200 else []
    except (OSError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def check_listening(server: Server, provider: str) -> None:
    """Raise `ModelError` if no server on this machine listens at the address. Blocks as `is_listening`."""
    if is_listening(server):
        return
    url = without_query(server.base_url)
    hint = f"Start the server: ollama serve. {HOST_ENV} or base_url says where it is."
    raise ModelError(f"no Ollama server listens at {url}", hint=hint, provider=provider, retryable=True)


def is_listening(server: Server) -> bool:
    """Return False if no program listens at the address of a server on this machine. Other servers are not asked.

    Blocks the thread for at most `QUICK_SECONDS`.
    """
    if not server.is_loopback:
        return True
    import socket
    from urllib.parse import urlsplit

    url = urlsplit(server.base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), QUICK_SECONDS).close()
    except TimeoutError:
        return True  # a busy machine is not a missing server
    except OSError:
        return False
    return True


class Library:
    """The models on a server. `client` is open as long as its owner wants; `peer` is the server for errors."""

    def __init__(self, server: Server, client: HttpClient, peer: Peer) -> None:
        self._server = server
        self._client = client
        self._peer = peer

    async def list(self) -> list[ListedModel]:
        """Return the models, sorted by name. Raises `ModelError`, and `ConfigError` for a missing key."""
        key = self._server.key()
        headers = build_headers(self._server, key.bearer(), stream=False)
        async with self._client.get(self._server.url("api/tags"), headers, self._peer) as answer:
            await answer.check()
            return read_tags(await answer.read_all())

    async def pull(self, model: str, progress: Progress) -> None:
        """Let the server fetch a model, and wait until the model is there.

        A cancelled or failed download goes on where it stopped, at the next call: the server keeps the parts. Raises
        `ModelError`, and `ConfigError` for a missing key.
        """
        key = self._server.key()
        headers = build_headers(self._server, key.bearer(), stream=True, stream_type="application/x-ndjson")
        body = msgspec.json.encode({"model": model, "stream": True})
        done = False
        async with self._client.post(self._server.url("api/pull"), body, headers, self._peer) as answer:
            await answer.check()
            lines = JsonLines(answer.peer)
            while data := await answer.read():
                for value in lines.feed(data):
                    done = self._take(value, progress) or done
            for value in lines.end():
                done = self._take(value, progress) or done
        if not done:
            raise self._break_off(answer.peer)

    def _take(self, value: Any, progress: Progress) -> bool:
        """Tell the progress; return True for the last step."""
        if not isinstance(value, dict):
            return False
        if error := value.get("error"):
            raise reported(self._peer, error)
        status, total, done = value.get("status"), value.get("total"), value.get("completed")
        step = status if isinstance(status, str) else ""
        progress(step, done if isinstance(done, int) else 0, total if isinstance(total, int) else 0)
        return step == "success"

    def _break_off(self, peer: Peer) -> ModelError:
        hint = "Run the command again: the server goes on where it stopped."
        return peer.error("ended the download before the model was there", hint=hint, retryable=True)
