"""llama.cpp's HTTP server for embeddings, from xllamacpp: python embedding_server.py PORT MODEL. Runs until killed."""

import signal
import sys

import xllamacpp  # type: ignore[import-untyped]  # it comes without stubs

port, model = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = model
params.port = int(port)
params.embedding = True
params.n_ctx = params.n_batch = params.n_ubatch = 512
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening at", server.listening_address, flush=True)
signal.pause()
