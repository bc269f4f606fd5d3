"""Finds AWS credentials and the region: in the environment, and in the files that AWS's tools share.

Reference: AWS's guide "AWS SDKs and Tools Reference", sections "Shared config and credentials files", "Static
credentials" and "AWS Region". Credentials are read for each request, so that renewed ones count at once.
"""

from __future__ import annotations

import configparser
import functools
import os
from collections.abc import Mapping
from pathlib import Path

from agno_rt.errors import ConfigError
from agno_rt_bedrock.signing import Credentials

__all__ = ["BEARER_ENV", "find_credentials", "find_region"]

BEARER_ENV = "AWS_BEARER_TOKEN_BEDROCK"
"""The variable with an API key of Bedrock, or the name of a kept key."""

_DEFAULT = "default"
_ELSEWHERE = ("sso_session", "sso_start_url", "role_arn", "credential_process", "web_identity_token_file")
"""Keys of profiles whose credentials another program has to fetch."""


def find_credentials(profile: str | None) -> Credentials:
    """Return the credentials of the profile; without a profile those of the environment, else of the usual profile.

    Raises `ConfigError` for missing, partial or unusable credentials, and for an unreadable file.
    """
    if profile is None:
        credentials = _read_environment()
        if credentials is not None:
            return credentials
    name = profile or os.environ.get("AWS_PROFILE", "").strip() or _DEFAULT
    table = _read_profile(name)
    access_key, secret_key = table.get("aws_access_key_id", ""), table.get("aws_secret_access_key", "")
    if access_key and secret_key:
        source = f"the profile {name!r} of the AWS files"
        return _check(Credentials(access_key, secret_key, table.get("aws_session_token", ""), source))
    raise _explain_absence(name, table, given=profile is not None)


def find_region(profile: str | None) -> str:
    """Return the region of the environment, else of the profile; empty if neither has a region.

    Raises `ConfigError` for an unreadable file.
    """
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION") if profile is None else ():
        if region := os.environ.get(variable, "").strip():
            return region
    return _read_profile(profile or os.environ.get("AWS_PROFILE", "").strip() or _DEFAULT).get("region", "")


def _read_environment() -> Credentials | None:
    access_key, secret_key, token = (
        os.environ.get(name, "").strip() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    )
    if not access_key and not secret_key:
        return None
    if not (access_key and secret_key):
        missing = "AWS_SECRET_ACCESS_KEY" if access_key else "AWS_ACCESS_KEY_ID"
        raise ConfigError(f"half of the AWS credentials is set: {missing} is missing", hint=f"Set {missing}, too.")
    return _check(Credentials(access_key, secret_key, token, "the environment variable AWS_ACCESS_KEY_ID"))


def _check(credentials: Credentials) -> Credentials:
    """Return the credentials. Raises `ConfigError` for characters outside headers: a header would be quoted whole."""
    for text in credentials.secrets:
        if not (text.isascii() and (text.isprintable() or not text)) or " " in text:
            hint = "Copy them again, without quotes and spaces."
            raise ConfigError(f"AWS credentials from {credentials.source} have unusable characters", hint=hint)
    return credentials


def _explain_absence(name: str, table: Mapping[str, str], *, given: bool) -> ConfigError:
    other = next((key for key in _ELSEWHERE if key in table), "")
    if other:
        hint = f'Run: eval "$(aws configure export-credentials --profile {name} --format env)", or set {BEARER_ENV}.'
        return ConfigError(
            f"the AWS profile {name!r} has its credentials by {other}, which is not read here", hint=hint
        )
    if given or (name != _DEFAULT and not table):
        hint = f"Look for [{name}] in ~/.aws/credentials and for [profile {name}] in ~/.aws/config."
        return ConfigError(f"the AWS profile {name!r} has no credentials", hint=hint)
    hint = f"Set {BEARER_ENV}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure."
    return ConfigError("Bedrock needs an API key or AWS credentials, and neither is set", hint=hint)


def _read_profile(name: str) -> dict[str, str]:
    """Return the profile's keys from both files; the file of credentials wins."""
    config = _read_file("AWS_CONFIG_FILE", "config")
    # In the file of settings, all profiles but the usual one have a prefix.
    table = config.get(f"profile {name}") or (config.get(name) if name == _DEFAULT else None) or {}
    return {**table, **_read_file("AWS_SHARED_CREDENTIALS_FILE", "credentials").get(name, {})}


def _read_file(variable: str, name: str) -> Mapping[str, Mapping[str, str]]:
    given = os.environ.get(variable, "").strip()
    path = Path(given).expanduser() if given else Path("~/.aws", name).expanduser()
    try:
        stat = path.stat()
        return _parse_file(path, stat.st_mtime_ns, stat.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as exc:
        # From None: a parser's error quotes the lines, which hold secrets.
        reason = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
        raise ConfigError(f"the AWS file {path} cannot be read: {reason}", hint="Mend it, or move it away.") from None


@functools.lru_cache(maxsize=8)
def _parse_file(path: Path, changed: int, size: int) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of a file; a file that has changed since is parsed again."""
    parser = configparser.RawConfigParser(strict=False, default_section="", allow_no_value=True)
    parser.read_string(path.read_text("utf-8"))
    return {
        section.strip(): {key: value.strip() for key, value in parser.items(section) if value is not None}
        for section in parser.sections()
    }
