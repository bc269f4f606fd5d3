"""robots.txt (RFC 9309): what a site asks programs to leave alone. Heeded if the settings say so."""

from __future__ import annotations

from collections import OrderedDict
from urllib.robotparser import RobotFileParser

from agno_rt_web.addresses import parse_url
from agno_rt_web.client import Request, WebClient
from agno_rt_web.errors import AddressRefused, WebError

__all__ = ["Robots"]

KNOWN = 100
"""The most sites whose rules are remembered."""

MOST = 500_000
"""The bytes of the rules that are read (RFC 9309, 2.5)."""


class Robots:
    """The rules of sites. A site whose server fails allows nothing; a site without rules allows everything."""

    def __init__(self, client: WebClient, user_agent: str) -> None:
        self._client = client
        self._name = user_agent
        self._rules: OrderedDict[str, RobotFileParser] = OrderedDict()

    async def check(self, address: str) -> None:
        """Raise `AddressRefused` for an address that its site closes to programs."""
        url = parse_url(address)
        site = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if site not in self._rules:
            self._rules[site] = await self._fetch(site)
            while len(self._rules) > KNOWN:
                self._rules.popitem(last=False)
        if not self._rules[site].can_fetch(self._name, address):
            hint = "Use another address."
            raise AddressRefused(f"{url.host} asks programs not to read this address (robots.txt)", hint=hint)

    async def _fetch(self, site: str) -> RobotFileParser:
        rules = RobotFileParser()
        try:
            reply = await self._client.send(Request("GET", f"{site}/robots.txt"))
        except AddressRefused:
            raise
        except WebError:
            rules.disallow_all = True  # type: ignore[attr-defined]  # the stub of the library lacks it
            return rules
        if reply.status >= 500:
            rules.disallow_all = True  # type: ignore[attr-defined]
        elif reply.status >= 400:
            rules.allow_all = True  # type: ignore[attr-defined]
        else:
            rules.parse(reply.text[:MOST].splitlines())
        return rules
