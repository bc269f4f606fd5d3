"""An authorization server and an MCP server that wants its tokens, on one port: strict, with a count of requests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("read", "write")]


class Issuer:
    """The state of both servers. A test changes the attributes and reads `counts`, by grant or path."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.clients: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_tokens: dict[str, str] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        self.forms: list[dict[str, str]] = []
        self.asked: list[dict[str, str]] = []
        self.lifetime = 3600.0
        self.told_lifetime: Any = None  # in place of the true one
        self.refusals: dict[str, tuple[int, str]] = {}
        self.metadata: dict[str, Any] = {}
        self.resource: dict[str, Any] = {}
        self.scopes = "read"
        self.is_open = True
        self.check_assertion: Callable[[str], bool] = lambda text: False
        self.padding = 0  # bytes after each document
        self.packing = ""
        self.packings_asked: set[str] = set()
        self.base = ""

    @property
    def url(self) -> str:
        """The address of the MCP server."""
        return f"{self.base}/mcp"

    def end_tokens(self) -> None:
        """Let all access tokens end now."""
        self.tokens.clear()


@contextmanager
def serving() -> Iterator[Issuer]:
    """Serve in a thread."""
    issuer = Issuer()
    handler = type("Bound", (Handler,), {"issuer": issuer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    issuer.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers requests."""

    issuer: Issuer
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Serve metadata and the page of logins, which agrees at once."""
        parts = urlsplit(self.path)
        self.count(parts.path)
        if parts.path == "/.well-known/oauth-protected-resource/mcp":
            about = {"resource": self.issuer.url, "authorization_servers": [self.issuer.base]}
            return self.reply(200, about | {"scopes_supported": ["read"]} | self.issuer.resource)
        if parts.path == "/.well-known/oauth-authorization-server":
            return self.reply(200, self.describe() | self.issuer.metadata)
        if parts.path == "/authorize":
            return self.authorize(dict(parse_qsl(parts.query)))
        return self.reply(404, {})

    def do_DELETE(self) -> None:
        """End a session."""
        self.reply(200, {})

    def do_POST(self) -> None:
        """Answer the MCP server's messages, and the forms of the issuer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/mcp":
            return self.answer(json.loads(body))
        if self.path == "/register":
            self.count("register")
            return self.register(json.loads(body))
        form = dict(parse_qsl(body.decode()))
        self.issuer.forms.append(form)
        if self.path == "/revoke":
            self.count("revoke")
            self.issuer.refresh_tokens.pop(form["token"], None)
            return self.reply(200, {})
        self.count(form["grant_type"])
        return self.exchange(form)

    def count(self, what: str) -> None:
        """Count a request."""
        with self.lock:
            self.issuer.counts[what] += 1

    def describe(self) -> dict[str, Any]:
        """Return the issuer's metadata."""
        base = self.issuer.base
        return {
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "registration_endpoint": f"{base}/register",
            "revocation_endpoint": f"{base}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def register(self, about: dict[str, Any]) -> None:
        """Register a client."""
        assert about["application_type"] == "native"
        name = f"client{len(self.issuer.clients)}"
        self.issuer.clients[name] = about
        self.reply(201, {**about, "client_id": name, "client_secret": None})

    def authorize(self, query: dict[str, str]) -> None:
        """Send the browser back with a code. An unknown client or way back is an error page."""
        self.issuer.asked.append(query)
        client = self.issuer.clients.get(query["client_id"])
        if client is None or query["redirect_uri"] not in client["redirect_uris"]:
            self.reply(400, {"error": "unknown client or redirect_uri"})
            return
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        answer = {"state": query["state"], "iss": self.issuer.base}
        if "authorize" in self.issuer.refusals:
            answer["error"] = self.issuer.refusals["authorize"][1]
        else:
            code = answer["code"] = secrets.token_urlsafe()
            self.issuer.codes[code] = query
        self.send_response(302)
        self.send_header("location", f"{query['redirect_uri']}?{urlencode(answer)}")
        self.send_header("content-length", "0")
        self.end_headers()

    def exchange(self, form: dict[str, str]) -> None:
        """Give tokens for a code, a refresh token or a secret."""
        grant = form["grant_type"]
        if grant in self.issuer.refusals:
            status, error = self.issuer.refusals[grant]
            return self.reply(status, {"error": error, "error_description": "for a test"})
        if form["resource"] != self.issuer.url:
            return self.reply(400, {"error": "invalid_target"})
        if grant == "client_credentials":
            pair = base64.b64encode(b"robot:s%2F3cret").decode()
            kind = form.get("client_assertion_type")
            is_signed = kind == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            if self.headers["authorization"] == f"Basic {pair}" or (
                is_signed and self.issuer.check_assertion(form["client_assertion"])
            ):
                return self.give(form.get("scope", ""), "")
        elif form["client_id"] in self.issuer.clients:
            return self.exchange_for_person(form)
        return self.reply(401, {"error": "invalid_client"})

    def exchange_for_person(self, form: dict[str, str]) -> None:
        """Give tokens for a code or a refresh token. A second use of either is a theft."""
        if form["grant_type"] == "refresh_token":
            scope = self.issuer.refresh_tokens.pop(form["refresh_token"], None)
            if scope is not None:
                return self.give(scope, secrets.token_urlsafe())
        else:
            asked = self.issuer.codes.pop(form["code"], {})
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (asked.get("code_challenge"), asked.get("redirect_uri")) == (challenge, form["redirect_uri"]):
                return self.give(asked.get("scope", ""), secrets.token_urlsafe())
        return self.reply(400, {"error": "invalid_grant"})

    def give(self, scope: str, refresh_token: str) -> None:
        """Give tokens."""
        token = secrets.token_urlsafe()
        self.issuer.tokens[token] = (scope, time.time() + self.issuer.lifetime)
        answer: dict[str, Any] = {"access_token": token, "token_type": "bearer", "scope": scope}
        answer["expires_in"] = self.issuer.told_lifetime or self.issuer.lifetime
        if refresh_token:
            self.issuer.refresh_tokens[refresh_token] = scope
            answer["refresh_token"] = refresh_token
        self.reply(200, answer)

    def answer(self, message: dict[str, Any]) -> None:
        """Answer a message of the earlier protocol, without a session, to a good token."""
        self.count("message")
        token = (self.headers["authorization"] or "").removeprefix("Bearer ")
        scope, end = self.issuer.tokens.get(token, ("", 0.0))
        where = f'resource_metadata="{self.issuer.base}/.well-known/oauth-protected-resource/mcp"'
        if end < time.time():
            return self.reply(401, {"error": "unauthorized"}, f'Bearer {where}, scope="{self.issuer.scopes}"')
        method, params = message["method"], message.get("params", {})
        if method == "tools/call" and params["name"] not in scope.split():
            refusal = f'Bearer error="insufficient_scope", scope="{params["name"]}", {where}'
            return self.reply(403, {"error": "insufficient_scope"}, refusal)
        if "id" not in message:
            return self.reply(202, {})
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            },
            "tools/list": {"tools": TOOLS},
            "tools/call": {"content": [{"type": "text", "text": params.get("name")}]},
        }
        if method not in results:
            error = {"code": -32601, "message": "Method not found"}
            return self.reply(200, {"jsonrpc": "2.0", "id": message["id"], "error": error})
        return self.reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": results[method]})

    def reply(self, status: int, body: Any, refusal: str = "") -> None:
        """Write an answer."""
        data = json.dumps(body).encode() + b" " * self.issuer.padding
        if self.issuer.packing:
            data = gzip.compress(data)
        self.issuer.packings_asked.add(self.headers["accept-encoding"])
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if self.issuer.packing:
            self.send_header("content-encoding", self.issuer.packing)
        if refusal:
            self.send_header("www-authenticate", refusal)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""
