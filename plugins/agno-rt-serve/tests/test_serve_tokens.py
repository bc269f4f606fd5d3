"""JSON Web Tokens: accepted tokens, and forged tokens, without a run and without a connection."""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx2
import jwt
import pytest
import structlog
import trio
from agno_rt_serve.auth.settings import JwtSettings
from agno_rt_serve.auth.tokens import Tokens
from agno_rt_serve.errors import HttpError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from agno_rt import Agent, ModelResponse
from agno_rt.errors import AgnoError, ConfigError
from agno_rt.testing import ScriptedModel

ISSUER, AUDIENCE = "https://issuer.example", "agents"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECRET = "a secret of thirty-two bytes, or more"


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    made: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return made | ({} if kid is None else {"kid": kid}) | more


KEYS = {"keys": [jwk(RSA, "r1", use="sig"), jwk(EC, "e1"), {"kty": "new", "kid": "n1"}, jwk(OTHER, "x1", use="enc")]}


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 60, "iat": now, "scope": "openid agents:a:run"}
    return {name: value for name, value in (made | changed).items() if value is not None}


def sign(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r1", header: Any = None, **changed: Any) -> str:
    headers = ({} if kid is None else {"kid": kid}) | (header or {})
    return jwt.encode(claims(**changed), key, algorithm, headers=headers)


def sign_raw(header: dict[str, Any], secret: bytes, body: dict[str, Any] | None = None) -> str:
    """Return a token with an HMAC over any secret: libraries refuse some secrets."""
    import hashlib
    import hmac

    def pack(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = b".".join(pack(json.dumps(each).encode()) for each in (header, body or claims()))
    return (text + b"." + pack(hmac.new(secret, text, hashlib.sha256).digest())).decode()


@pytest.fixture
def settings(tmp_path: Path) -> JwtSettings:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    return JwtSettings(keys=str(path), issuer=ISSUER, audience=(AUDIENCE,))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@attrs.define
class Site:
    """A web server with a list of visits; `body` is the answer."""

    url: str
    body: bytes = b"{}"
    status: int = 200
    visits: list[str] = attrs.Factory(list)
    packing: str = ""
    packings_asked: set[str | None] = attrs.Factory(set)


@pytest.fixture
def site() -> Iterator[Site]:
    """Serve on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.visits.append(self.path)
            made.packings_asked.add(self.headers["accept-encoding"])
            self.send_response(made.status)
            if made.packing:
                self.send_header("content-encoding", made.packing)
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *values: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def served(serve_agents: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Serve the agents `a` and `b` with the settings. Return a client, and the list of runs."""

    async def start(settings: JwtSettings, **options: Any) -> tuple[httpx2.AsyncClient, list[Any]]:
        runs: list[Any] = []

        def answer(request: Any) -> ModelResponse:
            runs.append(request)
            return ModelResponse("Hello.")

        made = await serve_agents(*(Agent(ScriptedModel(answer), name) for name in "ab"), jwt=settings, **options)
        return httpx2.AsyncClient(base_url=made.url, timeout=30), runs

    return start


RUN = {"input": "Hi"}


class TestAccepted:
    @pytest.mark.parametrize(
        ("key", "algorithm", "kid"), [(RSA, "RS256", "r1"), (RSA, "RS256", None), (EC, "ES256", "e1")]
    )
    async def test_algorithms(self, settings: JwtSettings, key: Any, algorithm: str, kid: str | None) -> None:
        """A token by a key of the set is of the claimed user, and has the claimed scopes of this server."""
        caller = await Tokens(settings).read(sign(key, algorithm, kid).encode())

        assert (caller.kind, caller.id, caller.user) == ("jwt", "jwt:ann", "ann")
        assert caller.may("run", "agents", "a")
        assert not caller.may("run", "agents", "b")

    async def test_secret(self, tmp_path: Path) -> None:
        """A secret in a private file is for HS256."""
        path = tmp_path / "secret"
        path.write_text(SECRET)
        path.chmod(0o600)
        tokens = Tokens(JwtSettings(secret_file=str(path), issuer=ISSUER, audience=("x", AUDIENCE)))

        assert (await tokens.read(sign(SECRET, "HS256", None).encode())).user == "ann"
        with pytest.raises(HttpError):
            await tokens.read(sign(f"{SECRET}!", "HS256", None).encode())

    async def test_claims(self, settings: JwtSettings) -> None:
        """The settings name the claims of the user and the scopes, a prefix, and scopes of every token."""
        own = attrs.evolve(settings, user="email", claim="roles", prefix="agno:", scopes=("sessions:*:read",))
        roles = ["admin", "agno:agents:b:run", "agno:", 5]
        caller = await Tokens(own).read(sign(email="ann@example.com", roles=roles).encode())

        assert caller.user == "ann@example.com"
        assert caller.may("run", "agents", "b")
        assert caller.may("read", "sessions")
        assert not caller.may("run", "agents", "a")
        assert not caller.scopes.sees_all

    async def test_server(self, settings: JwtSettings, served: Any) -> None:
        """A token opens the agents of the scopes, and nothing else."""
        http, runs = await served(settings)
        async with http:
            let_in = await http.post("/agents/a/runs", json=RUN, headers=bearer(sign()))
            refused = await http.post("/agents/b/runs", json=RUN, headers=bearer(sign()))
            nothing = await http.get("/sessions", headers=bearer(sign(scope=None)))

        assert [let_in.status_code, refused.status_code, nothing.status_code] == [200, 403, 403]
        assert len(runs) == 1

    async def test_end_while_remembered(self, settings: JwtSettings) -> None:
        """An accepted token is refused after the end, leeway included."""
        tokens = Tokens(attrs.evolve(settings, leeway=0))
        caller = None
        while caller is None:
            end = int(time.time()) + 2
            token = sign(exp=end).encode()
            try:
                caller = await tokens.read(token)
            except HttpError:
                assert time.time() >= end, "only a machine that stalled until the end has to try another token"
        assert caller.user == "ann"
        while time.time() < end:  # noqa: ASYNC110 - there is no event
            await trio.sleep(0.05)
        with pytest.raises(HttpError) as caught:
            await tokens.read(token)

        assert caught.value.status == 401

    async def test_rates(self, settings: JwtSettings, served: Any) -> None:
        """Each user has the rate of tokens, whichever token is shown."""
        http, _ = await served(attrs.evolve(settings, rate="1/h"))
        async with http:
            tokens = [sign(), sign(jti="2"), sign(sub="bob")]
            statuses = [(await http.get("/agents", headers=bearer(each))).status_code for each in tokens]

        assert statuses == [200, 429, 200]


def forge(site: str) -> dict[str, str]:
    """Return forged tokens by the way of forging. `site` is a web server of the attacker."""
    public = RSA.public_key()
    own = {"kid": "r1", "typ": "JWT"}
    mine = jwk(OTHER, "mine")
    return {
        "HS256 over the PEM": sign_raw(
            own | {"alg": "HS256"}, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        ),
        "HS256 over the DER": sign_raw(
            own | {"alg": "HS256"}, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ),
        "HS256 over the JWK": sign_raw(own | {"alg": "HS256"}, json.dumps(KEYS["keys"][0]).encode()),
        "none": jwt.encode(claims(), "", "none", headers={"kid": "r1"}),
        "None, in other letters": sign_raw(own | {"alg": "nOnE"}, b""),
        "its own key in the header": sign(OTHER, header={"jwk": mine}, kid="mine"),
        "its own set by jku": sign(OTHER, header={"jku": f"{site}/jwks.json"}, kid="mine"),
        "its own certificate by x5u": sign(OTHER, header={"x5u": f"{site}/cert.pem"}, kid="r1"),
        "a URL as the id of the key": sign(OTHER, kid=f"{site}/key"),
        "a path as the id of the key": sign_raw({"alg": "HS256", "kid": "../../../../dev/null"}, b""),
        "another key": sign(OTHER),
        "a key for encryption": sign(OTHER, kid="x1"),
        "another audience": sign(aud="others"),
        "no audience": sign(aud=None),
        "another issuer": sign(iss="https://evil.example"),
        "no issuer": sign(iss=None),
        "no end": sign(exp=None),
        "an endless end": sign_raw_rs(exp=1e400),
        "an end long ago": sign(exp=int(time.time()) - 3600),
        "a beginning to come": sign(nbf=int(time.time()) + 3600),
        "no user": sign(sub=None),
        "an empty user": sign(sub=""),
        "an extension that must be understood": sign(header={"crit": ["x"], "x": 1}),
        "a changed claim": change(sign(), sub="bob"),
        "a cut signature": sign()[:-20],
        "no signature": sign().rpartition(".")[0] + ".",
        "an id that is not a text": sign_raw({"alg": "RS256", "kid": 5}, b""),
        "a header that is not JSON": f"eyJ.{sign().partition('.')[2]}",
        "too long": sign(more="x" * 20_000),
    }


def sign_raw_rs(**changed: Any) -> str:
    """Return a token of the right key with `Infinity` in the JSON."""
    return jwt.encode(claims(**changed), RSA, "RS256", headers={"kid": "r1"}, json_encoder=json.JSONEncoder)


def change(token: str, **changed: Any) -> str:
    head, _, tail = token.split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(**changed)).encode()).decode().rstrip("=")
    return f"{head}.{body}.{tail}"


