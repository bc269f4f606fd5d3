// Requests to the server. Knows the errors of routes, not how the page shows them.

// An error in words for a person; `hint` is for the person who runs the server.
export class Problem extends Error {
  constructor(message, { hint = "", status = 0, code = "" } = {}) {
    super(message);
    Object.assign(this, { hint, status, code });
  }
  // The message and the hint as sentences of one text.
  get words() {
    const sentences = [this.message, this.hint].filter(Boolean);
    return sentences.map((one) => one[0].toUpperCase() + one.slice(1) + (/[.!?:…]$/.test(one) ? "" : ".")).join(" ");
  }
}

async function send(path, { body, form, headers = {}, ...options } = {}) {
  if (form) options.body = form;
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem("The server cannot be reached.", {
      code: "unreachable",
      hint: "Start it again with agno-rt serve, then send your message again.",
    });
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401) document.dispatchEvent(new CustomEvent("key-wanted", { detail: problem }));
  throw problem;
}

async function problemOf(response) {
  try {
    const { error } = await response.json();
    return new Problem(error.message, { hint: error.hint ?? "", status: response.status, code: error.code });
  } catch {
    return new Problem(`The server answered ${response.status}.`, { status: response.status });
  }
}

// Return the answer's JSON; null for an answer without a body.
export async function call(path, options = {}) {
  const response = await send(path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path, query = {}) => {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  return call(asked.size ? `${path}?${asked}` : path);
};

// Post files as a form, and return the answer's JSON.
export function upload(path, files) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name);
  return send(path, { method: "POST", form }).then((response) => response.json());
}

// Return the address, within this page, of the picture at the path.
export async function image(path) {
  return URL.createObjectURL(await (await send(path)).blob());
}

// Return the path of these segments, each encoded.
export const at = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;

// Yield the events of an answering stream: pairs of the event's number (0 without one) and the event.
async function* read(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = { id: "0", data: "" };
      for (const line of block.split("\n")) {
        const [name, text] = [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()];
        fields[name] = name === "data" ? fields.data + text : text;
      }
      if (fields.data) yield [Number(fields.id), JSON.parse(fields.data)];
    }
  }
}

// Post, and yield the events of the answering stream.
export async function* stream(path, body, signal) {
  const response = await send(path, { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
  for await (const [, event] of read(response)) yield event;
}

const WAITS = [500, 1000, 2000, 4000, 8000, 8000, 8000]; // milliseconds before each attempt to connect again

// Post, and yield the events of the run that begins; go on where the stream broke off if the connection is lost.
// `onLost` is called with true when it is lost, and with false when it is back.
export async function* streamRun(path, body, signal, onLost) {
  const response = await send(path, { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
  yield* keep(response, { run: "", last: 0, ended: "" }, signal, onLost);
}

// Yield the events of a run under way, or over, from the first one.
export async function* followRun(run, signal, onLost) {
  yield* keep(await reconnect(run, 0, signal), { run, last: 0, ended: "" }, signal, onLost);
}

const reconnect = (run, last, signal) =>
  send(at("runs", run, "events"), { signal, headers: { Accept: "text/event-stream", "Last-Event-ID": String(last) } });

const isUnderWay = (run) =>
  get(at("runs", run)).then(
    (record) => record.status === "running",
    () => false,
  );

async function* keep(first, state, signal, onLost) {
  let response = first;
  let attempt = 0;
  for (;;) {
    try {
      for await (const [number, event] of read(response)) {
        attempt = 0;
        if (number) state.last = number;
        if (!state.run && event.type === "run_started" && !event.path) state.run = event.run_id;
        // A run that was paused and resumed has several ends; only the last one ends the stream.
        if (event.run_id === state.run && event.type === "run_started") state.ended = "";
        if (event.run_id === state.run && event.type === "run_ended") state.ended = event.status;
        yield event;
        if (state.ended && state.ended !== "paused") return;
      }
      if (state.ended) return;
      // Nothing more comes from a run that is over. One whose server was killed is taken over, by a server of the same
      // memory, after a while.
      if (response.status === 204 && !(await isUnderWay(state.run))) return;
    } catch (error) {
      if (signal?.aborted || error instanceof Problem) throw error;
    }
    // The connection is lost, or the server went away. A run without a number is not kept: nothing to go on with.
    if (!state.last || !state.run) return;
    onLost?.(true);
    for (;;) {
      if (attempt >= WAITS.length)
        throw new Problem("The connection was lost before the answer was complete.", {
          hint: "If the server is running again, reload the page: the answer goes on, or is complete.",
        });
      await new Promise((done) => setTimeout(done, WAITS[attempt]));
      attempt += 1;
      if (signal?.aborted) throw new DOMException("stopped", "AbortError");
      try {
        response = await reconnect(state.run, state.last, signal);
        break;
      } catch (problem) {
        if (signal?.aborted || problem.code !== "unreachable") throw problem;
      }
    }
    onLost?.(false);
  }
}
