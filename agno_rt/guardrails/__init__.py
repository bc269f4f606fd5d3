"""The guardrails that ship: prompt injection, personal data, secrets, length, and moderation by a model.

Each is a value that checks one text at a time, on the input or the output of a run. All but `Moderation` work by
patterns, in a time that grows with the text and no faster; none opens anything, and none is asked for its options
again once it is made. Knows nothing of how a run runs.
"""

from __future__ import annotations

from agno_rt.guardrails._injection import PromptInjection as PromptInjection
from agno_rt.guardrails._length import Length as Length
from agno_rt.guardrails._moderation import Moderation as Moderation
from agno_rt.guardrails._pii import PII as PII
from agno_rt.guardrails._secrets import Secrets as Secrets

__all__ = ["PII", "Length", "Moderation", "PromptInjection", "Secrets"]
