"""The tools of Google Sheets and Gmail against servers on loopback that speak the documented formats.

References: "Google Sheets API" version 4, `spreadsheets.values` (get, update, append: `valueInputOption`, `updates`);
"Gmail API" version 1, `users.messages` (list: `q`, `nextPageToken`; get: `payload.parts`, base64url; modify:
`removeLabelIds`), `users.drafts` (create: `message.raw`; send); Google's "Using OAuth 2.0 for server to server
applications" (claims, `sub`), RFC 6749, section 6.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import pytest
from agno_rt_services.google import GoogleAccess, GoogleSettings
from agno_rt_services.service import Definition, Service
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agno_rt.errors import ConfigError
from agno_rt.testing import WireReply, WireServer, open_wire_server
from tests.servers.service_formats import KEY, call_tool, render

RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
SECRET = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
UPDATE = {
    "spreadsheetId": "s-1",
    "updatedRange": "Sheet1!A1:B2",
    "updatedRows": 2,
    "updatedColumns": 2,
    "updatedCells": 4,
}
UPDATED = {"updated_range": "Sheet1!A1:B2", "updated_rows": 2, "updated_cells": 4, "updated_columns": 2}

Write = Callable[..., str]


@pytest.fixture
def write_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes a file of credentials for a token server, and returns its path."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    for name in ("GMAIL_ACCESS_TOKEN", "GOOGLE_SHEETS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)

    def write(token_url: str, **changes: Any) -> str:
        value = {
            "type": "service_account",
            "private_key_id": "kid-1",
            "private_key": SECRET,
            "client_email": "robot@p-1.iam.gserviceaccount.com",
            "token_uri": token_url,
            **changes,
        }
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps(value))
        return str(path)

    return write


def grant(token: str) -> WireReply:
    """Return the reply with a token."""
    return render({"access_token": token, "expires_in": 3_599, "token_type": "Bearer"})


async def sheets(server: WireServer, tool: str, arguments: dict[str, Any], **table: Any) -> Any:
    """Call a tool of Google Sheets at the test's server."""
    table = {"base_url": f"{server.url}/v4/spreadsheets", **({"api_key": KEY} | table)}
    return await call_tool("googlesheets", tool, arguments, **table)


async def gmail(server: WireServer, tool: str, arguments: dict[str, Any]) -> Any:
    """Call a tool of Gmail at the test's server."""
    return await call_tool("gmail", tool, arguments, base_url=server.url, api_key=KEY)


async def test_a_service_account_reads_a_range(write_file: Write) -> None:
    """The signed request for a token has the documented claims, and the token goes along with the call."""
    found = {"range": "Sheet1!A1:B2", "majorDimension": "ROWS", "values": [["Name", "Age"], ["Ann", "37"]]}
    async with open_wire_server(grant("ya29.one")) as tokens, open_wire_server(render(found)) as server:
        path = write_file(f"{tokens.url}/token")
        arguments = {"spreadsheet_id": "s-1", "range": "Sheet1!A1:B2"}
        told = await sheets(
            server, "read_range", arguments, api_key=None, credentials_file=path, subject="ann@x.example"
        )
        [asked], [request] = tokens.requests, server.requests
    assert told == {"range": "Sheet1!A1:B2", "values": [["Name", "Age"], ["Ann", "37"]], "rows": 2}
    assert request.headers["authorization"] == "Bearer ya29.one"
    assert unquote(request.path) == "/v4/spreadsheets/s-1/values/Sheet1!A1:B2"
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    [assertion] = form["assertion"]
    claims = jwt.decode(assertion, RSA_KEY.public_key(), algorithms=["RS256"], audience=f"{tokens.url}/token")
    assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets"
    assert (claims["iss"], claims["sub"]) == ("robot@p-1.iam.gserviceaccount.com", "ann@x.example")
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "kid": "kid-1", "typ": "JWT"}


