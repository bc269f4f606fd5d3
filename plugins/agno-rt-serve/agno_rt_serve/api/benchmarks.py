"""The dashboard of benchmarks from `make dashboard`, mounted at /benchmarks: read-only files.

Knows nothing of benchmarks. A published dashboard is a folder with the three files below and a few kinds of file. Other
files in the folder, and files outside that a link leads to, are answered 404.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from agno_rt.errors import UsageError
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Receive, Scope, Send, respond

__all__ = ["Dashboard", "to_dashboard"]

# Files by which a folder is recognised as a published dashboard.
_NEEDED = ("index.html", "graphs.html", "index.json")
# By suffix, not by the system's own tables: those differ, and with nosniff a wrong type breaks the page.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".xml": "application/xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".woff": "font/woff",
}
_HEADERS = {
    # The dashboard's pages use only its own files; asv's scripts write styles into the elements, hence unsafe-inline.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Dashboard(StaticFiles):
    """Serves the dashboard published in the folder. Raises `UsageError` if the folder has no dashboard."""

    def __init__(self, folder: str) -> None:
        missing = [name for name in _NEEDED if not Path(folder, name).is_file()]
        if missing:
            raise UsageError(
                f"there is no published dashboard in the folder {folder!r}: it has no file {missing[0]}",
                hint="Publish one with `make dashboard`, then name its folder, .asv/html.",
            )
        super().__init__(directory=folder, html=True)

    async def get_response(self, path: str, scope: Any) -> Response:
        """Return the file at the path. Raises `HttpError` 404 for a missing file, or a file of another kind."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as exc:
            if exc.status_code not in (401, 404):  # Starlette answers 401 for a file that cannot be read
                raise
            raise _file_not_found(scope) from exc
        if isinstance(response, FileResponse):
            kind = _TYPES.get(Path(response.path).suffix)
            if kind is None or response.status_code != 200:
                raise _file_not_found(scope)
            response.headers["content-type"] = kind
        response.headers.update(_HEADERS)
        return response


async def to_dashboard(scope: Scope, receive: Receive, send: Send) -> None:
    """Redirect to the path with a slash at its end: without the slash, the dashboard's relative links miss."""
    await respond(send, 307, [(b"location", b"benchmarks/")], b"")


def _file_not_found(scope: Scope) -> HttpError:
    return HttpError(404, "not_found", f"there is nothing at {scope['path']}", "The dashboard begins at /benchmarks/.")
