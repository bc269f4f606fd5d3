"""A server's refusals as errors: statuses, words, waits, and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_rt.wire.refusals import Peer, refusal, reported, retry_after

SECRET = "sk-0123456789abcdef"
PEER = Peer(
    name="openai:m",
    provider="openai",
    model="m",
    url="http://host/v1/chat/completions",
    key_source="the environment variable OPENAI_API_KEY",
    secrets=(SECRET,),
)
NOON = 1_767_268_800.0
"""1 January 2026, 12:00 GMT."""


class TestRefusal:
    """Statuses and error bodies to errors."""

    @pytest.mark.parametrize("retryable", [True, False])
    @pytest.mark.parametrize("at", range(6))
    def test_says_whether_to_retry(self, at: int, retryable: bool) -> None:
        """Errors that the caller must mend are not worth a retry; passing errors are."""
        status = ((400, 401, 403, 404, 422, 307), (408, 409, 429, 500, 503, 529))[retryable][at]
        error = refusal(PEER, status, {}, b'{"error": {"message": "No."}}', NOON)
        assert (error.status, error.retryable) == (status, retryable)
        assert error.message.startswith(f"openai:m answered {status}")
        assert error.message.endswith(": No.")

    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"message": "It broke.", "type": "x"}},
            {"error": "It broke."},
            {"message": "It broke.", "object": "error"},
            {"detail": "It broke."},
            [{"error": {"message": "It broke."}}],
        ],
    )
    def test_finds_the_server_s_words(self, body: Any) -> None:
        """The message is found in the fields of many servers."""
        assert refusal(PEER, 400, {}, json.dumps(body).encode(), NOON).message.endswith("Bad Request: It broke.")

    @pytest.mark.parametrize(
        ("body", "end"),
        [
            (b"", "500 Internal Server Error"),
            (b"plain\r\n\x1b[31mwords", "plain [31mwords"),
            (b"<html><head><title>502 Bad Gateway</title>", "a web page, '502 Bad Gateway'"),
            (b'{"code": 7}', '{"code": 7}'),
            (b'{"error": {"code": 7}}', '{"code":7}'),
            (b"[]", "[]"),
        ],
    )
    def test_takes_any_body(self, body: bytes, end: str) -> None:
        """Any body is shown on one line."""
        assert refusal(PEER, 500, {}, body, NOON).message.endswith(end)

    def test_bounds_the_server_s_words(self) -> None:
        """Only the start of a long message is kept."""
        assert len(refusal(PEER, 500, {}, b"long " * 100_000, NOON).message) < 600

    def test_never_shows_the_key(self) -> None:
        """A server that quotes the key does not reveal the key."""
        body = json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}."}}).encode()
        error = refusal(PEER, 401, {}, body, NOON)
        assert SECRET not in f"{error!r} {error.full_text} {PEER!r}"
        assert "Incorrect API key provided: ***." in error.message

    @pytest.mark.parametrize(
        ("status", "hint"),
        [(401, "OPENAI_API_KEY"), (404, "'m', and base_url"), (301, "'https://host/v2'")],
    )
    def test_hints_at_the_remedy(self, status: int, hint: str) -> None:
        """The hint has the key's source, the model, the address."""
        assert hint in refusal(PEER, status, {"location": "https://host/v2"}, b"", NOON).hint

    @pytest.mark.parametrize("kind", ["insufficient_quota", "billing_not_active", "exceeded_current_quota_error"])
    def test_no_credit_is_not_worth_waiting_for(self, kind: str) -> None:
        """A 429 for lack of credit is not worth a retry, unlike a rate limit; OpenAI and Moonshot have words for it."""
        told = {"message": "You exceeded your quota.", "type": kind}
        assert not refusal(PEER, 429, {}, json.dumps({"error": told}).encode(), NOON).retryable
        assert not reported(PEER, {"error": told}).retryable

    @pytest.mark.parametrize("kind", ["tool_use_failed", "json_validate_failed"])
    def test_a_refused_answer_is_worth_another(self, kind: str) -> None:
        """Groq refuses an answer of its own model with 400, also within a stream (pydantic/pydantic-ai#2774)."""
        told = {"message": "Failed to call a function.", "type": "invalid_request_error", "code": kind}
        assert refusal(PEER, 400, {}, json.dumps({"error": told}).encode(), NOON).retryable
        assert reported(PEER, {"error": {**told, "status_code": 400}}).retryable

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "20"}, 20.0),
            ({"retry-after": " 1.5 "}, 1.5),
            ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
            ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
            ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
            ({"retry-after": "Thu Jan  1 12:00:30 2026"}, 30.0),
            ({"retry-after": "Thu, 01 Jan 2026 12:00:30"}, 30.0),
            ({"retry-after": "Thu, 01 Jan 2026 13:00:30 +0100"}, 30.0),
            ({"retry-after": "Thursday, 01-Jan-26 12:00:30 GMT"}, 30.0),
            ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400.0),
            ({"retry-after": "99999999999999"}, 86_400.0),
            ({"retry-after-ms": "1e30"}, 86_400.0),
            ({"retry-after": "Thu, 99 Foo 2026 12:00:30 GMT"}, None),
            ({"retry-after": ""}, None),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "-3"}, None),
            ({"retry-after": "1e999"}, None),
            ({"retry-after": "nan"}, None),
        ],
    )
    def test_reads_retry_after(self, headers: dict[str, str], seconds: float | None) -> None:
        """Seconds, a date, or an unusable value."""
        assert retry_after(headers, NOON) == seconds
        assert refusal(PEER, 429, headers, b"", NOON).retry_after == seconds

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360.0),
            ({"x-ratelimit-reset-tokens": "120ms", "x-ratelimit-remaining-tokens": "0"}, 0.12),
            ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
            ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "2s"}, 2.0),
            (
                {
                    "x-ratelimit-reset-requests": "9s",
                    "x-ratelimit-remaining-requests": "5",
                    "x-ratelimit-reset-tokens": "2s",
                },
                2.0,
            ),
            ({"ratelimit-reset": "7"}, 7.0),
            ({"x-ratelimit-reset": "1767268807"}, 7.0),
            ({"x-ratelimit-reset": "1767268807000"}, 7.0),
            ({"x-ratelimit-reset": "2026-01-01T12:00:07Z"}, 7.0),
            ({"x-ratelimit-reset": "1767268000"}, 0.0),
            ({"x-ratelimit-reset": "999999d"}, 86_400.0),
            ({"x-ratelimit-reset": "soon"}, None),
            ({"x-ratelimit-reset": ""}, None),
            ({"x-ratelimit-reset": "7", "retry-after": "3"}, 3.0),
        ],
    )
    def test_reads_when_a_rate_limit_is_refilled(self, headers: dict[str, str], seconds: float | None) -> None:
        """Without Retry-After, the used-up limit gives the wait, and only for status 429."""
        assert refusal(PEER, 429, headers, b"", NOON).retry_after == seconds
        assert refusal(PEER, 400, headers, b"", NOON).retry_after == retry_after(headers, NOON)
