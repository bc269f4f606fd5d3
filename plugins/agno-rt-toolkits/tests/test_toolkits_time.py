"""The toolkit `time`: zones, conversions and sums, also when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from agno_rt_toolkits.time import time_tools

from agno_rt.errors import UsageError
from agno_rt.tools import ToolArgumentError

LATER = "This is the earlier; the later is 2026-10-25 02:30:00+01:00.]"
GAP = "[2026-03-29 02:30:00 does not exist in Europe/Berlin: the clocks go forward then.]"
NOON = datetime(2026, 3, 29, 12, 0, 0, 999, tzinfo=UTC)


def use(name: str, /, *, own: str = "Europe/Berlin", **arguments: Any) -> str:
    """Call a tool of a toolkit whose clock shows noon of 2026-03-29, UTC."""
    [found] = [each for each in time_tools(own, clock=lambda: NOON).tools if each.name == name]
    result: str = found(**arguments)
    return result


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("", "2026-03-29 14:00:00+02:00 (Sunday, Europe/Berlin), UTC+02:00, week 13"),
        ("UTC", "2026-03-29 12:00:00+00:00 (Sunday), UTC+00:00, week 13"),
        ("Asia/Kolkata", "2026-03-29 17:30:00+05:30 (Sunday, Asia/Kolkata), UTC+05:30, week 13"),
        ("tokyo", "2026-03-29 21:00:00+09:00 (Sunday, Asia/Tokyo), UTC+09:00, week 13"),
        ("new york", "2026-03-29 08:00:00-04:00 (Sunday, America/New_York), UTC-04:00, week 13"),
        ("+05:45", "2026-03-29 17:45:00+05:45 (Sunday), UTC+05:45, week 13"),
        ("Pacific/Kiritimati", "2026-03-30 02:00:00+14:00 (Monday, Pacific/Kiritimati), UTC+14:00, week 14"),
    ],
)
def test_the_time_now(zone: str, told: str) -> None:
    """The time now is told in any zone: by name, by city, by offset."""
    assert use("current_time", zone=zone) == told


@pytest.mark.parametrize(
    ("name", "near"),
    [("Europe/Berlim", "Did you mean 'Europe/Berlin'?"), ("Narnia", "list_zones finds names"), ("../passwd", "is not")],
)
def test_an_unknown_zone(name: str, near: str) -> None:
    """An unknown zone is refused with the nearest name; a path is not a zone."""
    with pytest.raises(ToolArgumentError, match="is not a time zone") as caught:
        use("current_time", zone=name)
    assert near in str(caught.value)


def test_the_zone_of_the_toolkit_exists() -> None:
    """A toolkit with an unknown zone is refused when it is made."""
    with pytest.raises(UsageError, match="'Berlon' is not a time zone") as caught:
        time_tools("Berlon")
    assert "toolkits:time:Europe/Berlin" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            {"time": "2026-07-01 09:30", "to_zone": "America/New_York"},
            "2026-07-01 03:30:00-04:00 (Wednesday, America/New_York)",
        ),
        (
            {"time": "2026-01-01T00:00:00Z", "to_zone": "Asia/Tokyo"},
            "2026-01-01 09:00:00+09:00 (Thursday, Asia/Tokyo)",
        ),
        (
            {"time": "2026-12-31 23:30", "from_zone": "America/Los_Angeles", "to_zone": "Berlin"},
            "2027-01-01 08:30:00+01:00 (Friday, Europe/Berlin)",
        ),
        (
            {"time": "2026-10-25 02:30", "to_zone": "UTC"},
            "2026-10-25 00:30:00+00:00 (Sunday)\n[The clocks show this time twice. " + LATER,
        ),
        # The weeks between the changes in America and in Europe.
        (
            {"time": "2026-03-16 12:00", "to_zone": "America/New_York"},
            "2026-03-16 07:00:00-04:00 (Monday, America/New_York)",
        ),
    ],
)
def test_conversions(arguments: dict[str, str], told: str) -> None:
    """A time is converted with the offset of its day; a time that happens twice is named."""
    assert use("convert_time", **arguments) == told


def test_a_time_in_the_gap() -> None:
    """A time that the clocks leave out is refused with the times on both sides."""
    with pytest.raises(ToolArgumentError) as caught:
        use("convert_time", time="2026-03-29 02:30", to_zone="UTC")
    told = str(caught.value)
    assert told == (
        "2026-03-29 02:30:00 does not exist in Europe/Berlin: the clocks go forward then."
        " Use 2026-03-29 01:30:00+01:00 or 2026-03-29 03:30:00+02:00."
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        # A calendar day keeps the time of day; 24 hours do not, when clocks change.
        (
            {"time": "2026-03-28 12:00", "amount": 1, "unit": "days"},
            "2026-03-29 12:00:00+02:00 (Sunday, Europe/Berlin)",
        ),
        (
            {"time": "2026-03-28 12:00", "amount": 24, "unit": "hours"},
            "2026-03-29 13:00:00+02:00 (Sunday, Europe/Berlin)",
        ),
        (
            {"time": "2026-10-24 12:00", "amount": 24, "unit": "hours"},
            "2026-10-25 11:00:00+01:00 (Sunday, Europe/Berlin)",
        ),
        (
            {"time": "2026-01-31 08:00", "amount": 1, "unit": "months"},
            "2026-02-28 08:00:00+01:00 (Saturday, Europe/Berlin)",
        ),
        (
            {"time": "2024-02-29 08:00", "amount": 1, "unit": "years"},
            "2025-02-28 08:00:00+01:00 (Friday, Europe/Berlin)",
        ),
        ({"time": "2026-03-01", "amount": -1, "unit": "days"}, "2026-02-28 00:00:00+01:00 (Saturday, Europe/Berlin)"),
        (
            {"time": "2026-01-15 00:00", "amount": -13, "unit": "months"},
            "2024-12-15 00:00:00+01:00 (Sunday, Europe/Berlin)",
        ),
        (
            {"time": "2026-03-29 01:59:59", "amount": 1, "unit": "seconds"},
            "2026-03-29 03:00:00+02:00 (Sunday, Europe/Berlin)",
        ),
        ({"time": "2026-03-29T00:30Z", "amount": 90, "unit": "minutes"}, "2026-03-29 02:00:00+00:00 (Sunday)"),
        (
            {"time": "2026-03-29T00:30Z", "zone": "Berlin", "amount": 1, "unit": "weeks"},
            "2026-04-05 01:30:00+02:00 (Sunday, Europe/Berlin)",
        ),
        (
            {"time": "2026-03-28 02:30", "amount": 1, "unit": "days"},
            "2026-03-29 03:30:00+02:00 (Sunday, Europe/Berlin)\n" + GAP,
        ),
        # An hour across the repeat: from the first 02:30 to the second.
        (
            {"time": "2026-10-25T02:30+02:00", "zone": "Berlin", "amount": 1, "unit": "hours"},
            "2026-10-25 02:30:00+01:00 (Sunday, Europe/Berlin)",
        ),
    ],
)
def test_sums(arguments: dict[str, Any], told: str) -> None:
    """Days and months move the calendar, hours are elapsed time."""
    assert use("add_duration", **arguments) == told


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2026-03-28 12:00", "2026-03-29 12:00", "23 hours (82800 seconds); 1 calendar days"),
        ("2026-10-24 12:00", "2026-10-25 12:00", "1 day, 1 hour (90000 seconds); 1 calendar days"),
        ("2026-01-01", "2025-12-31", "-1 day (-86400 seconds); -1 calendar days"),
        ("2026-01-01T00:00Z", "2026-01-01T00:00:00.5Z", "0.5 seconds (0.5 seconds); 0 calendar days"),
        ("2026-01-01", "2026-01-01", "0 seconds (0 seconds); 0 calendar days"),
    ],
)
def test_durations(start: str, end: str, told: str) -> None:
    """The elapsed time counts clock changes; calendar days do not."""
    assert use("time_between", start=start, end=end) == told


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("add_duration", {"time": "tomorrow", "amount": 1, "unit": "days"}),
        ("add_duration", {"time": "2026-01-01", "amount": 9000, "unit": "years"}),
        ("add_duration", {"time": "2026-01-01", "amount": 4e6, "unit": "days"}),
        ("add_duration", {"time": "2026-01-01", "amount": -1e12, "unit": "seconds"}),
        ("add_duration", {"time": "2026-01-01", "amount": 1.5, "unit": "months"}),
        ("convert_time", {"time": "0001-01-01 00:00", "to_zone": "America/New_York"}),
        ("time_between", {"start": "2026-13-01", "end": "2026-01-01"}),
    ],
)
def test_impossible_times_are_told(name: str, arguments: dict[str, Any]) -> None:
    """A text that is not a time, and a time out of range, are errors for the model."""
    with pytest.raises(ToolArgumentError, match=r"is not a time|too far away|whole"):
        use(name, **arguments)


def test_zones_are_found() -> None:
    """Zones are found by any part of their names; long lists are cut."""
    assert use("list_zones", search="berlin") == "Europe/Berlin"
    assert "America/Argentina/Buenos_Aires" in use("list_zones", search="argentina buenos aires").splitlines()
    assert use("list_zones", search="atlantis").startswith("No zone")
    shown = use("list_zones", search="a").splitlines()
    assert len(shown) == 101
    assert "more; search for a longer word" in shown[-1]