class TestForged:
    async def test_all_refused(self, settings: JwtSettings, served: Any, site: Site) -> None:
        """Forged tokens are a 401, even if a secret is accepted, too: no run, no connection, no word in the log."""
        secret = Path(settings.keys).with_name("secret")
        secret.write_text(SECRET)
        secret.chmod(0o600)
        site.body = json.dumps({"keys": [jwk(OTHER, "mine")]}).encode()
        both = attrs.evolve(settings, secret_file=str(secret), algorithms=("RS256", "ES256", "HS256"))
        forged = forge(site.url)
        with structlog.testing.capture_logs() as logged:
            for accepted in (settings, both):
                http, runs = await served(accepted)
                async with http:
                    answers = {
                        how: await http.post("/agents/a/runs", json=RUN, headers=bearer(token))
                        for how, token in forged.items()
                    }
                    right = await http.post("/agents/a/runs", json=RUN, headers=bearer(sign()))
                assert {how: answer.status_code for how, answer in answers.items()} == dict.fromkeys(forged, 401)
                assert all("www-authenticate" in answer.headers for answer in answers.values())
                assert (right.status_code, len(runs)) == (200, 1)

        assert site.visits == []
        assert len(forged) >= 10
        assert not any(token in str(logged) for token in forged.values())


class TestKeySets:
    async def test_url(self, settings: JwtSettings, site: Site) -> None:
        """Keys of a URL are fetched once; unknown ids fetch the keys again, at most once in half a minute."""
        site.body = json.dumps(KEYS).encode()
        tokens = Tokens(attrs.evolve(settings, keys=f"{site.url}/jwks.json"))
        for _ in range(3):
            assert (await tokens.read(sign(jti=str(_)).encode())).user == "ann"
        assert site.visits == ["/jwks.json"]
        for number in range(5):
            with pytest.raises(HttpError):
                await tokens.read(sign(OTHER, kid=f"unknown{number}").encode())

        assert site.visits == ["/jwks.json"]

    async def test_new_keys(self, settings: JwtSettings, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """A changed key of the issuer is found by the new id; tokens of the withdrawn key are refused."""
        from agno_rt_serve.auth import key_sets

        monkeypatch.setattr(key_sets, "_AGAIN", -1.0)
        site.body = json.dumps(KEYS).encode()
        tokens = Tokens(attrs.evolve(settings, keys=site.url))
        old = sign().encode()
        assert (await tokens.read(old)).user == "ann"
        site.body = json.dumps({"keys": [jwk(OTHER, "r2")]}).encode()

        assert (await tokens.read(sign(OTHER, kid="r2").encode())).user == "ann"
        with pytest.raises(HttpError):
            await tokens.read(old)

    @pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (302, b""), (200, b"no"), (200, b'{"keys": []}')])
    async def test_issuer_out_of_order(self, settings: JwtSettings, site: Site, status: int, body: bytes) -> None:
        """Without any keys tokens cannot be checked: a 503 to send again, and the log says why."""
        site.status, site.body = status, body
        tokens = Tokens(attrs.evolve(settings, keys=site.url))
        with structlog.testing.capture_logs() as logged, pytest.raises(HttpError) as caught:
            await tokens.read(sign().encode())

        assert (caught.value.status, caught.value.code) == (503, "keys_unavailable")
        assert site.url in logged[0]["error"]

    async def test_packed_keys_are_not_unpacked(self, settings: JwtSettings, site: Site) -> None:
        """A small packed answer may have gigabytes: none is asked for, and one that comes is not a JWKS."""
        site.body, site.packing = gzip.compress(json.dumps(KEYS).encode()), "gzip"
        tokens = Tokens(attrs.evolve(settings, keys=site.url))
        with pytest.raises(HttpError, match="cannot check tokens") as caught:
            await tokens.read(sign().encode())

        assert caught.value.code == "keys_unavailable"
        assert site.packings_asked == {"identity"}


