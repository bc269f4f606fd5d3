"""The files of examples/deploy agree with each other and with the page, and the tools that are here accept them."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import RawConfigParser
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.free_ports import find_free_port
from tests.helpers import wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "deploy"
PAGE = (ROOT / "docs" / "howto" / "deploy.md").read_text()
PATIENCE = 60.0
TABLE = tomllib.loads((FOLDER / "agno-rt.toml").read_text())["plugins"]["serve"]


def read(name: str) -> str:
    return (FOLDER / name).read_text()


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, with continued lines in one."""
    text = re.sub(r"^\s*#.*\n", "", read("Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for line in text.splitlines() if line for word, _, rest in (line.partition(" "),)]


def documents() -> dict[str, Any]:
    """Return Kubernetes' objects by their kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(read("kubernetes.yaml"))}


class TestPage:
    @pytest.mark.parametrize("name", ["agents.service", "Dockerfile", "nginx.conf", "Caddyfile"])
    def test_has_the_files(self, name: str) -> None:
        """The page shows the files as they are."""
        assert read(name).expandtabs(4).strip() in PAGE


class TestDockerfile:
    def test_is_small_and_without_rights(self) -> None:
        """The image has two stages, a user without rights, and a server that gets SIGTERM itself."""
        found = instructions()
        words = [word for word, _ in found]
        last = found[len(words) - 1 - words[::-1].index("FROM") :]

        assert words.count("FROM") == 2
        assert [rest for word, rest in last if word == "USER"] == ["10001"]
        assert not any(word == "COPY" and "wheels" in rest for word, rest in last)
        command, first = json.loads(dict(last)["CMD"]), json.loads(dict(last)["ENTRYPOINT"])
        assert (first, command[:2]) == (["tini", "--"], ["agno-rt", "serve"])
        assert dict(last)["EXPOSE"] == str(TABLE["port"])

    def test_copies_what_is_let_in(self) -> None:
        """The context has what is copied, and no more: no key and no database gets into an image."""
        allowed = {line[1:] for line in read(".dockerignore").split() if line.startswith("!")}
        copied = {
            source
            for word, rest in instructions()
            if word == "COPY" and "--from" not in rest
            for source in shlex.split(rest)[:-1]
        }

        assert read(".dockerignore").split()[0] == "*"
        assert copied == allowed


class TestCompose:
    def test_agrees(self) -> None:
        """Compose publishes the port on this machine alone, waits for the database, and gives time to end."""
        agents = yaml.safe_load(read("compose.yaml"))["services"]["agents"]

        assert agents["ports"] == [f"127.0.0.1:{TABLE['port']}:{TABLE['port']}"]
        assert agents["depends_on"]["database"]["condition"] == "service_healthy"
        assert int(agents["stop_grace_period"].removesuffix("s")) > TABLE["grace"]
        assert "AGNO_RT_SERVE_KEY" in agents["environment"]
        assert agents["command"][-2:] == ["--memory", "postgresql://agents@database/agents"]
        assert agents["cap_drop"] == ["ALL"]


class TestKubernetes:
    def test_drains(self) -> None:
        """A pod serves until the service has forgotten it, and has its grace after that."""
        pod = documents()["Deployment"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        arguments = container["args"]
        grace = float(arguments[arguments.index("--grace") + 1])
        delay = float(container["lifecycle"]["preStop"]["exec"]["command"][1])

        assert pod["terminationGracePeriodSeconds"] > delay + grace
        assert arguments[arguments.index("--memory") + 1].startswith("postgresql://")
        paths = {each: container[f"{each}Probe"]["httpGet"]["path"] for each in ("startup", "liveness", "readiness")}
        assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/health/ready"}

    def test_has_no_rights(self) -> None:
        """The pod runs as the image's user, with nothing to gain and nothing to write but its volumes."""
        pod = documents()["Deployment"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        user = next(rest for word, rest in instructions() if word == "USER")

        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == int(user)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_objects_agree(self) -> None:
        """The service and the budget find the pods, and the ingress the service."""
        found = documents()
        labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
        (rule,) = found["Ingress"]["spec"]["rules"]

        assert found["Service"]["spec"]["selector"] == labels
        assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
        assert rule["host"] in TABLE["allowed_hosts"]
        assert rule["http"]["paths"][0]["backend"]["service"]["name"] == found["Service"]["metadata"]["name"]


class TestUnit:
    def test_times(self) -> None:
        """systemd waits longer than the server's grace."""
        unit = RawConfigParser(strict=False)
        unit.read_string(read("agents.service"))

        assert float(unit["Service"]["TimeoutStopSec"]) > TABLE["grace"]
        assert unit["Service"]["NoNewPrivileges"] == "true"

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
    def test_is_valid(self, tmp_path: Path) -> None:
        """systemd finds no fault in the unit."""
        here = read("agents.service").replace("/srv/agents/.venv/bin/agno-rt", "/bin/true")
        (tmp_path / "agents.service").write_text(here)
        done = subprocess.run(
            ["systemd-analyze", "verify", str(tmp_path / "agents.service")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Serve a copy of the folder. Yield the URL, a key, and the copy."""
    folder = tmp_path_factory.mktemp("deploy")
    for name in ("agno-rt.toml", "agents.py"):
        shutil.copy(FOLDER / name, folder)
    (folder / "data").mkdir()
    command = [sys.executable, "-m", "agno_rt.cli", "serve"]
    environ = {name: value for name, value in os.environ.items() if name != "AGNO_RT_SERVE_KEY"}
    options: dict[str, Any] = {"cwd": folder, "text": True, "env": environ}
    key = subprocess.run(
        [*command, "keys", "add", "ann"], stdout=subprocess.PIPE, timeout=PATIENCE, check=True, **options
    ).stdout.strip()
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, **options) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert found is not None
        try:
            yield found[0], key, folder
        finally:
            process.terminate()


def wait_for_deeds(folder: Path, expected: set[Any], *fields: str) -> None:
    """Wait until the audit log has the deeds with these fields: a deed may be written after its answer."""
    read = itemgetter(*fields)

    def are_written() -> bool:
        lines = [json.loads(line) for line in (folder / "data" / "audit.jsonl").read_text().split("\n")[:-1]]
        return expected <= {read(line) for line in lines if line.keys() >= set(fields)}

    wait_until(are_written, PATIENCE)


class TestProject:
    def test_is_served(self, served: tuple[str, str, Path]) -> None:
        """The project starts as it is; a key of the command opens it, and the audit log tells of it."""
        url, key, folder = served
        headers = {"Authorization": f"Bearer {key}"}
        with httpx2.Client(base_url=url, timeout=PATIENCE) as http:
            refused = http.get("/agents")
            probes = [http.get(path).status_code for path in ("/health", "/health/ready")]
            ran = http.post("/agents/assistant/runs", json={"input": "Hello"}, headers=headers)
        wait_for_deeds(folder, {"key_added", "refused", "run_ended"}, "event")

        assert (refused.status_code, ran.status_code, probes) == (401, 200, [200, 200])


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx: apt-get install nginx-light")
class TestNginx:
    @pytest.fixture
    def proxied(self, served: tuple[str, str, Path], tmp_path: Path) -> Iterator[httpx2.Client]:
        """Start nginx with the file, in front of the server. Yield a client, at an address of its own."""
        url, _, _ = served
        certificate(tmp_path)
        port = find_free_port()
        text = read("nginx.conf")
        for old, new in {
            "/etc/ssl/": f"{tmp_path}/",
            "listen 443": f"listen 127.0.0.1:{port}",
            "127.0.0.1:7777": url.removeprefix("http://"),
        }.items():
            assert old in text
            text = text.replace(old, new)
        temporary = " ".join(
            f"{each}_temp_path {tmp_path}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        head = f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}"
        (tmp_path / "nginx.conf").write_text(f"{head} http {{ access_log off; {temporary} {text} }}")
        with subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.PIPE, text=True) as run:
            try:
                trusted = ssl.create_default_context(cafile=str(tmp_path / "agents.pem"))
                base = f"https://agents.example.com:{port}"
                transport = httpx2.HTTPTransport(verify=trusted, retries=20, local_address="127.0.0.5")
                with httpx2.Client(transport=transport, timeout=PATIENCE, base_url=f"https://127.0.0.1:{port}") as http:
                    http.headers["Host"] = base.removeprefix("https://").partition(":")[0]
                    yield http
            finally:
                run.terminate()

    def test_passes_on(self, served: tuple[str, str, Path], proxied: httpx2.Client) -> None:
        """A run, its events and a refusal come through nginx, and the server knows the client's own address."""
        http, (_, key, folder) = proxied, served
        headers = {"Authorization": f"Bearer {key}", "Origin": "https://agents.example.com"}
        ran = http.post("/agents/assistant/runs", json={"input": "Hello"}, headers=headers)
        streamed = http.post(
            "/agents/assistant/runs", json={"input": "Hello"}, headers=headers | {"Accept": "text/event-stream"}
        )
        place = "agents.example.com:8443"
        elsewhere = http.get("/agents", headers=headers | {"Host": place, "Origin": f"https://{place}"})
        refused = http.get("/agents", headers=headers | {"Origin": "https://evil.example"})

        assert (ran.status_code, streamed.status_code, refused.status_code) == (200, 200, 403)
        assert elsewhere.status_code == 200, "the page's own origin, on a port of its own"
        assert "event: run_ended" in streamed.text
        assert ran.headers["strict-transport-security"] == "max-age=31536000"
        wait_for_deeds(folder, {("cross_site", "127.0.0.5")}, "code", "address")


def certificate(folder: Path) -> None:
    """Write a certificate for this machine, signed by itself, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "agents.example.com")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("agents.example.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "agents.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "agents.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
