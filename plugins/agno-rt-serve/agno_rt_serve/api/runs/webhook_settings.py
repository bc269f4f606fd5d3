"""The settings of webhooks: the table `[plugins.serve.webhooks]` of agno-rt.toml."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["WebhookSettings"]


@attrs.frozen
class WebhookSettings:
    """Settings of webhooks.

    urls       addresses to tell of the end of each run
    secret     signs the messages, `whsec_` and base64; also those to the `webhook` of a run without a secret of its own
    statuses   the ends of runs to tell of
    private    also tell addresses that are not on the public internet, such as services of your own network
    runs       let requests name a `webhook` of their own
    """

    urls: tuple[str, ...] = ()
    secret: str = attrs.field(default="", repr=False)
    statuses: tuple[Literal["completed", "paused", "failed", "limited", "cancelled"], ...] = (
        "completed",
        "paused",
        "failed",
        "limited",
        "cancelled",
    )
    private: bool = False
    runs: bool = True
