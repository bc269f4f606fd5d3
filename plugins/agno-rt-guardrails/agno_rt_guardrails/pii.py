"""Personal data, found by its form, and by its checksum if the form has a checksum."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

import attrs

from agno_rt_guardrails.find import (
    BREATH,
    Check,
    Finder,
    Finding,
    Span,
    finder,
    whole,
)
from agno_rt_guardrails.pieces import MANY, PIECE

KINDS = ("rrn", "iban", "card", "ssn", "email", "ip", "phone")
"""The kinds, most certain first: overlapping findings get the first kind."""


@attrs.frozen(kw_only=True, eq=False)
class PII(Finding):
    """A guardrail that finds personal data, and redacts the data or blocks the text.

    The kinds are `email`; `phone` (with a country code, or as written within North America or, with a leading zero,
    elsewhere); `card` (payment cards, by the Luhn check of ISO/IEC 7812-1); `iban` (ISO 13616, by country, length and
    mod 97); `ip` (version 4 and 6, except loopback); `ssn` (of the United States, written in groups); and `rrn`, the
    resident registration number of Korea: with a hyphen by the date of birth, because numbers from October 2020 on
    lack the check digit, and without a hyphen by the check digit too. Names and postal addresses have no form to find.

    Attributes:
        action: `redact` replaces each value with a token, `block` blocks the text
        kinds: kinds to look for
        patterns: regular expressions for more kinds, by the kind's name; the first group, if any, is redacted. Their
            speed is your responsibility
        allow: values that may pass, such as your own support address
        token: the text in place of a value; `{number}` distinguishes the values of a kind, and stays the same in all
            texts of a run. `"[{kind}]"` leaves the number out
    """

    known = KINDS

    kinds: tuple[str, ...] = KINDS
    name: str = "pii"

    def shipped(self) -> Mapping[str, Sequence[Finder]]:
        """Return the finders of all kinds."""
        return _compile_finders()


@functools.cache
def _compile_finders() -> dict[str, list[Finder]]:
    """Compile the finders on first use."""
    return {
        "rrn": [finder(r"[0-9](?<![0-9A-Za-z].)[0-9]{5}-?[1-8][0-9]{6}(?![0-9])", _check_rrn)],
        "iban": [finder(r"[A-Za-z](?<![0-9A-Za-z].)[A-Za-z][0-9]{2}(?:[ -]?[0-9A-Za-z]){11,30}", _check_iban)],
        "card": [finder(_CARD, _check_card, flags=re.VERBOSE)],
        "ssn": [finder(r"[0-9](?<![0-9A-Za-z].)(?<![0-9][.\-].)[0-9]{2}([ -])[0-9]{2}\1[0-9]{4}(?![0-9])", _check_ssn)],
        "email": [_find_emails],
        "ip": [
            finder(
                r"[0-9](?<![0-9A-Za-z].)(?<![0-9]\..)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\.?[0-9])", _check_ipv4, needle="."
            ),
            finder(r"[0-9A-Fa-f:](?<![0-9A-Za-z:.].)[0-9A-Fa-f:]{2,38}(?:\.[0-9]{1,3}){0,3}", _check_ipv6, needle=":"),
        ],
        "phone": [finder(pattern, check) for pattern, check in _PHONES],
    }


_EXTENSIONS = frozenset("css gif jpeg jpg js json md mp3 mp4 pdf png py svg ts txt webp".split())  # noqa: SIM905 - short
_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.!#$%&*+/=?^_`{|}~-"


def _find_emails(text: str) -> Iterator[Span]:
    """Find addresses as on the wire, in ASCII, from the `@` to both sides."""
    if len(text) > PIECE:
        yield BREATH
    at, count = text.find("@"), 0
    while at >= 0:
        count += 1
        if count % MANY == 0:
            yield BREATH
        domain = _compile_domain().match(text, at + 1)
        if domain is not None and domain["top"].lower() not in _EXTENSIONS:
            before = text[max(0, at - 64) : at]
            local = before[len(before.rstrip(_LOCAL)) :].lstrip(".!#$%&*/=?^`{|}~")
            if local and local != "git":
                yield at - len(local), domain.end()
        at = text.find("@", at + 1)


@functools.cache
def _compile_domain() -> re.Pattern[str]:
    return re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}(?P<top>[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{1,59})(?![A-Za-z0-9])")


_CARD = r"""
    [2-6](?<![0-9A-Za-z].)(?:
        [0-9]{3}(?P<a>[ -])[0-9]{4}(?P=a)[0-9]{4}(?P=a)[0-9]{4}(?P=a)[0-9]{3}   # 19, in groups
        | [0-9]{3}(?P<b>[ -])[0-9]{4}(?P=b)[0-9]{4}(?P=b)[0-9]{1,7}             # 13 to 19, in groups
        | [0-9]{3}(?P<c>[ -])[0-9]{6}(?P=c)[0-9]{4,5}                           # 14 or 15, as some issuers print them
        | [0-9]{12,18}
    )(?![0-9])
