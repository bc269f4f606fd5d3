// Requests to the server. Knows the errors of routes, not how the page shows them.

// An error in words for a person; `hint` is for the person who runs the server.
export class Problem extends Error {
  constructor(message, { hint = "", status = 0, code = "" } = {}) {
    super(message);
    Object.assign(this, { hint, status, code });
  }
}

async function send(path, { body, headers = {}, ...options } = {}) {
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

// Return the path of these segments, each encoded.
export const at = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;

// Post, and yield the events of the answering stream.
export async function* stream(path, body, signal) {
  const response = await send(path, { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5))
        .join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}
