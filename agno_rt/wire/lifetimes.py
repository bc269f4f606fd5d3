"""Reads the lifetime of a token as a token endpoint tells it (`expires_in`). Pure."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["read_lifetime"]


def read_lifetime(value: Any) -> float | None:
    """Return the seconds, given as a number or as text; `None` for anything but a positive, finite number.

    Some endpoints send 0 for an unknown lifetime. A refusal tells when a token without a lifetime is over.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < math.inf else None
