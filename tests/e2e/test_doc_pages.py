"""Readers of the tutorial and the how-to guides meet what is written there: every file and every command is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.doc_pages import File, follow_page, read_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.usefixtures("weights", "curl_is_here")
def test_the_tutorial(tmp_path: Path) -> None:
    """From the first agent to its test, in one folder, with the embedded model."""
    follow_page(DOCS / "tutorial" / "index.md", tmp_path, {}, {})
