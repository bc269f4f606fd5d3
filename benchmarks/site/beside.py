"""The table of peers on the opening page: the results of the last `make peers`, in benchmarks/peers/results.json.

Pure: results come in, HTML goes out. Rows and cells have the same words as on the performance page.
"""

from __future__ import annotations

from html import escape

from benchmarks.peers.results import Results
from benchmarks.peers.rows import OURS, PEERS, ROWS
from benchmarks.peers.table import figure

__all__ = ["peers_part"]


def peers_part(results: Results) -> str:
    """Return the table of peers with the date, the machine and the versions; an empty text without results."""
    kinds = [kind for kind in PEERS if kind.name in results.peers]
    rows = [row for row in ROWS if any("best" in found for found in results.rows.get(row.name, {}).values())]
    if not kinds or not rows:
        return ""
    head = "".join(f"<th class=number>{escape(kind.title)}" for kind in kinds)
    lines = []
    for row in rows:
        cells = "".join(_render_cell(figure(results, row, kind.name), kind.name) for kind in kinds)
        lines.append(f"<tr><td class=words>{escape(row.text)}</td>{cells}</tr>")
    return (
        "<h2 id=peers>Beside other frameworks</h2>\n"
        f"<p>{_describe_source(results)} In brackets: how many times as fast, or as small, agno_rt is. The "
        "performance page, docs/performance.md, explains the rows and the dashes; <code>make peers</code> measures "
        "the table again.</p>\n"
        f"<div class=wide><table class=peers><tr><th>work{head}</tr>\n" + "\n".join(lines) + "\n</table></div>"
    )


def _render_cell(text: str | None, peer: str) -> str:
    if text is None:
        return "<td class=number>&mdash;</td>"
    own, _, ratio = text.partition(" (")
    shown = f"<b>{escape(own)}</b>" if peer == OURS else escape(own)
    return f"<td class=number>{shown}" + (f"<br><span class=soft>({escape(ratio)}</span>" if ratio else "") + "</td>"


def _describe_source(results: Results) -> str:
    machine = results.machine
    versions = "; ".join(
        f"{kind.title} {next(iter(found.values()))}"
        for kind in PEERS
        if (found := results.peers.get(kind.name, {}).get("versions"))
    )
    facts = [machine.get("cpu", ""), f"{machine.get('num_cpu', '?')} cores", machine.get("ram", "")]
    described = ", ".join(fact for fact in facts if fact)
    return escape(f"Measured on {results.date}, side by side on one machine ({described}): {versions}.")
