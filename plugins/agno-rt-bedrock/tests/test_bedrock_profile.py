"""Regions, keys, AWS's files, settings and facts of the plugin.

Reference: AWS's guide "AWS SDKs and Tools Reference", sections "Shared config and credentials files" and "Static
credentials".
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agno_rt_bedrock import BedrockModel, Server
from agno_rt_bedrock.profile import choose
from agno_rt_bedrock.signing import Credentials
from agno_rt_bedrock.suggest import suggest

from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.server import Key
from agno_rt.keys.key_file import KeyFile
from agno_rt.models import Price

KEY = "bedrock-api-key-0123456789"
ACCESS, SECRET, TOKEN = "AKIDEXAMPLE123456", "wJalrXUtnFEMI/K7MDENG", "token-0123456789"
ARN = "arn:aws:bedrock:ap-south-1:123456789012:application-inference-profile/abc"


def write_files(folder: Path, *, config: str = "", credentials: str = "") -> None:
    """Write AWS's two files."""
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)


def find(server: Server) -> tuple[str, str, str]:
    """Return the access key, the secret key and the token that the server finds."""
    access = server.find_access()
    assert isinstance(access, Credentials)
    return access.access_key, access.secret_key, access.session_token


class TestKeys:
    """API keys and credentials."""

    def test_the_order_of_sources(self, monkeypatch: pytest.MonkeyPatch, aws_home: Path) -> None:
        """Each source wins over those behind it, and is read anew each time."""
        write_files(
            aws_home,
            credentials=(
                f"[default]\naws_access_key_id = {ACCESS}-d\naws_secret_access_key = {SECRET}\n"
                f"[work]\naws_access_key_id={ACCESS}-w\naws_secret_access_key={SECRET}\naws_session_token={TOKEN}\n"
            ),
        )
        assert find(Server()) == (f"{ACCESS}-d", SECRET, "")
        monkeypatch.setenv("AWS_PROFILE", "work")
        assert find(Server()) == (f"{ACCESS}-w", SECRET, TOKEN)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        assert find(Server()) == (ACCESS, SECRET, "")
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        assert find(Server()) == (ACCESS, SECRET, TOKEN)
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
        access = Server().find_access()
        assert isinstance(access, Key)
        assert (access.text, access.source) == (KEY, "the environment variable AWS_BEARER_TOKEN_BEDROCK")
        assert find(Server(profile="work")) == (f"{ACCESS}-w", SECRET, TOKEN)
        own = Server(profile="work", api_key="another-key").find_access()
        assert isinstance(own, Key)
        assert own.text == "another-key"

    def test_files_are_read_again_after_a_change(self, aws_home: Path) -> None:
        """Renewed credentials count at once; the file of credentials wins over the file of settings."""
        section = f"aws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n"
        write_files(aws_home, config=f"[profile work]\nregion = eu-west-1\ns3 =\n  a = b\n{section}")
        assert find(Server(profile="work")) == (ACCESS, SECRET, "")
        write_files(aws_home, config="", credentials=f"[work]\n{section}aws_session_token = {TOKEN}\n")
        assert find(Server(profile="work")) == (ACCESS, SECRET, TOKEN)
        write_files(aws_home, config="", credentials=f"[work]\n{section}aws_session_token = {TOKEN}-2\n")
        assert find(Server(profile="work")) == (ACCESS, SECRET, f"{TOKEN}-2")

    def test_files_elsewhere(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The variables with the places of the files count."""
        write_files(
            tmp_path,
            config="[default]\nregion = sa-east-1\n",
            credentials=f"[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n",
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        assert find(Server())[0] == ACCESS
        assert BedrockModel("amazon.nova-lite-v1:0").region == "sa-east-1"

    def test_a_kept_key(self) -> None:
        """A key that `agno-rt keys set` kept is found by its name."""
        KeyFile().set("AWS_BEARER_TOKEN_BEDROCK", KEY)
        access = Server().find_access()
        assert isinstance(access, Key)
        assert access.text == KEY

    @pytest.mark.parametrize(
        ("environment", "words", "remedy"),
        [
            ({}, "neither is set", "AWS_BEARER_TOKEN_BEDROCK"),
            ({"AWS_ACCESS_KEY_ID": ACCESS}, "AWS_SECRET_ACCESS_KEY is missing", "Set AWS_SECRET_ACCESS_KEY"),
            ({"AWS_SECRET_ACCESS_KEY": SECRET}, "AWS_ACCESS_KEY_ID is missing", "Set AWS_ACCESS_KEY_ID"),
            ({"AWS_PROFILE": "nobody"}, "'nobody' has no credentials", "[profile nobody]"),
            ({"AWS_PROFILE": "sso"}, "by sso_session", "export-credentials --profile sso"),
            ({"AWS_PROFILE": "role"}, "by role_arn", "export-credentials --profile role"),
            ({"AWS_ACCESS_KEY_ID": "a b", "AWS_SECRET_ACCESS_KEY": "c"}, "unusable characters", "Copy them again"),
            ({"AWS_BEARER_TOKEN_BEDROCK": "a\nb"}, "not allowed in a key", "Copy it again"),
        ],
    )
    def test_missing_credentials(
        self,
        monkeypatch: pytest.MonkeyPatch,
        aws_home: Path,
        environment: dict[str, str],
        words: str,
        remedy: str,
    ) -> None:
        """Whatever is missing is named with its remedy, before anything is sent."""
        write_files(
            aws_home, config="[profile sso]\nsso_session = a\n[profile role]\nrole_arn = arn:aws:iam::1:role/r\n"
        )
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match=words) as caught:
            BedrockModel("amazon.nova-lite-v1:0", region="us-east-1").check_ready()
        assert remedy in caught.value.hint

    @pytest.mark.parametrize("data", [b"aws_secret_access_key = wJalrXUtnFEMI\n", b"\xff\xfe", b"[open\n"])
    def test_unreadable_files(self, aws_home: Path, data: bytes) -> None:
        """A file that cannot be read is named, and its lines are not quoted."""
        (aws_home / "credentials").write_bytes(data)
        with pytest.raises(ConfigError, match="credentials cannot be read") as caught:
            Server(region="us-east-1").find_access()
        assert "wJalrXUtnFEMI" not in f"{caught.value} {caught.value.__cause__}"

    def test_never_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No repr holds a key."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        signed = BedrockModel("amazon.nova-lite-v1:0", region="us-east-1")
        keyed = BedrockModel("amazon.nova-lite-v1:0", region="us-east-1", api_key=KEY)
        shown = "".join(f"{model!r} {model.server!r} {model.server.find_access()!r}" for model in (signed, keyed))
        assert not any(secret in shown for secret in (ACCESS, SECRET, KEY))


class TestRegions:
    """Regions and addresses."""

    def test_the_order_of_sources(self, monkeypatch: pytest.MonkeyPatch, aws_home: Path) -> None:
        """Each source wins over those behind it."""
        write_files(aws_home, config="[default]\nregion = eu-north-1\n[profile work]\nregion = eu-west-3\n")
        assert BedrockModel("amazon.nova-lite-v1:0").region == "eu-north-1"
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
        assert BedrockModel("amazon.nova-lite-v1:0").region == "us-east-2"
        monkeypatch.setenv("AWS_REGION", "us-west-2")
        assert BedrockModel("amazon.nova-lite-v1:0").region == "us-west-2"
        assert BedrockModel("amazon.nova-lite-v1:0", Server(profile="work")).region == "eu-west-3"
        assert BedrockModel(ARN).region == "ap-south-1"
        assert BedrockModel(ARN, region="ca-central-1").region == "ca-central-1"

    @pytest.mark.parametrize(
        ("region", "base_url", "address"),
        [
            ("eu-central-1", None, "https://bedrock-runtime.eu-central-1.amazonaws.com"),
            ("cn-north-1", None, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
            ("us-east-1", "https://x.{region}.vpce.amazonaws.com", "https://x.us-east-1.vpce.amazonaws.com"),
            ("us-east-1", "http://127.0.0.1:8080/aws", "http://127.0.0.1:8080/aws"),
        ],
    )
    def test_addresses(self, region: str, base_url: str | None, address: str) -> None:
        """The address has the region's place filled; the provider is Bedrock on hosts of AWS."""
        model = BedrockModel("amazon.nova-lite-v1:0", region=region, base_url=base_url)
        assert model.server.base_url == address
        assert model.provider == ("bedrock" if "amazonaws" in address else "127.0.0.1:8080")

    def test_no_region(self) -> None:
        """Without a region no request goes out; an address of its own and an API key can do without."""
        with pytest.raises(ConfigError, match="needs an AWS region") as caught:
            BedrockModel("amazon.nova-lite-v1:0", api_key=KEY).check_ready()
        assert "AWS_REGION" in caught.value.hint
        BedrockModel("amazon.nova-lite-v1:0", api_key=KEY, base_url="http://127.0.0.1:8080").check_ready()

    def test_a_signature_needs_a_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Credentials sign for a region, whatever the address."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with pytest.raises(ConfigError, match="needs an AWS region"):
            BedrockModel("amazon.nova-lite-v1:0", base_url="http://127.0.0.1:8080").check_ready()

    def test_an_unusable_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A region with the letters of another host is refused."""
        monkeypatch.setenv("AWS_REGION", "x.example.com/")
        with pytest.raises(ConfigError, match="the AWS region is"):
            BedrockModel("amazon.nova-lite-v1:0")


class TestSettings:
    """The table `[plugins.bedrock]`."""

    def test_models_and_servers(self) -> None:
        """A name from the settings is a server; other colons belong to the model."""
        tables = {"region": "us-east-1", "servers": {"europe": {"region": "eu-central-1", "cache": "1h"}}}
        model, name, server = choose("amazon.nova-lite-v1:0", tables)
        assert (model, name, server.region) == ("amazon.nova-lite-v1:0", "", "us-east-1")
        model, name, server = choose("europe:amazon.nova-lite-v1:0", tables)
        assert (model, name, server.region, server.cache) == ("amazon.nova-lite-v1:0", "europe", "eu-central-1", "1h")
        assert BedrockModel(model, server, server_name=name).name == "bedrock:europe:amazon.nova-lite-v1:0"
        assert choose(ARN, tables)[0] == ARN

    def test_tables_of_models(self) -> None:
        """A table for a model wins over the server's settings and the known facts; ARNs are names, too."""
        price = Price(1.0, 2.0)
        tables = {
            "effort": "low",
            "models": {
                "us.amazon.nova-*": {"effort": "high"},
                ARN: {"caches": True, "price": {"input": 1, "output": 2}},
            },
        }
        _, _, server = choose("m", tables)
        efforts = [server.facts(f"{place}amazon.nova-pro-v1:0").effort for place in ("us.", "eu.", "")]
        assert efforts == ["high", "low", "low"]
        assert (server.facts(ARN).caches, server.facts(ARN).price) == (True, price)
        assert server.facts("amazon.nova-pro-v1:0").price is None

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"region": "US East"}, "region is 'US East'"),
            ({"profile": ""}, "profile is empty"),
            ({"cache": "2h"}, "cache"),
            ({"thinking": "much"}, "thinking"),
            ({"nonsense": 1}, "nonsense"),
            ({"servers": {"": {"region": "a"}}}, "may not be empty"),
            ({"models": {"m": 7}}, "'m' is not a table"),
        ],
    )
    def test_unusable_settings(self, settings: dict[str, Any], words: str) -> None:
        """An unusable value is named, with its place and a remedy."""
        with pytest.raises(UsageError, match=words):
            choose("m", settings)

    def test_no_model(self) -> None:
        """A spec without a model names the form of a spec, and one that is not an id is refused."""
        with pytest.raises(UsageError, match="names no model"):
            choose("", {})
        with pytest.raises(UsageError, match="is not the id"):
            BedrockModel("my model")


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Write bedrock:us.anthropic.claude-sonnet-4-5-20250929-v1:0."),
        ("amazon.nova-lite-v1:0", "Write bedrock:amazon.nova-lite-v1:0."),
        (ARN, f"Write bedrock:{ARN}."),
        ("gpt-5", ""),
        ("anthropic:claude-opus-5-5", ""),
    ],
)
def test_suggestions(spec: str, hint: str) -> None:
    """An id of Bedrock without the plugin gets the right spec; other specs belong to other plugins."""
    assert suggest(spec) == hint


def test_the_plugin_imports_nothing_slow() -> None:
    """Neither the plugin nor a model imports the HTTP library."""
    program = (
        "import sys, agno_rt_bedrock\n"
        "agno_rt_bedrock.agno_rt_register_models(lambda *args, **named: None)\n"
        "assert 'agno_rt_bedrock.client' not in sys.modules\n"
        "agno_rt_bedrock.BedrockModel('m')\n"
        "assert 'httpx2' not in sys.modules, 'httpx2'\n"
        "assert 'botocore' not in sys.modules, 'botocore'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
