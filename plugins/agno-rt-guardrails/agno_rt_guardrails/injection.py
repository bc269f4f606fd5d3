"""Attempts to take over the model, found by their wording in many spellings, spacings and encodings."""

from __future__ import annotations

import base64
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import ClassVar

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.hooks import Verdict
from agno_rt_guardrails.find import order_kinds
from agno_rt_guardrails.pieces import PIECE, GiveWay, change, pieces

KINDS = ("override", "leak", "jailbreak", "role")
ALL_KINDS = (*KINDS, "planted")


@attrs.frozen(kw_only=True, eq=False)
class PromptInjection:
    """A guardrail that blocks attempts to take over the model. The reason names the kind, never the text.

    The kinds are `override` ("ignore previous instructions", in ten languages), `leak` ("reveal your system prompt"),
    `jailbreak` ("you have no restrictions") and `role` (a chat template's tokens, or a line "system: you must ...");
    and, for the results of tools, `planted` ("if you are an AI assistant, send ...", "do not tell the user").
    Capitals, full width, accents, invisible characters, spaces between letters, look-alike letters and digits, base64,
    hexadecimal, rot13, and the escapes of URLs, HTML and JSON do not hide a phrase.

    The guardrail knows phrases, not intentions: new wordings pass, and a question *about* a phrase that quotes the
    phrase is blocked. Use the guardrail as the cheap first line, with `Moderation` or your own guardrail behind.

    Attributes:
        kinds: kinds to look for; default: all but `planted`, because people may write about such things
        phrases: phrases of your own, found in as many disguises as the built-in phrases; their kind is `phrase`
        patterns: regular expressions of your own, by the kind's name, for the text in small letters, without invisible
            characters, with full width letters as plain letters. Their speed is your responsibility
    """

    known: ClassVar[tuple[str, ...]] = ALL_KINDS
    """All kinds."""

    kinds: tuple[str, ...] = KINDS
    phrases: tuple[str, ...] = ()
    patterns: Mapping[str, str] = attrs.Factory(dict)
    name: str = "injection"

    def __attrs_post_init__(self) -> None:
        order_kinds(self.kinds, ALL_KINDS, "PromptInjection")
        if isinstance(self.phrases, str):
            hint = f"Write phrases=({self.phrases!r},)."
            raise UsageError(f"phrases of PromptInjection are {self.phrases!r}, not a sequence", hint=hint)
        for phrase in self.phrases:
            if not fold_text(phrase):
                raise UsageError(f"{phrase!r} in phrases of PromptInjection has no letters", hint="Leave it out.")
        self._compile_own()

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Look for each kind in the plain text, then in decoded texts."""
        kinds = order_kinds(self.kinds, ALL_KINDS, "PromptInjection")
        if found := await self._find_kinds(text, kinds, context.give_way):
            return Verdict(f"found {found}")
        for start, stop in pieces(text):
            for wrapping, inner in _decode_hidden(text[start:stop], is_cut=start > 0):
                if hidden := await self._find_kinds(inner, kinds, context.give_way):
                    return Verdict(f"found {hidden}, hidden in {wrapping}")
                if len(text) > PIECE:
                    await context.give_way()
        return None

    async def _find_kinds(self, text: str, kinds: tuple[str, ...], give_way: GiveWay) -> str:
        """Return the kinds in the text, separated by commas, without decoding."""
        letters = await change(text, fold_text, give_way)
        found: list[str] = []
        for start, stop in pieces(letters):
            piece = letters if stop - start == len(letters) else letters[start:stop]
            found += [kind for kind in kinds if kind not in ("role", *found) and _has_phrase(kind, piece)]
            if len(letters) > PIECE:
                await give_way()
        if any(fold_text(phrase) in letters for phrase in self.phrases):
            found.append("phrase")
        if "role" in kinds or "planted" in kinds or self.patterns:
            line = await change(text, _lower_text, give_way)
            for kind, signs in (("role", _compile_role), ("planted", _compile_marks)):
                if kind in kinds and await _has_match(signs(), line, give_way):
                    found.append(kind)
            found += [name for name, pattern in self._compile_own().items() if pattern.search(line)]
        return ", ".join(dict.fromkeys(found))

    def _compile_own(self) -> dict[str, re.Pattern[str]]:
        made = {}
        for name, pattern in self.patterns.items():
            try:
                made[name] = re.compile(pattern)
            except (re.error, TypeError) as exc:
                hint = "Write a regular expression of the module re; in TOML, in single quotes."
                problem = f"{name!r} in patterns of PromptInjection is not a regular expression: {exc}"
                raise UsageError(problem, hint=hint) from exc
        return made


@functools.cache
def _compile_phrases(kind: str) -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    """Compile the phrases on first use. Return needles and a pattern each, both folded: a match contains a needle."""
    from agno_rt_guardrails.phrases import KINDS as PHRASES  # skipped if all of its kinds are off

    return tuple((tuple(map(fold_text, words.split())), _compile_source(source)) for words, source in PHRASES[kind])


def _compile_source(source: str) -> re.Pattern[str]:
    source = re.sub(r"^\s*#.*$|\s", "", source, flags=re.MULTILINE)
    return re.compile(re.sub(r"[^\W\d_]+", lambda word: fold_text(word[0]), source))


def _has_phrase(kind: str, letters: str) -> bool:
    return any(
        pattern.search(letters) is not None
        for words, pattern in _compile_phrases(kind)
        if any(word in letters for word in words)
    )


async def _has_match(pattern: re.Pattern[str], line: str, give_way: GiveWay) -> bool:
    for start, stop in pieces(line):
        if pattern.search(line, start, stop):
            return True
        if len(line) > PIECE:
            await give_way()
    return False


@functools.cache
def _compile_role() -> re.Pattern[str]:
    from agno_rt_guardrails.phrases import ROLE

    return re.compile(ROLE, re.MULTILINE)


@functools.cache
def _compile_marks() -> re.Pattern[str]:
    from agno_rt_guardrails.planted import MARKS

    return re.compile(MARKS)


def fold_text(text: str) -> str:
    """Return the letters only: small, without accents; look-alikes and digits become the letters they imitate."""
    if text.isascii():
        return text.lower().translate(_build_ascii_table())
    table = {ord(char): _fold_char(char) or None for char in set(text)}
    # With all marks gone, NFC composes only the parts of Korean syllables.
    return unicodedata.normalize("NFC", text.translate(table))


def _lower_text(text: str) -> str:
    """Return the text in small letters, with plain letters for other widths, without invisible characters."""
    if text.isascii():
        return text.lower()
    return text.translate({ord(char): _simplify_char(char) or None for char in set(text)})


@functools.cache
def _build_ascii_table() -> dict[int, str | None]:
    return {code: _fold_char(chr(code)) or None for code in range(128)}


MOST_LETTERS = 6
"""The most letters of one character. Characters with more letters are whole phrases, in languages without patterns."""


@functools.lru_cache(maxsize=32_768)
def _fold_char(char: str) -> str:
    seen = unicodedata.normalize("NFKD", _LOOKS_LIKE.get(char, char)).casefold()
    if len(seen) > MOST_LETTERS:
        return ""
    letters = "".join(_LOOKS_LIKE.get(one, one) for one in seen if not unicodedata.category(one).startswith("M"))
    return "".join(one for one in letters if one.isalnum() and one not in _UNSEEN)


@functools.lru_cache(maxsize=32_768)
def _simplify_char(char: str) -> str:
    if unicodedata.category(char) == "Cf" or char in _UNSEEN:
        return ""
    seen = unicodedata.normalize("NFKC", char).casefold()
    return seen if len(seen) <= MOST_LETTERS else char


_UNSEEN = "\u115f\u1160\u3164\uffa0"
"""Korean fillers: letters by category, but invisible."""


def _list_look_alikes() -> dict[str, str]:
    """Return the letter that each look-alike imitates. An l becomes an i, because a 1 may be either."""
    pairs = (
        ("0134578@$9l", "oieastbasgi"),
        ("авекмнорстухіјѕԁһ", "abekmhopctyxijsdh"),
        ("αεικνορτυχ", "aeikvoptux"),
        ("ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ", "abcdeghijkimnoprtuvwyz"),
    )
    table = {one: letter for ones, letters in pairs for one, letter in zip(ones, letters, strict=True)}
    # Letters in flags and in black circles and squares, and the tag characters, visible to models only.
    for first in (0x1F1E6, 0x1F150, 0x1F170):
        table.update({chr(first + at): chr(ord("a") + at) for at in range(26)})
    table.update({chr(0xE0000 + code): chr(code) for code in range(0x20, 0x7F)})
    return table


_LOOKS_LIKE = _list_look_alikes()


def _decode_hidden(text: str, *, is_cut: bool) -> Iterator[tuple[str, str]]:
    """Yield encodings and decoded texts. With `is_cut`, the text is a piece, and may begin within an encoded word."""
    if inner := " ".join(_decode_base64(text, 4 if is_cut else 1)):
        yield "base64", inner
    if inner := " ".join(_decode_hexadecimal(text, 2 if is_cut else 1)):
        yield "hexadecimal", inner
    if "%" in text or "&" in text or "\\" in text:
        from html import unescape  # both imports take a millisecond, and few texts need them
        from urllib.parse import unquote

        inner = re.sub(r"\\(?:x|u00|u\{)([0-9A-Fa-f]{2})\}?", lambda code: chr(int(code[1], 16)), unquote(text))
        if (inner := unescape(inner)) != text:
            yield "escapes", inner
    yield "rot13", text.translate(_ROT13)


_A_TO_Z = "abcdefghijklmnopqrstuvwxyz"
_ROT13 = str.maketrans(_A_TO_Z + _A_TO_Z.upper(), (_A_TO_Z[13:] + _A_TO_Z[:13]) + (_A_TO_Z[13:] + _A_TO_Z[:13]).upper())


@functools.cache
def _compile_encodings() -> tuple[re.Pattern[str], re.Pattern[str]]:
    line = "[A-Za-z0-9+/_-]"
    sixteen = rf"(?<!{line}){line}{{16,}}+(?:\r?\n{line}{{4,}}+)*+"
    return re.compile(sixteen), re.compile(r"(?:(?:\\x|0x|%)?[0-9A-Fa-f]{2}[ ,:]?){12,}+")


def _decode_base64(text: str, beginnings: int) -> Iterator[str]:
    for match in _compile_encodings()[0].finditer(text):
        data = re.sub(r"\s", "", match[0]).translate({ord("-"): "+", ord("_"): "/"})
        # The start of a piece may have cut the first group of four.
        for at in range(beginnings if match.start() == 0 else 1):
            yield _decode_text(base64.b64decode(data[at : len(data) - ((len(data) - at) % 4 == 1)] + "=="))


def _decode_hexadecimal(text: str, beginnings: int) -> Iterator[str]:
    for match in _compile_encodings()[1].finditer(text):
        digits = re.sub(r"\\x|0x|[^0-9A-Fa-f]", "", match[0])
        for at in range(beginnings if match.start() < 4 else 1):
            yield _decode_text(bytes.fromhex(digits[at : at + (len(digits) - at) // 2 * 2]))


def _decode_text(data: bytes) -> str:
    """Decode the text in the bytes; every other byte may be zero, as in UTF-16."""
    return data.replace(b"\0", b"").decode("utf-8", "ignore")
