"""Time zones and times: reads both as models write them, and finds the gaps and the repeats of clock changes. Pure."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import attrs

from agno_rt.tools import ToolArgumentError

__all__ = ["Moment", "find_zone", "list_zone_names", "place_time", "read_time", "show_offset", "show_time"]

_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_HINT = "Write a time like 2026-03-29 09:30 or 2026-03-29T09:30:00+02:00."


@attrs.frozen
class Moment:
    """A moment, with a zone, and a note for the model about a time that happens twice."""

    time: datetime
    note: str = ""


def find_zone(name: str) -> tzinfo:
    """Return the zone of a name, a city or an offset: `Europe/Berlin`, `Berlin`, `+02:00`, `UTC`.

    Raises `ToolArgumentError` with the nearest names.
    """
    text = name.strip()
    if text.upper() in ("UTC", "GMT", "Z"):
        return UTC
    match = _OFFSET.fullmatch(text)
    if match is not None and int(match[2]) < 24 and int(match[3] or 0) < 60:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
        return timezone(offset if match[1] == "+" else -offset)
    known = _known_zones()
    found = known.get(_simplify_name(text))
    if found is None:
        near = difflib.get_close_matches(_simplify_name(text), known, n=1, cutoff=0.7)
        hint = f"Did you mean {known[near[0]]!r}?" if near else "list_zones finds names."
        raise ToolArgumentError(f"{text[:100]!r} is not a time zone. {hint}")
    return ZoneInfo(found)


def list_zone_names(search: str) -> list[str]:
    """Return the names of zones with all words of the search, by name."""
    words = [_simplify_name(word) for word in search.replace("/", " ").split()]
    names = {name for name in available_timezones() if not name.startswith(("Etc/", "posix", "right", "SystemV"))}
    return sorted(name for name in names if all(word in _simplify_name(name) for word in words))


def read_time(text: str, zone: tzinfo) -> Moment:
    """Read a time of ISO 8601. A time without an offset is in `zone`.

    A time that happens twice is the earlier one, with a note. Raises `ToolArgumentError` for a text that is not a time,
    and for a time in the gap of a clock change.
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ToolArgumentError(f"{text[:100]!r} is not a time. {_HINT}") from None
    if time.tzinfo is not None:
        return Moment(time)
    return place_time(time, zone)


def place_time(time: datetime, zone: tzinfo, *, skip: bool = False) -> Moment:
    """Return the moment at which the clocks of a zone show the time. See `read_time`.

    With `skip`, a time in a gap is as long after the gap's end, with a note.
    """
    try:
        early, late = time.replace(tzinfo=zone, fold=0), time.replace(tzinfo=zone, fold=1)
        before, after = early.utcoffset(), late.utcoffset()
    except (OverflowError, ValueError):
        raise ToolArgumentError(f"{time.isoformat(' ')} is too far away. Use the years 2 to 9998.") from None
    if before is None or after is None or before == after:
        return Moment(early)
    if before > after:
        return Moment(
            early, f"The clocks show this time twice. This is the earlier; the later is {late.isoformat(' ')}."
        )
    # With the offset before the change, the clock would stand after the gap, and the other way round.
    end = (time.replace(tzinfo=timezone(before))).astimezone(zone)
    begin = (time.replace(tzinfo=timezone(after))).astimezone(zone)
    if skip:
        return Moment(end, f"{time.isoformat(' ')} does not exist in {zone}: the clocks go forward then.")
    problem = f"{time.isoformat(' ')} does not exist in {zone}: the clocks go forward then."
    raise ToolArgumentError(f"{problem} Use {begin.isoformat(' ')} or {end.isoformat(' ')}.")


def show_time(time: datetime) -> str:
    """Return a time as text: `2026-03-29 09:30:00+02:00 (Sunday, Europe/Berlin)`."""
    zone = time.tzinfo
    name = f", {zone.key}" if isinstance(zone, ZoneInfo) else ""
    return f"{time.isoformat(' ')} ({DAYS[time.weekday()]}{name})"


def show_offset(time: datetime) -> str:
    """Return the offset from UTC, such as `UTC+02:00`."""
    return f"UTC{time.isoformat()[-6:]}"


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _simplify_name(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


@cache
def _known_zones() -> dict[str, str]:
    """Return the zones by simple names: each whole name, and each city that one zone alone has."""
    names = sorted(available_timezones())
    known = {_simplify_name(name): name for name in names}
    cities: dict[str, list[str]] = {}
    for name in names:
        if "/" in name and not name.startswith(("Etc/", "posix", "right", "SystemV")):
            cities.setdefault(_simplify_name(name.rpartition("/")[2]), []).append(name)
    return {city: found[0] for city, found in cities.items() if len(found) == 1} | known
