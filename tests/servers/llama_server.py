"""llama.cpp's HTTP server, from xllamacpp: python llama_server.py PORT MODEL TEMPLATE SLOTS. Runs until killed."""

import signal
import sys
from pathlib import Path

import xllamacpp  # type: ignore[import-untyped]  # it comes without stubs

port, model, template, slots = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = model
params.port = int(port)
params.chat_template = Path(template).read_text()
params.n_ctx = 4096
params.n_parallel = int(slots)
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening at", server.listening_address, flush=True)
signal.pause()
