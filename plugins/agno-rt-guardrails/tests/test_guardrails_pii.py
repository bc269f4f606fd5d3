"""Personal data: findings of each kind, texts to leave alone, and the replacements."""
# ruff: noqa: RUF001 - the tests need digits of other scripts and widths

from __future__ import annotations

from typing import Any

import pytest
from agno_rt_guardrails import PII

from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.hooks import Guardrail


async def redacted(text: str, context: RunContext | None = None, **options: Any) -> str | None:
    """Return the redacted text, `None` without a finding."""
    verdict = await PII(**options).check(context or RunContext("r"), text)
    return None if verdict is None else verdict.text


def rrn(digits: str) -> str:
    """Make a resident registration number of Korea: twelve digits with a check digit."""
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    return digits + str(
        (11 - sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11) % 10
    )


def iban(country: str, account: str) -> str:
    """Make an IBAN with check digits."""
    number = "".join(str(int(char, 36)) for char in f"{account}{country}00")
    return f"{country}{98 - int(number) % 97:02}{account}"


FOUND = [
    ("mail ann@example.com now", "mail [email 1] now"),
    ("ann.b+tag@mail.example.co.uk", "[email 1]"),
    ("write to <ann@example.com>.", "write to <[email 1]>."),
    ("ann＠example．com", "[email 1]"),
    ("card 4111111111111111.", "card [card 1]."),
    ("4111 1111 1111 1111", "[card 1]"),
    ("4111-1111-1111-1111", "[card 1]"),
    ("3782 822463 10005", "[card 1]"),
    ("4111 1111 1111 1111 123", "[card 1] 123"),
    ("４１１１ １１１１ １１１１ １１１１", "[card 1]"),
    ("DE89 3704 0044 0532 0130 00", "[iban 1]"),
    ("de89370400440532013000", "[iban 1]"),
    ("GB82 WEST 1234 5698 7654 32 please", "[iban 1] please"),
    ("NO93 8601 1117 947 and more words", "[iban 1] and more words"),
    (iban("FR", "20041010050500013M02606"), "[iban 1]"),
    ("from 203.0.113.7:8080", "from [ip 1]:8080"),
    ("[2001:db8::8a2e:370:7334]:80", "[[ip 1]]:80"),
    ("::ffff:192.0.2.128", "[ip 1]"),
    ("ssn 123-45-6789", "ssn [ssn 1]"),
    ("900101-1234567", "[rrn 1]"),
    (rrn("900101123456"), "[rrn 1]"),
    ("010-1234-5678로 전화", "[phone 1]로 전화"),
    ("+82 10-1234-5678", "[phone 1]"),
    ("(415) 555-2671", "[phone 1]"),
    ("1-415-555-2671", "[phone 1]"),
    ("+49 30 901820", "[phone 1]"),
    ("01 23 45 67 89", "[phone 1]"),
    ("tel:+14155552671", "tel:[phone 1]"),
    ("٠١٠-١٢٣٤-٥٦٧٨", "[phone 1]"),
    ("０１０－１２３４－５６７８", "[phone 1]"),
]


@pytest.mark.parametrize(("text", "wanted"), FOUND)
async def test_is_found(text: str, wanted: str) -> None:
    """Each kind in common forms: in groups or not, with other dashes, in digits of other scripts and widths."""
    assert await redacted(text) == wanted


NOT_FOUND = [
    "version 1.2.3.4.5 of 2024-01-15 12:34:56",
    "v1.2.3, on 15.01.2024",
    "listens on 127.0.0.1, ::1 and 0.0.0.0",
    "999.999.999.999",
    "order 1234567890123456",
    "order 4111111111111112",
    "invoice 2024-000123",
    "ISBN 978-3-16-148410-0",
    "3.14159265358979",
    "1,234,567.89 or 10 000 000",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000",
    "9001011234567",
    "991332-1234567",
    "900101-9234567",
    "dead::beef and std::vector",
    "file@2x.png, git@github.com, @user, user@localhost",
    "123e4567-e89b-12d3-a456-426614174000",
    "00:1A:2B:3C:4D:5E",
    "0000000000000000",
    "1234-5678-9012",
    "DE89370400440532013001",
    "XX89370400440532013000",
    "https://example.com/a/b?c=1",
    "a meeting of 5 to 10 people in room 0401",
    "",
]


@pytest.mark.parametrize("text", NOT_FOUND)
async def test_is_let_pass(text: str) -> None:
    """Versions, dates, order numbers and numbers with a wrong checksum pass."""
    assert await redacted(text) is None


