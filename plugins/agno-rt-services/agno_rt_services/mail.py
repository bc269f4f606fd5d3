"""E-mail by SMTP: one tool that sends a message through the server of the settings.

Blocks; the tool runs in a worker thread. References: RFC 5321 (replies and their codes), RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError, UsageError
from agno_rt.keys.find import Key, find_key
from agno_rt.tools import ToolArgumentError, Toolkit, tool
from agno_rt_services.errors import ServiceError
from agno_rt_services.service import PLUGIN
from agno_rt_services.settings import Approve, check_approve

__all__ = ["MailSettings", "check_mail", "make_mail_toolkit", "parse_addresses", "read_mail_table", "write_message"]

KEY = "SMTP_PASSWORD"
MOST_RECIPIENTS = 20
_UNCERTAIN = "It is not known whether the message was sent: ask before you send it again."
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@attrs.frozen(kw_only=True)
class MailSettings:
    """The table `[plugins.services.email]`. Raises `UsageError` for an unusable value.

    Attributes:
        host: the server for outgoing mail
        sender: the address of the sender, as in `Desk <desk@example.com>`
        port: the port. Default: 587, 465 for `tls` and 25 for `none`
        security: `starttls` or `tls`; `none` sends the password and the message in the open
        user: the name of the account; empty to send without logging in
        api_key: the password itself; better leave it in the environment
        api_key_env: the name of the password
        recipients: patterns of the addresses that may get a message; empty for all addresses
        timeout: seconds between two replies of the server
        ca_file: a file of certificates (PEM) to trust instead of the usual authorities
        approve: `changes` and `all` let each message wait for a person, `none` lets the agent send
    """

    host: str
    sender: str
    port: int | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    api_key: str | None = attrs.field(default=None, repr=False)
    api_key_env: str = KEY
    recipients: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    timeout: float = 30.0
    ca_file: str = ""
    approve: Approve = attrs.field(default="changes", validator=check_approve)

    def __attrs_post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise UsageError(f"timeout is {self.timeout!r}", hint="Give seconds above 0.")
        if not self.host.strip():
            raise UsageError("host is empty", hint='Write host = "smtp.example.com".')
        if len(parse_addresses(self.sender)) != 1:
            raise UsageError(f"sender is {self.sender!r}", hint='Write sender = "Desk <desk@example.com>".')

    def find_key(self) -> Key:
        """Return the password, read now; an empty one without a user. Raises `ConfigError` for a missing password."""
        if not self.user:
            return Key("", "nowhere")
        if self.api_key is not None:
            return Key(self.api_key, "the setting api_key")
        key = find_key(self.api_key_env)
        if key is None:
            hint = f"Set {self.api_key_env}, or run: agno-rt keys set {self.api_key_env}."
            raise ConfigError(f"{self.host} needs a password, and {self.api_key_env} is not set", hint=hint)
        return key

    def may_get(self, address: str) -> bool:
        """Return whether the address may get a message."""
        return not self.recipients or any(fnmatchcase(address.lower(), each.lower()) for each in self.recipients)


def read_mail_table(table: Mapping[str, Any]) -> MailSettings:
    """Return the settings of the table. Raises `ConfigError`."""
    return read_settings(MailSettings, table, f"[plugins.{PLUGIN}.email]")


def make_mail_toolkit(table: Mapping[str, Any] | MailSettings) -> Toolkit:
    """Return the toolkit `services:email`. Raises `ConfigError` for an unusable table."""
    settings = table if isinstance(table, MailSettings) else read_mail_table(table)

    @tool(read_only=False, destructive=True, approve=settings.approve != "none", check_ready=check_mail(settings))
    def send_email(
        to: Annotated[str, Meta(description="Addresses, with commas between them.", min_length=3, max_length=2_000)],
        subject: Annotated[str, Meta(min_length=1, max_length=500)],
        body: Annotated[str, Meta(min_length=1, max_length=100_000)],
    ) -> dict[str, Any]:
        """Send an e-mail. The text is plain, without markup."""
        addresses = _choose_recipients(settings, to)
        message = write_message(to, subject, body, settings.sender)
        refused = _send(settings, message, addresses)
        sent = [address for address in addresses if address not in refused]
        return {"status": "sent", "to": sent, **({"refused": sorted(refused)} if refused else {})}

    return Toolkit(f"{PLUGIN}:email", (send_email,))


def check_mail(settings: MailSettings) -> Callable[[], None]:
    """Return the check of the settings, which raises `ConfigError` for a missing password or file. Asks no server."""

    def check() -> None:
        settings.find_key()
        if settings.ca_file:
            _make_context(settings)

    return check


def parse_addresses(text: str) -> list[str]:
    """Return the addresses in a text; none if any of them cannot be used."""
    # The modules for e-mail take a while to import, and few runs write a message.
    from email.headerregistry import Address
    from email.utils import getaddresses

    if "\n" in text or "\r" in text:
        return []
    try:
        found = [Address(name, addr_spec=address) for name, address in getaddresses([text])]
    except (ValueError, IndexError, AttributeError):
        return []
    return [each.addr_spec for each in found] if all(each.username and each.domain for each in found) else []


def write_message(to: str, subject: str, body: str, sender: str = "") -> bytes:
    """Return a message in the format of RFC 5322. Raises `ToolArgumentError` for unusable addresses."""
    from email.headerregistry import Address
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate, getaddresses, make_msgid

    if not parse_addresses(to):
        raise ToolArgumentError(f"to is {to[:200]!r}, which is not a list of e-mail addresses")
    message = EmailMessage(policy=SMTP)
    if sender:
        message["From"] = sender
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=parse_addresses(sender)[0].rpartition("@")[2])
    message["To"] = [Address(name, addr_spec=address) for name, address in getaddresses([to])]
    message["Subject"] = " ".join(subject.split())
    message.set_content(body)
    return message.as_bytes()


def _choose_recipients(settings: MailSettings, to: str) -> list[str]:
    addresses = parse_addresses(to)
    if not addresses:
        raise ToolArgumentError(f"to is {to[:200]!r}, which is not a list of e-mail addresses")
    if len(addresses) > MOST_RECIPIENTS:
        raise ToolArgumentError(f"to has {len(addresses)} addresses, and at most {MOST_RECIPIENTS} get a message")
    if other := [address for address in addresses if not settings.may_get(address)]:
        raise ToolArgumentError(f"{', '.join(other)} may not get messages; only {', '.join(settings.recipients)}")
    return addresses


def _send(settings: MailSettings, message: bytes, addresses: list[str]) -> set[str]:
    """Send the message, and return the addresses that the server refused. Raises `ServiceError`."""
    key = settings.find_key()
    with _open_server(settings, key) as server:
        sender = parse_addresses(settings.sender)[0]
        try:
            return set(server.sendmail(sender, addresses, message))
        except smtplib.SMTPRecipientsRefused as exc:
            told = "; ".join(f"{name}: {_read_reply(code, text)}" for name, (code, text) in exc.recipients.items())
            raise ServiceError(f"{settings.host} refused every address: {told[:500]}", hint="Check them.") from exc
        except smtplib.SMTPResponseException as exc:
            reply = _read_reply(exc.smtp_code, exc.smtp_error)
            hint = "Try later, or tell the user." if exc.smtp_code < 500 else "Nothing was sent: tell the user."
            raise ServiceError(f"{settings.host} refused the message: {reply}", hint=hint) from exc
        except (smtplib.SMTPException, OSError) as exc:
            raise ServiceError(f"{settings.host} broke off: {exc}", hint=_UNCERTAIN) from exc


@contextlib.contextmanager
def _open_server(settings: MailSettings, key: Key) -> Iterator[smtplib.SMTP]:
    """Connect and log in. Raises `ServiceError`; nothing has been sent then."""
    port = settings.port or _PORTS[settings.security]
    where = f"{settings.host}:{port}"
    server: smtplib.SMTP | None = None
    try:
        try:
            if settings.security == "tls":
                context = _make_context(settings)
                server = smtplib.SMTP_SSL(settings.host, port, timeout=settings.timeout, context=context)
            else:
                server = smtplib.SMTP(settings.host, port, timeout=settings.timeout)
            if settings.security == "starttls":
                server.starttls(context=_make_context(settings))
            if settings.user:
                server.login(settings.user, key.text)
        except smtplib.SMTPAuthenticationError as exc:
            hint = f"A person has to check user in [plugins.{PLUGIN}.email], and the password from {key.source}."
            raise ServiceError(f"{where} refused the name or the password", hint=hint, status=401) from exc
        except smtplib.SMTPNotSupportedError as exc:
            hint = f"Check security in [plugins.{PLUGIN}.email]: starttls, tls or none."
            raise ServiceError(f"{where} does not offer what is needed: {exc}", hint=hint) from exc
        except (smtplib.SMTPException, OSError) as exc:
            hint = f"Nothing was sent. Check host, port and security in [plugins.{PLUGIN}.email]."
            raise ServiceError(f"{where} cannot be used: {exc}", hint=hint) from exc
        yield server
    finally:
        if server is not None:
            # The message is with the server already: a broken farewell changes nothing.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()


def _make_context(settings: MailSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as exc:
        hint = "Name a file of certificates in PEM form."
        raise ConfigError(f"ca_file {settings.ca_file!r} cannot be used", hint=hint) from exc


def _read_reply(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())[:200]}"
