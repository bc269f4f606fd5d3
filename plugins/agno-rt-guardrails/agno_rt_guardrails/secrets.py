"""Keys, tokens and passwords, found by the formats of services, or by the name in front."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence

import attrs

from agno_rt_guardrails.find import (
    BREATH,
    Finder,
    Finding,
    Span,
    finder,
)
from agno_rt_guardrails.pieces import MANY, PIECE

KINDS = (
    "private-key",
    "anthropic-key",
    "openai-key",
    "aws-key",
    "github-token",
    "gitlab-token",
    "slack-token",
    "google-key",
    "stripe-key",
    "service-token",
    "jwt",
    "url-password",
    "password",
)
"""The kinds, most certain first: overlapping findings get the first kind."""


@attrs.frozen(kw_only=True, eq=False)
class Secrets(Finding):
    """A guardrail that finds keys, tokens and passwords, and redacts the values or blocks the text.

    The kinds by service are `anthropic-key`, `openai-key` (also of services compatible with OpenAI), `aws-key` (the
    key's id, and the secret next to its name), `github-token`, `gitlab-token`, `slack-token`, `google-key`,
    `stripe-key` and `service-token` (a dozen others). Further kinds are `private-key` (PEM and PGP blocks); `jwt`;
    `url-password` (within a connection URL); and `password`: any value that looks random, assigned to a name such as
    `password`, `api_key` or `token`, in one of nine languages. A password without a name has no form to find.

    Attributes:
        action: `redact` replaces each value with a token, `block` blocks the text
        kinds: kinds to look for
        patterns: regular expressions for more kinds, by the kind's name; the first group, if any, is redacted. Their
            speed is your responsibility
        allow: values that may pass, such as a key from your documentation
        token: the text in place of a value; `{number}` distinguishes the values of a kind, and stays the same in all
            texts of a run. `"[{kind}]"` leaves the number out
    """

    known = KINDS

    kinds: tuple[str, ...] = KINDS
    name: str = "secrets"

    def shipped(self) -> Mapping[str, Sequence[Finder]]:
        """Return the finders of all kinds."""
        return _compile_finders()


_START = r"(?<![A-Za-z0-9_\-])"
"""A key begins at the start of a word. Keys have no upper bound, so that no end is left behind. The time stays linear,
because each run of key characters has one start."""


@functools.cache
def _compile_finders() -> dict[str, list[Finder]]:
    """Compile the finders on first use."""
    return {
        "private-key": [_find_private_keys],
        "anthropic-key": [finder(_START + r"sk-ant-[A-Za-z0-9_\-]{20,}+", needle="sk-ant-")],
        "openai-key": [
            finder(_START + r"sk-(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_\-]{20,}+", _check_digits, needle="sk-"),
            finder(_START + r"sk-[A-Za-z0-9]{20,}+(?![A-Za-z0-9_\-])", _check_digits, needle="sk-"),
        ],
        "aws-key": [
            finder(_START + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9_])"),
            finder(_AWS_SECRET, _take_group, flags=re.IGNORECASE),
        ],
        "github-token": [
            finder(_START + r"gh[opsur]_[A-Za-z0-9]{36,}+", needle="gh"),
            finder(_START + r"github_pat_[A-Za-z0-9_]{22,}+", needle="github_pat_"),
        ],
        "gitlab-token": [
            finder(_START + r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|oas)-[A-Za-z0-9_\-.]{20,}+", needle="gl")
        ],
        "slack-token": [
            finder(_START + r"xox[a-z]-[A-Za-z0-9\-]{10,}+", needle="xox"),
            finder(_START + r"xapp-[0-9]-[A-Za-z0-9\-]{10,}+", needle="xapp-"),
            finder(
                r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/]{20,}+)", _take_group, needle="hooks.slack."
            ),
        ],
        "google-key": [
            finder(_START + r"AIza[A-Za-z0-9_\-]{35}(?![A-Za-z0-9_\-])", needle="AIza"),
            finder(_START + r"(?:GOCSPX-[A-Za-z0-9_\-]{28}|ya29\.[A-Za-z0-9_\-.]{20,}+)"),
        ],
        "stripe-key": [
            finder(_START + r"(?:[prs]k_(?:live|test)_[A-Za-z0-9]{16,}+|whsec_[A-Za-z0-9+/=]{24,}+)", needle="_")
        ],
        "service-token": [finder(_START + rf"(?:{'|'.join(_SERVICES)})(?![A-Za-z0-9_\-])")],
        "jwt": [finder(_START + r"eyJ[A-Za-z0-9_\-]{8,}+\.eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+", needle="eyJ")],
        "url-password": [
            finder(
                r"(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/:@?#\"']{0,128}:([^\s/@\"']{1,256})@",
                _check_url_password,
                needle="://",
            )
        ],
        "password": [finder(pattern, _check_assigned, flags=re.IGNORECASE) for pattern in _ASSIGNMENTS],
    }


_SERVICES = (
    r"hf_[A-Za-z0-9]{34}",  # Hugging Face
    r"gsk_[A-Za-z0-9]{52}",  # Groq
    r"xai-[A-Za-z0-9]{80}",
    r"pplx-[A-Za-z0-9]{48}",  # Perplexity
    r"r8_[A-Za-z0-9]{37}",  # Replicate
    r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{32}",  # Tavily
    r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}",  # SendGrid
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_\-]{85,}+",
    r"do[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
    r"dapi[a-f0-9]{32}(?:-[0-9])?",  # Databricks
    r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}",  # Telegram's bots
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",  # Shopify
    r"hv[sb]\.[A-Za-z0-9_\-]{24,}+",  # Vault
    r"glsa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}",  # Grafana
    r"lin_api_[A-Za-z0-9]{40}",  # Linear
    r"ntn_[A-Za-z0-9]{40,}+",  # Notion
)

_AWS_SECRET = (
    r"(?:aws|secret)[a-z0-9_ .\-]{0,30}(?:key|secret)[\"' ]{0,3}[:=>\s]{1,4}[\"']?"
    r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)

_NAMES = (
    "pass(?:word|wd|phrase|code)?|pwd|secret|credentials?|api[_ -]?key|apikey|token|bearer"
    "|(?:access|private|secret|signing|encryption|account|auth)[_ -]?key|client[_ -]?secret"
)
_NAMES_ELSEWHERE = (
    "passwort|kennwort|mot de passe|contrase(?:ñ|n)a|senha|пароль|비밀번호|암호|비번|密码|密碼|口令|パスワード"
)
_ASSIGNS = r"[\"'\]]{0,2}[ \t]{0,8}(?:[:=]{1,3}>?|(?:은|는|is|ist|est|es)(?=[ \t]))[ \t]{0,8}"
_VALUE = r"(?:\"([^\"\n]{6,256})\"|'([^'\n]{6,256})'|`([^`\n]{6,256})`|([^\s\"'`,;<>()\[\]{}]{6,256}))"
_ASSIGNMENTS = (
    rf"(?<![a-z])(?:{_NAMES}|{_NAMES_ELSEWHERE}){_ASSIGNS}{_VALUE}",
    # For dbPassword and clientSecret: the name is the end of another name.
    rf"(?<=[a-z])(?-i:Password|Passwd|Secret|ApiKey|APIKey|Token|AccessKey){_ASSIGNS}{_VALUE}",
    r"(?<![a-z])(?:bearer|basic)[ \t]{1,8}([a-z0-9_\-.=+/~]{16,}+)",
)


def _take_group(match: re.Match[str]) -> Span | None:
    return match.span(1)


def _check_digits(match: re.Match[str]) -> Span | None:
    """Require two digits: keys have digits, names such as sk-proj-a-name-with-many-words do not."""
    return match.span() if _TWO_DIGITS.search(match.string, *match.span()) else None


_TWO_DIGITS = re.compile(r"[0-9][^0-9]*+[0-9]")


_PLACEHOLDERS = frozenset("pass password passwd pw pwd secret user username token key hidden redacted".split())  # noqa: SIM905 - short


def _check_url_password(match: re.Match[str]) -> Span | None:
    value = match[1]
    return None if _is_placeholder(value) or value.casefold() in _PLACEHOLDERS else match.span(1)


_PLACEHOLDER = re.compile(r"\$\{.*|\$\(.*|\$[A-Z_][A-Z0-9_]*|%[sd]|%\(.*|%[A-Z_]+%|[<{\[].*")


def _is_placeholder(value: str) -> bool:
    """True for a placeholder of a password: ${DB_PASSWORD}, <password>, %s, ********."""
    masked = len(set(value)) < 3 or "..." in value or "xxxx" in value.casefold()
    return masked or _PLACEHOLDER.fullmatch(value) is not None


_PATH = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+")
ENOUGH_BITS = 20.0
"""The entropy of a value that looks random: eight different characters have 24 bits, `aaaabbbb` has 8."""


def _check_assigned(match: re.Match[str]) -> Span | None:
    """Accept a value that looks random: enough entropy, and two kinds of characters. Other values are plain words."""
    group = match.lastindex or 0
    start, value = match.start(group), match[group]
    value = value if match.end(group) < match.end() else value.rstrip(".:")
    if len(value) < 6 or _is_placeholder(value) or _PATH.fullmatch(value) or "://" in value:
        return None
    kinds = sum(any(test(char) for char in value) for test in (str.islower, str.isupper, str.isdigit, _is_sign))
    # A capital at the start, or a hyphen, does not make a word a password.
    plain_word = re.fullmatch(r"[A-Z]?[a-zà-ÿ]+(?:[-_./][A-Za-z]?[a-zà-ÿ]+)*|[A-Z]+(?:[-_][A-Z]+)*|[0-9.,:/-]+", value)
    enough = kinds > 1 and plain_word is None and bits(value) >= ENOUGH_BITS
    return (start, start + len(value)) if enough else None


def _is_sign(char: str) -> bool:
    return char in "!@#$%^&*+=~?|\\"


def bits(value: str) -> float:
    """Return the Shannon entropy of the value's characters, times the length."""
    counts, length = Counter(value), len(value)
    return -sum(count * math.log2(count / length) for count in counts.values())


_FIRST = "-----BEGIN "
_BEGINS = re.compile(_FIRST + r"(?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"[A-Za-z0-9+/=\\\s]*")
LEAST_BODY = 32
"""Characters in the body of a key: fewer come from a shortened example."""
_ENOUGH = re.compile(rf"(?:\s*+\S){{{LEAST_BODY}}}")


def _find_private_keys(text: str) -> Iterator[Span]:
    """Find blocks from their first line to the last line; without a last line, as far as the text looks like a key."""
    if len(text) > PIECE:
        yield BREATH
    end, begins = 0, (yield from _find_beginning(text, 0))
    while begins is not None:
        body = begins.end()
        if 0 <= end < body:
            end = text.find("-----END ", body)
        following = yield from _find_beginning(text, body)
        if end < 0 or (following is not None and following.start() < end):
            stop = _find_body_end(text, body)
        else:
            closing = text.find("-----", end + 9, end + 100)
            stop = closing + 5 if closing >= 0 else end
        if _ENOUGH.match(text, body, stop):
            yield begins.start(), stop
        begins = following
        if begins is not None:
            yield BREATH


def _find_beginning(text: str, position: int) -> Generator[Span, None, re.Match[str] | None]:
    """Find the next first line. The search for the constant part is many times faster in a long text."""
    count = 0
    while (at := text.find(_FIRST, position)) >= 0:
        if begins := _BEGINS.match(text, at):
            return begins
        position = at + 1
        count += 1
        if count % MANY == 0:
            yield BREATH
    return None


def _find_body_end(text: str, start: int) -> int:
    body = _BODY.match(text, start)
    return start if body is None else body.end()
