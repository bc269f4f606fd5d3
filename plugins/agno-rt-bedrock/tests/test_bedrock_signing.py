"""Signatures beside those of botocore, AWS's own library, for any request that the plugin can make.

Reference: AWS's guide "Signature Version 4 for API requests".
"""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from agno_rt_bedrock.profile import Server
from agno_rt_bedrock.signing import Credentials, sign
from agno_rt_bedrock.wire import model_path
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.text("abcXYZ019/+=", min_size=1, max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "accept", "x-team", "x-amzn-bedrock-trace", "a"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
    | st.sampled_from(["two  words", "a \t b", "application/json"]),
    max_size=4,
)
URLS = st.builds(
    lambda base, model, stream: Server(base_url=base).url(model_path(model, stream=stream)),
    st.sampled_from(
        [
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            "https://Bedrock.Example.com:443/aws",
            "http://127.0.0.1:8080/a%20b/~c?b=2&a=1&a=0&c",
            "http://[::1]:81/",
        ]
    ),
    st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.:/-]{0,60}", fullmatch=True),
    st.booleans(),
)


@given(
    url=URLS,
    body=st.binary(max_size=200),
    headers=HEADERS,
    credentials=st.builds(Credentials, KEYS, KEYS, st.just("") | KEYS),
    scope=st.tuples(st.sampled_from(["us-east-1", "eu-central-1"]), st.just("bedrock")),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
)
def test_signs_as_botocore(
    url: str, body: bytes, headers: dict[str, str], credentials: Credentials, scope: tuple[str, str], now: datetime
) -> None:
    """All headers that are added are the same as botocore's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: now)
        request = botocore.awsrequest.AWSRequest("POST", url, headers, body)
        known = botocore.credentials.Credentials(
            credentials.access_key, credentials.secret_key, credentials.session_token or None
        )
        botocore.auth.SigV4Auth(known, scope[1], scope[0]).add_auth(request)
    added = sign(url, body, headers, credentials, scope, now.replace(tzinfo=UTC))
    expected = {name.lower(): value for name, value in request.headers.items() if name.lower() not in headers}
    assert added == {name: value for name, value in expected.items() if name != "x-amz-content-sha256"}


def test_a_known_signature() -> None:
    """The signature of one request, computed once by botocore 1.44.8, so that both do not change together."""
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse"
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    added = sign(url, b"{}", {"content-type": "application/json"}, credentials, ("us-east-1", "bedrock"), now)
    known = "4032c341dadbb539fe649f87d0ce0f208e67115e4d4e1887577f5914711c0f41"
    assert added["authorization"].endswith(f"Signature={known}")
    assert set(added) == {"x-amz-date", "authorization"}


def test_credentials_are_not_shown() -> None:
    """No part of the credentials is in their `repr`, except for their source."""
    shown = repr(Credentials("AKIDEXAMPLE", "secret-key-0123", "token-0123", "the settings"))
    assert shown == "Credentials(source='the settings')"
