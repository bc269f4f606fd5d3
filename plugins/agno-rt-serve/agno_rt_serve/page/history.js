// A stored conversation as turns: the session's messages, and stored runs that added no messages.

import { at, get } from "./api.js";
import { textOf } from "./parts.js";

export const AT_ONCE = 60;

// Load the session. Return {known, title, agent, total, shown, turns}; `known` is false if the server does not have
// the session. A turn is {input, parts, record}.
export async function loadHistory(session, last) {
  let [kept, runs] = await loadBoth(session, last);
  // The first turn is shown whole: an answer of many tool calls has more messages than are loaded at once.
  for (let more = 2 * last; isCutOff(kept); more *= 2) [kept, runs] = await loadBoth(session, more);
  const messages = kept?.messages ?? [];
  const turns = placeRuns(turnsOf(messages), runs, messages.length < (kept?.total ?? 0));
  for (const turn of turns) if (turn.record?.status === "paused") turn.parts = await partsOfRun(turn.record.id);
  return {
    known: kept !== null,
    title: kept?.title ?? "",
    agent: kept?.agent ?? null,
    total: kept?.total ?? 0,
    shown: messages.length,
    turns,
  };
}

const isCutOff = (kept) => kept !== null && kept.messages.length < kept.total && kept.messages[0]?.role !== "user";

// Load the session and its runs. A run that ends in between is in neither: load again if the session has grown.
async function loadBoth(session, last) {
  const look = (count) =>
    get(at("sessions", session), { last: count }).catch((problem) => {
      if (problem.status === 404) return null;
      throw problem;
    });
  for (let attempt = 1; ; attempt += 1) {
    const kept = await look(last);
    const runs = await get("/runs", { session, limit: 100 }).then(
      (body) => body.runs.filter((run) => !run.parent),
      () => [],
    );
    if (attempt === 3 || (await look(1))?.total === kept?.total) return [kept, runs];
  }
}

function turnsOf(messages) {
  const turns = [];
  for (const message of messages) {
    if (message.role === "user" || !turns.length)
      turns.push({ input: message.role === "user" ? message.content : null, parts: [], record: null });
    const { parts } = turns.at(-1);
    if (message.role === "assistant") {
      if (message.reasoning) parts.push({ kind: "reasoning", text: message.reasoning });
      if (textOf(message.content ?? "")) parts.push({ kind: "text", text: textOf(message.content), done: true });
      for (const { id, name, arguments: given } of message.tool_calls ?? [])
        parts.push({ kind: "tool", id, name, arguments: given, state: "completed", result: "" });
    } else if (message.role === "tool") {
      const part = parts.findLast((one) => one.kind === "tool" && one.id === message.tool_call_id);
      if (part) part.result = textOf(message.content ?? "");
    } else if (message.role === "system") {
      parts.push({ kind: "note", text: textOf(message.content) });
    }
  }
  return turns;
}

// Give each turn its run, and insert runs that failed or are not over at their place in time. Messages do not name
// their run, so a run is matched by the text of its input.
function placeRuns(turns, runs, cut) {
  let place = 0;
  for (const record of runs.toSorted((a, b) => a.created_at - b.created_at)) {
    const found = turns.findIndex(
      (turn, index) =>
        index >= place && turn.record === null && turn.input !== null && textOf(turn.input) === record.input,
    );
    if (found >= 0 && (record.status === "completed" || record.status === "limited")) {
      turns[found].record = record;
      place = found + 1;
    } else if (record.status !== "completed" && (!cut || place > 0 || record.status === "paused")) {
      turns.splice(place, 0, { input: record.input, parts: unfinished(record), record, live: isLive(record) });
      place += 1;
    }
  }
  return turns;
}

// Return the parts of a paused run, from its steps: the session has none of its messages yet.
async function partsOfRun(id) {
  const { steps, approvals } = await get(at("runs", id)).catch(() => ({ steps: [], approvals: [] }));
  const waiting = new Set(approvals.filter((one) => one.status === "pending").map((one) => one.call.id));
  const messages = steps.flatMap((step) => {
    if (step.kind === "answered")
      return [
        { role: "assistant", content: step.content ?? "", reasoning: step.reasoning, tool_calls: step.tool_calls },
      ];
    return step.kind === "called" ? [{ role: "tool", content: step.content ?? "", tool_call_id: step.call }] : [];
  });
  const parts = messages.length ? turnsOf(messages)[0].parts : [];
  for (const part of parts) if (part.kind === "tool" && waiting.has(part.id)) part.state = "waiting";
  return parts;
}

const isLive = (record) => record.status === "running" && !record.stopped;

function unfinished(record) {
  if (record.stopped)
    return [{ kind: "note", text: "This run was cut off when its server ended. It can be resumed under Runs." }];
  if (isLive(record)) return []; // its events are followed
  if (record.status === "cancelled") return [{ kind: "note", text: "Stopped." }];
  const [text, ...hint] = (record.error ?? "").split("\n");
  return text ? [{ kind: "error", text, hint: hint.join("\n") }] : [];
}