"""


def _check_card(match: re.Match[str]) -> Span | None:
    digits = _keep_digits(match.group())
    if _is_luhn_valid(digits):
        return match.span()
    # Nineteen digits in five groups may be sixteen with a security code.
    if match["a"] and _is_luhn_valid(digits[:16]):
        return match.start(), match.end() - 4
    return None


def _is_luhn_valid(digits: str) -> bool:
    odd, even = digits[-1::-2], digits[-2::-2]
    total = sum(map(int, odd)) + sum(divmod(2 * int(digit), 10)[0] + 2 * int(digit) % 10 for digit in even)
    return total % 10 == 0 and len(set(digits)) > 1


def _keep_digits(text: str) -> str:
    return "".join(char for char in text if "0" <= char <= "9")


_IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in """
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24
    FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32
    LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24
    RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
    """.split()  # noqa: SIM905 - a list literal of these is ninety lines
}
"""The length of an IBAN in each country, by the registry of ISO 13616."""


def _check_iban(match: re.Match[str]) -> Span | None:
    """Shorten the match, which may run into the next word, to the country's length, and check the checksum."""
    written = match.group().upper()
    length = _IBAN_LENGTHS.get(written[:2])
    taken = [at for at, char in enumerate(written) if char not in " -"][:length]
    if length is None or len(taken) < length or written[taken[-1] + 1 : taken[-1] + 2].isalnum():
        return None
    value = "".join(written[at] for at in taken)
    number = "".join(str(int(char, 36)) for char in value[4:] + value[:4])
    return (match.start(), match.start() + taken[-1] + 1) if int(number) % 97 == 1 else None


def _check_ssn(match: re.Match[str]) -> Span | None:
    """Refuse numbers that were never issued: https://www.ssa.gov/employer/randomization.html."""
    area, group, serial = re.split("[ -]", match.group())
    given = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    return match.span() if given else None


def _check_rrn(match: re.Match[str]) -> Span | None:
    """Check the date of birth, the century and sex, and the check digit, absent from October 2020 on."""
    digits = _keep_digits(match.group())
    year = (1900 if digits[6] in "1256" else 2000) + int(digits[:2])
    if not _is_date(year, int(digits[2:4]), int(digits[4:6])):
        return None
    if "-" in match.group():
        return match.span()
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False)
    )
    expected = (11 - total % 11) % 10
    foreign = (13 - total % 11) % 10
    return match.span() if int(digits[12]) in ((expected, foreign) if digits[6] in "5678" else (expected,)) else None


def _is_date(year: int, month: int, day: int) -> bool:
    if not 1 <= month <= 12:
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    return 1 <= day <= days[month - 1]


def _check_ipv4(match: re.Match[str]) -> Span | None:
    octets = [int(octet) for octet in match.group().split(".")]
    nobody = octets[0] in (0, 127) or octets == [255] * 4
    return match.span() if max(octets) <= 255 and not nobody else None


def _check_ipv6(match: re.Match[str]) -> Span | None:
    from ipaddress import IPv6Address  # takes two milliseconds, and few texts need the class

    written = match.group()
    if written.endswith(":") and not written.endswith("::"):
        written = written[:-1]
    # Names in programs such as dead::beef have the same form; an address without a digit is rare.
    if written.count(":") < 2 or not any("0" <= char <= "9" for char in written):
        return None
    try:
        address = IPv6Address(written)
    except ValueError:
        return None
    return None if address.is_loopback or address.is_unspecified else (match.start(), match.start() + len(written))


def _check_national(match: re.Match[str]) -> Span | None:
    """Accept nine to twelve digits, without the groups of a following number, and without a date at the end."""
    written = match.group()
    while len(_keep_digits(written)) > 12 and " " in written:
        written = written.rpartition(" ")[0]
    enough = 9 <= len(_keep_digits(written)) <= 12
    date = re.search(r"[./-][0-9]{2}[./-](?:19|20)[0-9]{2}$", written)
    return (match.start(), match.start() + len(written)) if enough and not date else None


_ALONE = r"(?<![0-9A-Za-z_+].)(?<![0-9][.\-/:].)"
_AFTER = r"(?![.\-/]?[0-9])"
_PHONES: tuple[tuple[str, Check], ...] = (
    # With a country code; fifteen digits at most (E.164).
    (r"\+(?<![0-9A-Za-z+].)[1-9](?:[ .\-/()]{0,3}[0-9]){7,14}(?![0-9])", whole),
    (rf"0{_ALONE}0[1-9](?:[ .\-/()]{{0,3}}[0-9]){{8,13}}(?![0-9])", whole),
    # As in North America.
    (
        (
            rf"[(1-9]{_ALONE}(?:(?<=1)[ .\-]\(?[2-9]|(?<=\()[2-9]|(?<=[2-9]))[0-9]{{2}}"
            r"(?:\)[ ]?|[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}(?![0-9])"
        ),
        whole,
    ),
    # With a leading zero, in groups or not.
    (
        (
            rf"[(0]{_ALONE}(?:(?<=\()0|(?<=0))[1-9][0-9]{{0,4}}(?:\)[ -]?|[ .\-/])"
            rf"[0-9]{{2,8}}(?:(?P<s>[ .\-])[0-9]{{2,4}}(?:(?P=s)[0-9]{{2,4}}){{0,3}})?{_AFTER}"
        ),
        _check_national,
    ),
    (rf"0{_ALONE}[1-9][0-9]{{8,9}}{_AFTER}", whole),
)
