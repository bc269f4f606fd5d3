"""Machines that show by a private key who they are (`private_key_jwt`), with a strict issuer on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.errors import ServerUnavailable
from agno_rt_mcp.settings import OAuthSettings, ServerSettings
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from agno_rt.plugins import PluginHost
from tests.servers.oauth_issuer import Issuer, serving

# The SDK leaves generators of httpx2 unfinished when it has read the answer in a stream of events.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """Serve both servers, and keep logins in a folder of the test."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    with serving() as found:
        yield found


def write_key(folder: Path, key: Any, *, mode: int = 0o600, password: bytes = b"") -> Path:
    """Write a private key as a file, and return the path."""
    path = folder / "robot.pem"
    packing = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, packing))
    path.chmod(mode)
    return path


def trust(issuer: Issuer, key: Any, algorithm: str) -> list[dict[str, Any]]:
    """Let the issuer take assertions by the key, each once; return the list of their claims and headers."""
    seen: list[dict[str, Any]] = []

    def check(text: str) -> bool:
        must = ["exp", "iat", "iss", "jti", "sub"]
        options: Any = {"require": must}
        claims = jwt.decode(text, key.public_key(), [algorithm], audience=issuer.base, issuer="robot", options=options)
        is_new = all(each["jti"] != claims["jti"] for each in seen)
        seen.append(claims | jwt.get_unverified_header(text))
        return is_new and claims["sub"] == "robot" and claims["exp"] - claims["iat"] <= 300

    issuer.check_assertion = check
    return seen


def machine(issuer: Issuer, path: Path, **more: Any) -> ServerSettings:
    """Return the settings of a machine with a key."""
    oauth = OAuthSettings("client_credentials", "robot", issuer=issuer.base, key_file=str(path), **more)
    return ServerSettings("tickets", url=issuer.url, oauth=oauth)


async def fail_to_open(settings: ServerSettings) -> ServerUnavailable:
    """Open the toolkit in vain, and return the error."""
    kit: Any = make_toolkit(settings)
    with pytest.RaisesGroup(ServerUnavailable, flatten_subgroups=True) as caught:
        async with kit.open():
            await trio.sleep_forever()
    found = caught.value.exceptions[0]
    assert isinstance(found, ServerUnavailable)
    return found


@pytest.mark.parametrize(
    ("make_key", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
)
async def test_a_machine_logs_in_by_its_key(
    issuer: Issuer, tmp_path: Path, make_key: Callable[[], Any], algorithm: str
) -> None:
    """Each request for a token has an assertion of its own for the issuer alone; no secret is sent."""
    key = make_key()
    seen = trust(issuer, key, algorithm)
    kit: Any = make_toolkit(machine(issuer, write_key(tmp_path, key), key_id="k1"))
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        issuer.end_tokens()
        assert await tools["read"]() == "read"
    assert len(seen) == issuer.counts["client_credentials"] == 2
    assert {(each["kid"], each["alg"]) for each in seen} == {("k1", algorithm)}
    assert all("client_secret" not in form for form in issuer.forms)


async def test_a_key_that_the_issuer_does_not_know_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    """The error has the issuer's word and the settings to look at."""
    error = await fail_to_open(machine(issuer, write_key(tmp_path, ec.generate_private_key(ec.SECP256R1()))))
    assert "invalid_client" in error.message
    assert "key_file" in error.hint


@pytest.mark.parametrize("fault", ["missing", "open", "text", "locked", "odd"])
async def test_an_unusable_key_is_named(issuer: Issuer, tmp_path: Path, fault: str) -> None:
    """The error names the file and the remedy; the issuer is asked for no token."""
    key: Any = x25519.X25519PrivateKey.generate() if fault == "odd" else ec.generate_private_key(ec.SECP256R1())
    path = write_key(
        tmp_path, key, mode=0o644 if fault == "open" else 0o600, password=b"pass" if fault == "locked" else b""
    )
    if fault == "missing":
        path.unlink()
    elif fault == "text":
        path.write_text("s3cret")
    said = {"missing": "No such file", "open": "can be read by others", "odd": "of an unknown kind"}
    error = await fail_to_open(machine(issuer, path))
    assert f"key_file {str(path)!r}" in error.message
    assert said.get(fault, "cannot be used") in error.message
    assert error.hint
    assert "s3cret" not in error.full_text
    assert issuer.counts["client_credentials"] == 0


def test_the_doctor_tells_of_a_missing_key(tmp_path: Path) -> None:
    """The finding names the file."""
    oauth = {"client_id": "me", "key_file": str(tmp_path / "gone.pem"), "issuer": "https://x.example"}
    table = {"url": "https://x.example/mcp", "oauth": {**oauth, "grant": "client_credentials"}}
    [found] = PluginHost().examine("mcp", {"servers": {"tickets": table}})
    assert (found.level, "gone.pem" in found.hint) == ("warning", True)