async def test_a_person_with_a_refresh_token(write_file: Write) -> None:
    """A refresh token becomes an access token, which many calls share; a refused one is replaced once."""
    person = {"type": "authorized_user", "client_id": "c", "client_secret": "s-12345678", "refresh_token": "1//r-123"}
    refused = render({"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}, 401)
    async with open_wire_server(grant("a"), grant("b")) as tokens, open_wire_server(render({})) as server:
        settings = GoogleSettings(base_url=server.url, credentials_file=write_file(tokens.url, **person))
        service = Service(Definition("gmail", "GMAIL_ACCESS_TOKEN", lambda _: [], access=GoogleAccess), settings)
        for _ in range(3):
            await service.get("me")
        server.play(refused, render({}))
        await service.get("me")
        await service.aclose()
    assert [parse_qs(each.body.decode())["refresh_token"] for each in tokens.requests] == [["1//r-123"]] * 2
    sent = [each.headers["authorization"].removeprefix("Bearer ") for each in server.requests]
    assert sent == ["a", "a", "a", "a", "b"]


async def test_a_refused_account_is_told(write_file: Write) -> None:
    """A token server that refuses is told to the model, without the key, and Google is not asked."""
    refusal = render({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
    async with open_wire_server(refusal) as tokens, open_wire_server(render({})) as server:
        path = write_file(tokens.url)
        arguments = {"spreadsheet_id": "s-1", "range": "A1"}
        told = await sheets(server, "read_range", arguments, api_key=None, credentials_file=path)
        assert server.requests == []
    assert "Invalid JWT Signature" in told
    assert "PRIVATE" not in told


def test_missing_credentials_are_named(write_file: Write, tmp_path: Path) -> None:
    """The check at start tells what to set, and finds a file that cannot be used."""
    definition = Definition("gmail", "GMAIL_ACCESS_TOKEN", lambda _: [], access=GoogleAccess)
    with pytest.raises(ConfigError, match="GOOGLE_APPLICATION_CREDENTIALS is not set") as caught:
        GoogleAccess(definition, GoogleSettings(base_url="https://example.com")).check_ready()
    assert "GMAIL_ACCESS_TOKEN" in caught.value.hint
    settings = GoogleSettings(base_url="https://example.com", credentials_file=str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match=r"none\.json"):
        GoogleAccess(definition, settings).check_ready()
    path = write_file("https://oauth2.example.com/token")
    GoogleAccess(definition, GoogleSettings(base_url="https://example.com", credentials_file=path)).check_ready()


async def test_ranges_are_written_and_rows_appended() -> None:
    """Rows go into the body; a write is a PUT, and an append a POST at the range."""
    values = [["Ann", 37], [None, True]]
    appended = render({"spreadsheetId": "s-1", "tableRange": "A1:B1", "updates": UPDATE})
    async with open_wire_server(render(UPDATE), appended) as server:
        arguments = {"spreadsheet_id": "s-1", "range": "Sheet1!A1", "values": values}
        assert await sheets(server, "write_range", arguments) == UPDATED
        assert await sheets(server, "append_rows", arguments, input="RAW") == UPDATED
        write, append = server.requests
    assert (write.method, unquote(write.path)) == (
        "PUT",
        "/v4/spreadsheets/s-1/values/Sheet1!A1?valueInputOption=USER_ENTERED",
    )
    assert (append.method, unquote(append.path)) == (
        "POST",
        "/v4/spreadsheets/s-1/values/Sheet1!A1:append?valueInputOption=RAW",
    )
    assert write.json() == append.json() == {"values": values}


async def test_an_append_is_not_repeated() -> None:
    """Rows that may have been appended are not appended again, but a range may be written twice."""
    arguments = {"spreadsheet_id": "s-1", "range": "A1", "values": [["x"]]}
    async with open_wire_server(WireReply(ending="reset"), render(UPDATE)) as server:
        assert "not known whether" in await sheets(server, "append_rows", arguments)
        assert len(server.requests) == 1
    async with open_wire_server(WireReply(ending="reset"), render(UPDATE)) as server:
        assert await sheets(server, "write_range", arguments, retries=1) == UPDATED


async def test_a_large_range_is_cut() -> None:
    """The result tells how many rows there are, and after which it ends."""
    async with open_wire_server(render({"range": "A1:C9", "values": [["x" * 5_000, "", "z"]] * 600})) as server:
        told = await sheets(server, "read_range", {"spreadsheet_id": "s-1", "range": "A:C"})
    assert (told["rows"], told["cut_after_rows"], len(told["values"])) == (600, 500, 500)
    assert len(told["values"][0][0]) < 2_100


async def test_messages_are_searched() -> None:
    """The list has ids alone, so each head is loaded; the order of the list stays."""

    def head(name: str, subject: str, *labels: str) -> dict[str, Any]:
        headers = [{"name": "Subject", "value": subject}, {"name": "FROM", "value": "Ann <ann@example.com>"}]
        return {"id": name, "threadId": "t", "labelIds": list(labels), "snippet": "Hi", "payload": {"headers": headers}}

    first = {"messages": [{"id": "m1", "threadId": "t"}], "nextPageToken": "p-2", "resultSizeEstimate": 2}
    async with open_wire_server(render(first), render(head("m1", "One", "UNREAD"))) as server:
        told = await gmail(server, "gmail_search_messages", {"query": "is:unread", "limit": 1})
        listed, loaded = server.requests
    assert told["next_page_token"] == "p-2"
    assert told["messages"] == [
        {
            "id": "m1",
            "thread_id": "t",
            "from": "Ann <ann@example.com>",
            "to": "",
            "subject": "One",
            "date": "",
            "unread": True,
            "snippet": "Hi",
        }
    ]
    assert listed.path == "/gmail/v1/users/me/messages?q=is%3Aunread&maxResults=1"
    assert urlsplit(loaded.path).path == "/gmail/v1/users/me/messages/m1"
    assert parse_qs(urlsplit(loaded.path).query)["metadataHeaders"] == ["From", "To", "Subject", "Date"]


def encode(text: str) -> dict[str, str]:
    """Return the body of a part, without padding as Gmail sends it."""
    return {"data": base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            [
                {"mimeType": "text/plain", "body": encode("Grüße,\r\nAnn")},
                {"mimeType": "text/html", "body": encode("<p>no</p>")},
            ],
            "Grüße,\nAnn",
        ),
        ([{"mimeType": "text/html", "body": encode("<p>Hello</p><p>Ann</p>")}], "Hello\nAnn"),
        ([{"mimeType": "text/plain", "body": {"data": "%%%"}}], ""),
    ],
)
async def test_a_message_is_read_as_text(parts: list[Any], text: str) -> None:
    """The plain part is preferred, HTML becomes text, and attachments are named."""
    file = {"mimeType": "text/plain", "filename": "notes.txt", "body": {"attachmentId": "a", "size": 5}}
    payload = {"mimeType": "multipart/mixed", "parts": [{"mimeType": "multipart/alternative", "parts": parts}, file]}
    async with open_wire_server(render({"id": "m1", "payload": payload})) as server:
        told = await gmail(server, "gmail_get_message", {"message_id": "m1"})
        assert server.requests[0].path == "/gmail/v1/users/me/messages/m1?format=full"
    assert (told["text"], told["attachments"]) == (text, ["notes.txt"])


async def test_a_message_is_marked_as_read() -> None:
    """The label UNREAD is taken off; the result has the form of Agno-Go."""
    async with open_wire_server(render({"id": "m1", "labelIds": ["INBOX"]})) as server:
        told = await gmail(server, "gmail_mark_as_read", {"message_id": "m1", "user_id": "ann@example.com"})
        [request] = server.requests
    assert told == {"id": "m1", "status": "read", "user_id": "ann@example.com"}
    assert request.path == "/gmail/v1/users/ann%40example.com/messages/m1/modify"
    assert request.json() == {"removeLabelIds": ["UNREAD"]}


async def test_a_draft_is_written_and_sent() -> None:
    """The draft is a message in the format of RFC 5322; sending names the draft."""
    made = {"id": "d-1", "message": {"id": "m-1", "threadId": "t"}}
    async with open_wire_server(render(made), render({"id": "m-2", "threadId": "t"})) as server:
        arguments = {
            "to": "Ann <ann@example.com>, bob@example.com",
            "subject": "Grüße\nBcc: x@y.z",
            "body": "Hallo Ann",
        }
        draft = await gmail(server, "gmail_create_draft", arguments)
        sent = await gmail(server, "gmail_send_draft", {"draft_id": draft["draft_id"]})
        create, send = server.requests
    assert draft == {"draft_id": "d-1", "message_id": "m-1", "status": "draft"}
    assert sent == {"id": "m-2", "thread_id": "t", "status": "sent"}
    message = message_from_bytes(base64.urlsafe_b64decode(create.json()["message"]["raw"]), policy=default)
    assert message["To"] == "Ann <ann@example.com>, bob@example.com"
    assert message["Subject"] == "Grüße Bcc: x@y.z"
    assert message["Bcc"] is None
    assert message.get_content().strip() == "Hallo Ann"
    assert (send.path, send.json()) == ("/gmail/v1/users/me/drafts/send", {"id": "d-1"})


@pytest.mark.parametrize("to", ["ann", "ann@example.com\r\nBcc: x@y.z", "<>, <>", "a@b@c"])
async def test_wrong_addresses_are_not_sent(to: str) -> None:
    """An address that is none, and a line break, are told to the model, and nothing is sent."""
    async with open_wire_server(render({})) as server:
        told = await gmail(server, "gmail_create_draft", {"to": to, "subject": "Hi", "body": "Hi"})
        assert server.requests == [], told
    assert "e-mail addresses" in told