class TestRevoked:
    """Tokens whose ids are in the list of revoked tokens."""

    @pytest.fixture
    def listed(self, settings: JwtSettings, tmp_path: Path) -> JwtSettings:
        path = tmp_path / "revoked.txt"
        path.write_text("# the stolen laptop\nt1\n\n  t2  \n")
        return attrs.evolve(settings, revoked_file=str(path))

    async def test_refused(self, listed: JwtSettings) -> None:
        """A listed token is a 401, and so is a token without an id, which could never be revoked; others pass."""
        tokens = Tokens(listed)
        for token in (sign(jti="t1"), sign(jti="t2"), sign()):
            with pytest.raises(HttpError) as caught:
                await tokens.read(token.encode())
            assert (caught.value.status, caught.value.code) == (401, "key_wrong")

        assert (await tokens.read(sign(jti="t3").encode())).user == "ann"
        assert (await Tokens(attrs.evolve(listed, revoked_file="")).read(sign(jti="t1").encode())).user == "ann"

    async def test_revoked_while_known(self, listed: JwtSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        """A token that was accepted, and that a connection goes on with, is refused once its id is in the list."""
        from agno_rt_serve.auth import revoked

        monkeypatch.setattr(revoked, "_LOOK", 0.0)
        tokens, token = Tokens(listed), sign(jti="t3").encode()
        caller = await tokens.read(token)
        await trio.Path(listed.revoked_file).write_text("t1\nt2\nt3\n")

        with pytest.raises(HttpError, match="revoked"):
            await tokens.read(token)
        with pytest.raises(HttpError, match="revoked"):
            tokens.check_revoked(caller)

    async def test_a_list_that_is_lost(self, listed: JwtSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        """A list that cannot be read any more stays in force, and the log says so once; without it nothing starts."""
        from agno_rt_serve.auth import revoked

        monkeypatch.setattr(revoked, "_LOOK", 0.0)
        tokens = Tokens(listed)
        await trio.Path(listed.revoked_file).unlink()
        with structlog.testing.capture_logs() as logged:
            for _ in range(2):
                with pytest.raises(HttpError, match="revoked"):
                    await tokens.read(sign(jti="t1").encode())
            assert (await tokens.read(sign(jti="t3").encode())).user == "ann"

        assert [each["event"] for each in logged] == ["revoked tokens cannot be read"]
        with pytest.raises(ConfigError, match=r"revoked\.txt"):
            Tokens(listed)


class TestSettings:
    @pytest.mark.parametrize(
        "changed",
        [
            {"issuer": ""},
            {"audience": ()},
            {"algorithms": ("none",)},
            {"algorithms": ("HS257",)},
            {"leeway": -1.0},
            {"leeway": 1e9},
            {"scopes": ("agents:a:walk",)},
            {"keys": "http://issuer.example/jwks.json"},
            {"keys": "missing.json"},
        ],
    )
    def test_unsafe_ones(self, settings: JwtSettings, changed: Any) -> None:
        """Settings that let in tokens of others keep the server from starting."""
        with pytest.raises(AgnoError):
            Tokens(attrs.evolve(settings, **changed))

    @pytest.mark.parametrize(("text", "mode"), [("short", 0o600), (SECRET, 0o644)])
    def test_unsafe_secrets(self, tmp_path: Path, text: str, mode: int) -> None:
        """A short secret, and a file open to others, are refused."""
        path = tmp_path / "secret"
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(AgnoError):
            Tokens(JwtSettings(secret_file=str(path), issuer=ISSUER, audience=(AUDIENCE,)))

    def test_missing_set(self, tmp_path: Path) -> None:
        """A file without a set of keys is named."""
        path = tmp_path / "jwks.json"
        path.write_text('{"keys": [{"kty": "RSA"}]}')
        with pytest.raises(ConfigError, match=r"jwks\.json"):
            Tokens(JwtSettings(keys=str(path), issuer=ISSUER, audience=(AUDIENCE,)))
