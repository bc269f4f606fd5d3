"""The lifetime of a token, from any answer of a token endpoint."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agno_rt.wire.lifetimes import read_lifetime

_ODD: tuple[Any, ...] = (
    *(0, -1, math.nan, math.inf, -math.inf, 10**400, True, None, [], {}),
    *("", "soon", "nan", "inf", "-1", "1e999", "9" * 5000),
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        (0.5, 0.5),
        ("3600", 3600.0),
        (1e300, 1e300),
        *((odd, None) for odd in _ODD),
    ],
)
def test_lifetimes(value: Any, seconds: float | None) -> None:
    """Only a positive, finite number of seconds counts."""
    assert read_lifetime(value) == seconds
