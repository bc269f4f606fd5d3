"""E-mail by SMTP, against a server of aiosmtpd on loopback, with passwords and TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_string
from email.policy import default
from pathlib import Path
from typing import Any

import attrs
import pytest
from agno_rt_services import agno_rt_examine
from agno_rt_services.mail import MailSettings, make_mail_toolkit
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agno_rt.errors import ConfigError
from tests.servers.service_formats import call_tool

PASSWORD = "pw-0123456789"


@attrs.frozen
class MailServer:
    """The server: its ports, its certificate and its output."""

    starttls: int
    tls: int
    certificate: str
    process: Any

    def read(self) -> dict[str, Any]:
        """Return the next message that the server took."""
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


def write_certificate(folder: Path) -> tuple[str, str]:
    """Write a certificate for 127.0.0.1 and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A mail server for the tests of this module."""
    certificate, key = write_certificate(tmp_path_factory.mktemp("mail"))
    command = [sys.executable, "-m", "tests.servers.smtp_server", certificate, key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            starttls, tls = json.loads(process.stdout.readline())
            yield MailServer(starttls, tls, certificate, process)
        finally:
            process.kill()


async def send(server: MailServer, to: str = "bob@example.com", **changes: Any) -> Any:
    """Let an agent send a message."""
    table = {
        "host": "127.0.0.1",
        "port": server.starttls,
        "user": "ann",
        "api_key": PASSWORD,
        "sender": "Desk <desk@example.com>",
        "ca_file": server.certificate,
        **changes,
    }
    return await call_tool("email", "send_email", {"to": to, "subject": "Grüße", "body": "Hallo Bob.\n"}, **table)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_message_is_sent(server: MailServer, security: str) -> None:
    """The message arrives encrypted, after a login, with the sender of the settings."""
    port = server.starttls if security == "starttls" else server.tls
    told = await send(server, "Bob <bob@example.com>, carl@example.com", security=security, port=port)
    assert told == {"status": "sent", "to": ["bob@example.com", "carl@example.com"]}
    taken = server.read()
    assert (taken["from"], taken["to"]) == ("desk@example.com", ["bob@example.com", "carl@example.com"])
    if security == "starttls":
        assert taken["tls"] is True
    message = message_from_string(taken["content"], policy=default)
    assert (message["From"], message["Subject"]) == ("Desk <desk@example.com>", "Grüße")
    assert message["Message-ID"].endswith("@example.com>")
    assert message.get_content().strip() == "Hallo Bob."


async def test_a_refused_address_among_others(server: MailServer) -> None:
    """The others get the message, and the model is told of the refused one."""
    told = await send(server, "nobody@example.com, bob@example.com")
    assert told == {"status": "sent", "to": ["bob@example.com"], "refused": ["nobody@example.com"]}
    assert server.read()["to"] == ["bob@example.com"]


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("nobody@example.com", "550 5.1.1 no such user"),
        ("later@example.com", "Try later"),
        ("never@example.com", "Nothing was sent"),
        ("drop@example.com", "It is not known whether the message was sent"),
        ("bob", "not a list of e-mail addresses"),
        ("bob@example.com\r\nBcc: x@example.com", "not a list of e-mail addresses"),
        (", ".join(f"u{n}@example.com" for n in range(21)), "at most 20"),
    ],
)
async def test_refusals_are_told(server: MailServer, to: str, words: str) -> None:
    """The model is told whether anything was sent, and what to do."""
    assert words in await send(server, to)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_key": "wrong-0123456789"}, "refused the name or the password"),
        ({"ca_file": ""}, "cannot be used"),
        ({"port": 1}, "Nothing was sent"),
        ({"security": "none"}, "security"),
        ({"recipients": ["*@acme.example", "ops@example.com"]}, "bob@example.com may not get messages"),
    ],
)
async def test_settings_that_do_not_fit(server: MailServer, changes: dict[str, Any], words: str) -> None:
    """A wrong password, an unknown certificate, no server, no encryption, and an address outside the list."""
    told = await send(server, **changes)
    assert words in told
    assert "wrong-0123456789" not in told


def test_a_message_waits_for_a_person() -> None:
    """By default, each message is approved, and the tool is marked as one that cannot be undone."""
    [tool] = make_mail_toolkit(MailSettings(host="h", sender="a@example.com")).tools
    assert (tool.approve, tool.read_only, tool.destructive, tool.idempotent) == (True, False, True, False)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"host": "h"}, "sender"),
        ({"host": " ", "sender": "a@example.com"}, "host"),
        ({"host": "h", "sender": "nobody"}, "sender"),
        ({"host": "h", "sender": "a@example.com", "security": "ssl"}, "security"),
        ({"host": "h", "sender": "a@example.com", "timeout": 0}, "timeout"),
    ],
)
def test_wrong_settings_are_named(table: dict[str, Any], words: str) -> None:
    """Each mistake is an error with its table, before any connection."""
    with pytest.raises(ConfigError, match=words) as caught:
        make_mail_toolkit(table)
    assert "plugins.services.email" in caught.value.message


def test_a_missing_password_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`agno-rt doctor` names the variable of the password."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    table = {"host": "smtp.example.com", "sender": "a@example.com", "user": "ann"}
    [finding] = agno_rt_examine({"email": table})
    assert "SMTP_PASSWORD is not set" in finding.message
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    assert list(agno_rt_examine({"email": table})) == []