@pytest.mark.parametrize("digit", range(10))
async def test_a_card_needs_its_check_digit(digit: int) -> None:
    """Only one of ten last digits makes a card's number valid."""
    assert (await redacted(f"411111111111111{digit}") is not None) == (digit == 1)


@pytest.mark.parametrize("at", range(4, 22))
async def test_an_iban_needs_its_checksum(at: int) -> None:
    """One wrong digit anywhere invalidates an IBAN."""
    right = "DE89370400440532013000"
    wrong = right[:at] + str((int(right[at]) + 1) % 10) + right[at + 1 :]

    assert await redacted(right, kinds=("iban",)) == "[iban 1]"
    assert await redacted(wrong, kinds=("iban",)) is None


async def test_one_thing_has_one_number() -> None:
    """Within a run, a value has the same number in all spellings and texts; another run begins anew."""
    context = RunContext("r")

    assert await redacted("a@b.io or c@d.org or A@B.io", context) == "[email 1] or [email 2] or [email 1]"
    assert await redacted("c@d.org, 4111111111111111", context) == "[email 2], [card 1]"
    assert await redacted("4111-1111-1111-1111, e@f.org", context) == "[card 1], [email 3]"
    assert await redacted("c@d.org", RunContext("other")) == "[email 1]"


async def test_several_things_at_once() -> None:
    """One pass redacts everything; the reason has kinds and counts, never the values."""
    verdict = await PII().check(RunContext("r"), "Ann, a@b.io and c@d.org, +82 10-1234-5678")

    assert verdict is not None
    assert verdict.text == "Ann, [email 1] and [email 2], [phone 1]"
    assert verdict.reason == "found 2 email, 1 phone"


async def test_blocks_instead() -> None:
    """With `block` the text is blocked."""
    verdict = await PII(action="block").check(RunContext("r"), "a@b.io")

    assert verdict is not None
    assert (verdict.reason, verdict.text) == ("found 1 email", None)


async def test_kinds() -> None:
    """Only the requested kinds are found."""
    assert await redacted("a@b.io, 4111111111111111", kinds=("card",)) == "a@b.io, [card 1]"
    assert await redacted("a@b.io", kinds=()) is None


async def test_what_may_pass() -> None:
    """An allowed value passes in any spelling; other values of the kind do not."""
    allow = ("help@example.com", "+82 2-123-4567")

    assert await redacted("Help@Example.com, +82 2 123 4567", allow=allow) is None
    assert await redacted("help@example.com, a@b.io", allow=allow) == "help@example.com, [email 1]"


async def test_patterns_of_ones_own() -> None:
    """A pattern adds a kind with precedence over built-in kinds; its group is redacted."""
    patterns = {"order": r"order ([A-Z]-[0-9]+)", "phone-like": r"010-0000-[0-9]{4}"}

    assert await redacted("order A-17 by a@b.io", patterns=patterns) == "order [order 1] by [email 1]"
    assert await redacted("010-0000-1234", patterns=patterns) == "[phone-like 1]"
    assert await redacted("nothing", patterns={"empty": "x*"}) is None


async def test_tokens_of_ones_own() -> None:
    """The token may omit the number, and may contain braces."""
    assert await redacted("a@b.io c@d.org", token="<{kind}>") == "<email> <email>"
    assert await redacted("a@b.io", token="{{{number}}}") == "{1}"


async def test_what_overlaps_is_one() -> None:
    """A number that fits two kinds is redacted once, whole."""
    assert await redacted("x", patterns={"word": "[a-z]+"}) == "[word 1]"
    assert await redacted("a@b.io", patterns={"half": "a@b"}) == "[half 1]"


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"action": "hide"}, "no action 'hide'", "redact"),
        ({"kinds": ("emial",)}, "'emial' is not among the kinds of PII", "'email'"),
        ({"kinds": "email"}, "not a sequence", "kinds=('email',)"),
        ({"patterns": {"x": "("}}, "'x' in patterns of PII is not a regular expression", "module re"),
        ({"patterns": {"x": 5}}, "'x' in patterns", "module re"),
        ({"token": "{what}"}, "token '{what}'", "{number}"),
        ({"token": "{"}, "cannot be written", "braces"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str, hint: str) -> None:
    """Wrong options raise when the guardrail is made, with a remedy."""
    with pytest.raises(UsageError) as caught:
        PII(**options)

    assert said in caught.value.message
    assert hint in caught.value.hint


def test_is_a_guardrail() -> None:
    """The guardrail fulfils the protocol, with a changeable name."""
    assert isinstance(PII(), Guardrail)
    assert (PII().name, PII(name="mine").name) == ("pii", "mine")
