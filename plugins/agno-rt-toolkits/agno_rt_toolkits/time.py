"""The toolkit `time`: the time now, in any zone, and sums of times that are right when clocks change."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

from agno_rt.errors import UsageError
from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool
from agno_rt_toolkits.zones import (
    Moment,
    find_zone,
    list_zone_names,
    place_time,
    read_time,
    show_offset,
    show_time,
)

__all__ = ["time_tools"]

MOST_ZONES = 100
"""The most names in one answer of `list_zones`."""

_OPTIONS: dict[str, Any] = {"inline": True, "read_only": True, "destructive": False}
_LASTING: dict[str, Any] = {**_OPTIONS, "idempotent": True}

Text = Annotated[str, Meta(max_length=100)]
Unit = Literal["years", "months", "weeks", "days", "hours", "minutes", "seconds"]

_ELAPSED = ("hours", "minutes", "seconds")
_CALENDAR = {"years": (12, 0), "months": (1, 0), "weeks": (0, 7), "days": (0, 1)}
"""The months and days of a unit."""


def time_tools(zone: str = "UTC", *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Toolkit:
    """Make the tools for times. `zone` is the zone of times without one; `clock` returns the time now.

    Raises `UsageError` for an unknown zone.
    """
    try:
        find_zone(zone)
    except ToolArgumentError as exc:
        raise UsageError(str(exc), hint="Write toolkits:time:Europe/Berlin, or zone in [plugins.toolkits].") from exc
    return Toolkit("time", (_current_tool(zone, clock), *_changing_tools(zone), *_comparing_tools(zone)))


def _current_tool(default: str, clock: Callable[[], datetime]) -> Tool:
    @tool(**_OPTIONS)
    def current_time(zone: Text = "") -> str:
        """Tell the time now, with the date and the day of the week.

        Args:
            zone: a time zone, such as Europe/Berlin; empty for the user's own
        """
        now = clock().astimezone(find_zone(zone or default)).replace(microsecond=0)
        return f"{show_time(now)}, {show_offset(now)}, week {now.isocalendar().week}"

    return current_time


def _changing_tools(default: str) -> list[Tool]:
    @tool(**_LASTING)
    def convert_time(time: Text, to_zone: Text, from_zone: Text = "") -> str:
        """Convert a time to another time zone.

        Args:
            time: a time, such as 2026-03-29 09:30
            to_zone: the zone to convert to, such as Asia/Tokyo
            from_zone: the zone of a time without an offset; empty for the user's own
        """
        moment = read_time(time, find_zone(from_zone or default))
        return _add_note(show_time(_move_time(moment.time, find_zone(to_zone))), moment.note)

    @tool(**_LASTING)
    def add_duration(time: Text, amount: Annotated[float, Meta(ge=-1e12, le=1e12)], unit: Unit, zone: Text = "") -> str:
        """Add a duration to a time; a negative amount goes back.

        Years, months, weeks and days move the date and keep the time of day; the others are elapsed time.

        Args:
            time: a time, such as 2026-03-29 09:30
            amount: the number of units; whole for years, months, weeks and days
            unit: the unit
            zone: the zone to calculate in; empty for the user's own, or the offset of the time
        """
        start = read_time(time, find_zone(zone or default))
        if zone:
            start = attrs.evolve(start, time=_move_time(start.time, find_zone(zone)))
        try:
            moved = _add_amount(start, amount, unit)
        except (OverflowError, ValueError):
            raise ToolArgumentError("The result is too far away. Use the years 2 to 9998.") from None
        return _add_note(show_time(moved.time), moved.note)

    return [convert_time, add_duration]


def _comparing_tools(default: str) -> list[Tool]:
    @tool(**_LASTING)
    def time_between(start: Text, end: Text, zone: Text = "") -> str:
        """Tell the elapsed time between two times, and the number of calendar days.

        Args:
            start: a time, such as 2026-03-29 09:30
            end: another time; a negative duration if it is earlier
            zone: the zone of times without an offset; empty for the user's own
        """
        own = find_zone(zone or default)
        first, last = read_time(start, own), read_time(end, own)
        elapsed = last.time.astimezone(UTC) - first.time.astimezone(UTC)
        days = (last.time.date() - first.time.date()).days
        text = f"{_show_duration(elapsed)} ({elapsed.total_seconds():.15g} seconds); {days:,} calendar days"
        return _add_note(text, first.note or last.note)

    @tool(**_LASTING)
    def list_zones(search: Annotated[str, Meta(min_length=1, max_length=100)]) -> str:
        """List the names of time zones with a word, such as a city or a continent.

        Args:
            search: a part of the name
        """
        names = list_zone_names(search)
        more = [f"[... {len(names) - MOST_ZONES:,} more; search for a longer word]"] if len(names) > MOST_ZONES else []
        return "\n".join(names[:MOST_ZONES] + more) or "No zone has this name. Try the capital, or the continent."

    return [time_between, list_zones]


def _add_amount(start: Moment, amount: float, unit: Unit) -> Moment:
    if unit in _ELAPSED:
        # In UTC: Python adds to local times without regard to clock changes.
        end = start.time.astimezone(UTC) + timedelta(**{unit: amount})
        return Moment(end.astimezone(start.time.tzinfo), start.note)
    if amount % 1:
        hint = "Use a smaller unit: hours are elapsed time."
        raise ToolArgumentError(f"{amount:g} {unit} is not a whole number of {unit}. {hint}")
    months, days = _CALENDAR[unit]
    return _move_date(start, months * int(amount), days * int(amount))


def _move_date(moment: Moment, months: int, days: int) -> Moment:
    """Return the moment some months and days later, at the same time of day."""
    zone, time = moment.time.tzinfo, moment.time
    if zone is None or not (months or days):
        return moment
    count = time.year * 12 + time.month - 1 + months
    year, month = count // 12, count % 12 + 1
    if not 1 < year < 9_999:
        raise OverflowError
    day = min(time.day, calendar.monthrange(year, month)[1])
    moved = time.replace(year=year, month=month, day=day, tzinfo=None, fold=0) + timedelta(days=days)
    return place_time(moved, zone, skip=True)


def _move_time(time: datetime, zone: tzinfo) -> datetime:
    try:
        return time.astimezone(zone)
    except (OverflowError, ValueError):
        raise ToolArgumentError("The result is too far away. Use the years 2 to 9998.") from None


def _add_note(text: str, note: str) -> str:
    return f"{text}\n[{note}]" if note else text


def _show_duration(elapsed: timedelta) -> str:
    sign, rest = ("-", -elapsed) if elapsed < timedelta(0) else ("", elapsed)
    minutes, seconds = divmod(rest.seconds, 60)
    parts = [(rest.days, "day"), (minutes // 60, "hour"), (minutes % 60, "minute")]
    shown = [f"{number:,} {unit}{'' if number == 1 else 's'}" for number, unit in parts if number]
    exact = seconds + rest.microseconds / 1_000_000
    if exact or not shown:
        shown.append(f"{exact:.15g} second{'' if exact == 1 else 's'}")
    return sign + ", ".join(shown)
