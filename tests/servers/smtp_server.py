"""A mail server on loopback, by aiosmtpd, in a process of its own: `python -m tests.servers.smtp_server CERT KEY`.

Prints the ports for STARTTLS and for TLS from the first byte, then each message as a line of JSON. The account is `ann`
with the password `pw-0123456789`. A message to `nobody@` is refused for the address, to `later@` for now, to `never@`
for ever, and a message to `drop@` breaks the connection off.
"""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
import sys
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

ACCOUNT = LoginPassword(b"ann", b"pw-0123456789")


class Mailbox:
    """Takes messages, or refuses them by their address."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take an address, or refuse it."""
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Take a message, or refuse it, or break off."""
        first = envelope.rcpt_tos[0].partition("@")[0]
        if first == "drop":
            server.transport.abort()
        if first in ("later", "never"):
            return {"later": "451 4.3.0 busy", "never": "554 5.7.1 not wanted"}[first]
        content = envelope.content.decode() if isinstance(envelope.content, bytes) else envelope.content
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "content": content, "tls": session.ssl is not None}
        print(json.dumps(told), flush=True)
        return "250 OK"


def check_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Let the account in."""
    return AuthResult(success=data == ACCOUNT, handled=False)


async def main(certificate: str, key: str) -> None:
    """Serve until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    make = functools.partial(SMTP, Mailbox(), hostname="127.0.0.1", authenticator=check_login)
    loop = asyncio.get_running_loop()
    later = await loop.create_server(functools.partial(make, tls_context=context), "127.0.0.1", 0)
    at_once = await loop.create_server(functools.partial(make, auth_require_tls=False), "127.0.0.1", 0, ssl=context)
    print(json.dumps([each.sockets[0].getsockname()[1] for each in (later, at_once)]), flush=True)
    async with later, at_once:
        await asyncio.gather(later.serve_forever(), at_once.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
