"""Services with a documented format: requests with a key, and answers as values, with errors a model can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import trio

from agno_rt.errors import ConfigError
from agno_rt.keys.find import find_key
from agno_rt.wire.refusals import retry_after
from agno_rt_web.client import Reply, Request, WebClient, hide_secrets
from agno_rt_web.decode import clean_line
from agno_rt_web.errors import ServiceError
from agno_rt_web.settings import Service
from agno_rt_web.xml import Element, parse_xml

__all__ = ["ServiceClient", "list_of", "number_of", "read_json", "text_of"]

TOO_MANY = 429


class ServiceClient:
    """The client of a service by name. `title` names it in errors."""

    def __init__(self, name: str, service: Service, client: WebClient) -> None:
        self.title = name.partition("_")[0]
        self.service = service
        self._name = name
        self._client = client

    def find_key(self) -> str:
        """Return the key; empty without one."""
        if not self.service.api_key_env:
            return ""
        key = find_key(self.service.api_key_env)
        return "" if key is None else key.text

    def check_ready(self) -> None:
        """Raise `ConfigError` if the service's address or its key is missing."""
        self.check_address()
        name = self.service.api_key_env
        if name and not self.find_key():
            hint = f"Set {name}, or run: agno-rt keys set {name}."
            raise ConfigError(f"{self.title} needs an API key, and {name} is not set", hint=hint)

    def check_address(self) -> None:
        """Raise `ConfigError` if the service has no address."""
        if not self.service.base_url:
            hint = f"Write base_url in [plugins.web.services.{self._name}]."
            raise ConfigError(f"{self.title} has no address", hint=hint)

    def need_key(self) -> str:
        """Return the key. Raises `ServiceError`, for the model, without a key."""
        self._tell_model(self.check_ready)
        return self.find_key()

    def need_address(self) -> None:
        """Raise `ServiceError`, for the model, if the service has no address."""
        self._tell_model(self.check_address)

    def _tell_model(self, check: Callable[[], None]) -> None:
        try:
            check()
        except ConfigError as exc:
            raise ServiceError(exc.message, hint=f"Tell your operator: {exc.hint}") from None

    async def get_json(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Return the value of the answer to a query. Raises `WebError`."""
        return self._read_json(await self.get(path, query, headers))

    async def get_xml(self, path: str, query: Mapping[str, Any]) -> Element:
        """Return the root of the XML in the answer to a query. Raises `WebError`."""
        reply = await self.get(path, query)
        self._check_whole(reply)
        # A document at the limit takes a tenth of a second, in which other runs would wait.
        return await trio.to_thread.run_sync(parse_xml, reply.body, self.title, abandon_on_cancel=True)

    async def post_json(self, path: str, value: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """Return the value of the answer to a value. Raises `WebError`."""
        sent = {"content-type": "application/json", "accept": "application/json", **headers}
        return self._read_json(await self._send("POST", path, {}, sent, msgspec.json.encode(value)))

    async def post_form(self, path: str, form: Mapping[str, str]) -> Reply:
        """Return the answer to a form. Raises `WebError`."""
        sent = {"content-type": "application/x-www-form-urlencoded"}
        return await self._send("POST", path, {}, sent, urlencode(form).encode())

    async def get(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to a query. Raises `WebError` for a status without success."""
        return await self._send("GET", path, query, headers or {}, b"")

    async def _send(
        self, method: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str], body: bytes
    ) -> Reply:
        self.need_address()
        asked = urlencode({name: value for name, value in query.items() if value not in (None, "")})
        url = f"{self.service.base_url.rstrip('/')}/{path.lstrip('/')}"
        url = f"{url}?{asked}" if asked else url
        # Searches change nothing, whatever their method.
        reply = await self._client.send(Request(method, url, headers, body, interval=self.service.interval))
        if not 200 <= reply.status < 300:
            raise self.explain_status(reply)
        return reply

    def _read_json(self, reply: Reply) -> Any:
        self._check_whole(reply)
        value = read_json(reply)
        if value is None and reply.body.strip() != b"null":
            hint = "Try again later."
            raise ServiceError(f"{self.title} answered with something other than JSON", hint=hint, status=reply.status)
        return value

    def _check_whole(self, reply: Reply) -> None:
        if reply.is_cut:
            hint = "Ask for fewer results."
            raise ServiceError(f"the answer of {self.title} is larger than allowed", hint=hint, status=reply.status)

    def explain_status(self, reply: Reply) -> ServiceError:
        """Return the error for an answer without success: what happened, and who can mend it."""
        status, name = reply.status, self.service.api_key_env
        said = clean_line(hide_secrets(find_message(read_json(reply)), [self.find_key()]), 300)
        problem = f"{self.title} answered {status}" + (f": {said}" if said else "")
        if status in (401, 403) and name:
            state = "was refused" if self.find_key() else "is not set"
            hint = f"The key {name} {state}. Tell your operator to check it: agno-rt keys set {name}."
        elif status == TOO_MANY:
            wait = retry_after(reply.headers, time.time())
            hint = "Too many requests. " + (f"Try again in {wait:.0f} s." if wait else "Try again later.")
        elif status >= 500:
            hint = "The service is out of order. Try again later."
        else:
            hint = "Change the question."
        return ServiceError(problem, hint=hint, status=status)


def read_json(reply: Reply) -> Any:
    """Return the value of a JSON body; `None` for another body."""
    try:
        return msgspec.json.decode(reply.text.removeprefix("\ufeff"))
    except (msgspec.MsgspecError, RecursionError):
        return None


_MESSAGES = ("message", "detail", "error", "errors", "title", "description")


def find_message(value: Any, depth: int = 4) -> str:
    """Return the words of an error object of a service; empty without any."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and depth:
        return find_message(value[0], depth - 1)
    if isinstance(value, dict) and depth:
        found = (find_message(value[name], depth - 1) for name in _MESSAGES if name in value)
        return next(filter(None, found), "")
    return ""


def text_of(value: Any, *names: str, most: int = 500) -> str:
    """Return the text at a path of names, on one line; empty for anything else."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean_line(str(value), most)


def number_of(value: Any, *names: str) -> int | float | None:
    """Return the number at a path of names, also if it is written as text; `None` for anything else."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def list_of(value: Any, *names: str, most: int = 100) -> list[Any]:
    """Return the list at a path of names, cut after `most` items; empty for anything else."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value[:most] if isinstance(value, list) else []
