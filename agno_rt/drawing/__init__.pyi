# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.drawing.load_tree import load_run_tree as load_run_tree
from agno_rt.drawing.mermaid import render_mermaid as render_mermaid
from agno_rt.drawing.stored_run import StoredRun as StoredRun
from agno_rt.drawing.stored_run import draw_stored_run as draw_stored_run
from agno_rt.drawing.svg import render_svg as render_svg
from agno_rt.drawing.timeline import Row as Row
from agno_rt.drawing.timeline import list_rows as list_rows
