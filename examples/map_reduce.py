"""Map-reduce over a folder: an agent summarises each file, four at a time, and another joins the summaries.

A file that cannot be read does not stop the others.
"""

import tempfile
from pathlib import Path

from agno_rt import Agent, ModelRequest, Workflow, run, step
from agno_rt.testing import ScriptedModel
from agno_rt.workflows import Map

summariser = Agent(ScriptedModel([lambda request: request.messages[-1].text.split(".")[0]] * 3), "summariser")


def join(request: ModelRequest) -> str:
    """Join the summaries, as a model would."""
    return "; ".join(str(each) for each in request.messages[-1].content if not str(each).startswith("failed"))


editor = Agent(ScriptedModel([join]), "editor", "Make one text of the summaries.")


def list_files(folder: str) -> list[str]:
    """List the folder's texts. The list is recorded: files that come later are not part of the run."""
    return sorted(str(path) for path in Path(folder).glob("*.txt"))


@step(retries=1, backoff=0.01, idempotent=True)
def read_file(path: str) -> str:
    """Read a text, in a thread."""
    return Path(path).read_text(encoding="utf-8")


digest = Workflow(
    "digest",
    [
        list_files,
        Map([read_file, summariser], key=lambda path: Path(path).stem, limit=4, on_error="keep"),
        editor,
    ],
)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"a": "Nurseries hold tasks. They end together.", "b": "Scopes cancel. They nest."}.items():
            (Path(folder) / f"{name}.txt").write_text(text, encoding="utf-8")
        (Path(folder) / "broken.txt").write_bytes(b"\xff\xfe\xff")
        print(run(digest, folder).content)
