"""Attempts to take the model over, found by their wording: however they are spelt, spaced or wrapped up."""

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
from agno_rt_guardrails.find import chosen
from agno_rt_guardrails.pieces import PIECE, GiveWay, change, pieces

KINDS = ("override", "leak", "jailbreak", "role")
ALL_KINDS = (*KINDS, "planted")


@attrs.frozen(kw_only=True, eq=False)
class PromptInjection:
    """Blocks texts that try to take the model over. The reason names the kind, never the text.

    The kinds are `override` ("ignore previous instructions", in ten languages), `leak` ("reveal your system prompt"),
    `jailbreak` ("you have no restrictions") and `role` (a chat template's tokens, or a line "system: you must ...");
    and, for what tools return, `planted` ("if you are an AI assistant, send ...", "do not tell the user").
    Found as well in capitals, full width, with accents, invisible characters or spaces between the letters, in
    look-alike letters and digits, and in base64, hexadecimal or rot13, or escaped as in URLs, HTML and JSON.

    It knows phrases and no intentions: what is worded anew gets through, and a question *about* such a phrase that
    quotes it is blocked. Use it as the cheap first line, with `Moderation` or your own guardrail behind it.

    Attributes:
        kinds: which kinds to look for; all but `planted` unless said, since people may write of such things
        phrases: phrases of your own, found as forgivingly as those that ship; their kind is `phrase`
        patterns: regular expressions of your own, by the kind's name, for the text in small letters, without invisible
            characters, full width letters as plain ones. Their speed is yours to watch over
    """

    known: ClassVar[tuple[str, ...]] = ALL_KINDS
    """The kinds that there are."""

    kinds: tuple[str, ...] = KINDS
    phrases: tuple[str, ...] = ()
    patterns: Mapping[str, str] = attrs.Factory(dict)
    name: str = "injection"

    def __attrs_post_init__(self) -> None:
        chosen(self.kinds, ALL_KINDS, "PromptInjection")
        if isinstance(self.phrases, str):
            hint = f"Write phrases=({self.phrases!r},)."
            raise UsageError(f"phrases of PromptInjection are {self.phrases!r}, not a sequence", hint=hint)
        for phrase in self.phrases:
            if not folded(phrase):
                raise UsageError(f"{phrase!r} in phrases of PromptInjection has no letters", hint="Leave it out.")
        self._own()

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Look for each kind, as the text stands and in what is hidden in it."""
        kinds = chosen(self.kinds, ALL_KINDS, "PromptInjection")
        if found := await self._kinds(text, kinds, context.give_way):
            return Verdict(f"found {found}")
        for start, stop in pieces(text):
            for wrapping, inner in _hidden(text[start:stop], is_cut=start > 0):
                if hidden := await self._kinds(inner, kinds, context.give_way):
                    return Verdict(f"found {hidden}, hidden in {wrapping}")
                if len(text) > PIECE:
                    await context.give_way()
        return None

    async def _kinds(self, text: str, kinds: tuple[str, ...], give_way: GiveWay) -> str:
        """The kinds that are in the text as it stands, in words."""
        letters = await change(text, folded, give_way)
        found: list[str] = []
        for start, stop in pieces(letters):
            piece = letters if stop - start == len(letters) else letters[start:stop]
            found += [kind for kind in kinds if kind not in ("role", *found) and _found(kind, piece)]
            if len(letters) > PIECE:
                await give_way()
        if any(folded(phrase) in letters for phrase in self.phrases):
            found.append("phrase")
        if "role" in kinds or "planted" in kinds or self.patterns:
            line = await change(text, _small, give_way)
            for kind, signs in (("role", _role), ("planted", _marks)):
                if kind in kinds and await _has(signs(), line, give_way):
                    found.append(kind)
            found += [name for name, pattern in self._own().items() if pattern.search(line)]
        return ", ".join(dict.fromkeys(found))

    def _own(self) -> dict[str, re.Pattern[str]]:
        made = {}
        for name, pattern in self.patterns.items():
            try:
                made[name] = re.compile(pattern)
            except (re.error, TypeError) as exc:
                hint = "Write a regular expression of the module re; in TOML, in single quotes."
                problem = f"{name!r} in patterns of PromptInjection is no regular expression: {exc}"
                raise UsageError(problem, hint=hint) from exc
        return made


@functools.cache
def _phrases(kind: str) -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    """Compiled when first asked for: words of which one must be there, and what then is looked for, both folded."""
    from agno_rt_guardrails.phrases import KINDS as PHRASES  # not needed where its kinds are left out

    return tuple((tuple(map(folded, words.split())), _compiled(source)) for words, source in PHRASES[kind])


def _compiled(source: str) -> re.Pattern[str]:
    source = re.sub(r"^\s*#.*$|\s", "", source, flags=re.MULTILINE)
    return re.compile(re.sub(r"[^\W\d_]+", lambda word: folded(word[0]), source))


def _found(kind: str, letters: str) -> bool:
    return any(
        pattern.search(letters) is not None
        for words, pattern in _phrases(kind)
        if any(word in letters for word in words)
    )


async def _has(pattern: re.Pattern[str], line: str, give_way: GiveWay) -> bool:
    for start, stop in pieces(line):
        if pattern.search(line, start, stop):
            return True
        if len(line) > PIECE:
            await give_way()
    return False


@functools.cache
def _role() -> re.Pattern[str]:
    from agno_rt_guardrails.phrases import ROLE

    return re.compile(ROLE, re.MULTILINE)


@functools.cache
def _marks() -> re.Pattern[str]:
    from agno_rt_guardrails.planted import MARKS

    return re.compile(MARKS)


def folded(text: str) -> str:
    """The letters alone: small, without accents or marks, look-alikes and digits as the letters they stand for."""
    if text.isascii():
        return text.lower().translate(_ascii_table())
    table = {ord(char): _folded(char) or None for char in set(text)}
    # Marks are gone, so this puts together what belongs together, the parts of Korean syllables, and nothing else.
    return unicodedata.normalize("NFC", text.translate(table))


def _small(text: str) -> str:
    """The text in small letters, with plain letters for those of other widths, without what is not seen."""
    if text.isascii():
        return text.lower()
    return text.translate({ord(char): _plain(char) or None for char in set(text)})


@functools.cache
def _ascii_table() -> dict[int, str | None]:
    return {code: _folded(chr(code)) or None for code in range(128)}


MOST_LETTERS = 6
"""A character of more letters than that is a phrase by itself, in no language that is known here; many are too long."""


@functools.lru_cache(maxsize=32_768)
def _folded(char: str) -> str:
    seen = unicodedata.normalize("NFKD", _LOOKS_LIKE.get(char, char)).casefold()
    if len(seen) > MOST_LETTERS:
        return ""
    letters = "".join(_LOOKS_LIKE.get(one, one) for one in seen if not unicodedata.category(one).startswith("M"))
    return "".join(one for one in letters if one.isalnum() and one not in _UNSEEN)


@functools.lru_cache(maxsize=32_768)
def _plain(char: str) -> str:
    if unicodedata.category(char) == "Cf" or char in _UNSEEN:
        return ""
    seen = unicodedata.normalize("NFKC", char).casefold()
    return seen if len(seen) <= MOST_LETTERS else char


_UNSEEN = "\u115f\u1160\u3164\uffa0"
"""Fillers of Korean, which are letters and are not seen."""


def _look_alikes() -> dict[str, str]:
    """What is written in the place of a letter. An l becomes an i, since a 1 may be either."""
    pairs = (
        ("0134578@$9l", "oieastbasgi"),
        ("авекмнорстухіјѕԁһ", "abekmhopctyxijsdh"),
        ("αεικνορτυχ", "aeikvoptux"),
        ("ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ", "abcdeghijkimnoprtuvwyz"),
    )
    table = {one: letter for ones, letters in pairs for one, letter in zip(ones, letters, strict=True)}
    # Letters in flags and in black circles and squares, and the tags that are seen nowhere but by a model.
    for first in (0x1F1E6, 0x1F150, 0x1F170):
        table.update({chr(first + at): chr(ord("a") + at) for at in range(26)})
    table.update({chr(0xE0000 + code): chr(code) for code in range(0x20, 0x7F)})
    return table


_LOOKS_LIKE = _look_alikes()


def _hidden(text: str, *, is_cut: bool) -> Iterator[tuple[str, str]]:
    """What else the text may say: how it is wrapped up, and what is in it. `is_cut` says that it begins anywhere."""
    if inner := " ".join(_base64(text, 4 if is_cut else 1)):
        yield "base64", inner
    if inner := " ".join(_hexadecimal(text, 2 if is_cut else 1)):
        yield "hexadecimal", inner
    if "%" in text or "&" in text or "\\" in text:
        from html import unescape  # these take a millisecond, which few need
        from urllib.parse import unquote

        inner = re.sub(r"\\(?:x|u00|u\{)([0-9A-Fa-f]{2})\}?", lambda code: chr(int(code[1], 16)), unquote(text))
        if (inner := unescape(inner)) != text:
            yield "escapes", inner
    yield "rot13", text.translate(_ROT13)


_A_TO_Z = "abcdefghijklmnopqrstuvwxyz"
_ROT13 = str.maketrans(_A_TO_Z + _A_TO_Z.upper(), (_A_TO_Z[13:] + _A_TO_Z[:13]) + (_A_TO_Z[13:] + _A_TO_Z[:13]).upper())


@functools.cache
def _encoded() -> tuple[re.Pattern[str], re.Pattern[str]]:
    line = "[A-Za-z0-9+/_-]"
    sixteen = rf"(?<!{line}){line}{{16,}}+(?:\r?\n{line}{{4,}}+)*+"
    return re.compile(sixteen), re.compile(r"(?:(?:\\x|0x|%)?[0-9A-Fa-f]{2}[ ,:]?){12,}+")


def _base64(text: str, beginnings: int) -> Iterator[str]:
    for match in _encoded()[0].finditer(text):
        data = re.sub(r"\s", "", match[0]).translate({ord("-"): "+", ord("_"): "/"})
        # One that was cut may have lost a part of its first group of four.
        for at in range(beginnings if match.start() == 0 else 1):
            yield _text(base64.b64decode(data[at : len(data) - ((len(data) - at) % 4 == 1)] + "=="))


def _hexadecimal(text: str, beginnings: int) -> Iterator[str]:
    for match in _encoded()[1].finditer(text):
        digits = re.sub(r"\\x|0x|[^0-9A-Fa-f]", "", match[0])
        for at in range(beginnings if match.start() < 4 else 1):
            yield _text(bytes.fromhex(digits[at : at + (len(digits) - at) // 2 * 2]))


def _text(data: bytes) -> str:
    """What is text of it; every other byte may be empty, as in UTF-16."""
    return data.replace(b"\0", b"").decode("utf-8", "ignore")
