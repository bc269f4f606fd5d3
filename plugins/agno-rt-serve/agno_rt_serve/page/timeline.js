// The timeline of a run while it runs: spans of model calls, tools, steps and runs within, from the run's events.

import { el, lasted, plural, pretty } from "./dom.js";

export class Timeline {
  constructor() {
    this.runId = "";
    this.spans = [];
    this.#runs = new Map();
  }
  #runs; // the spans of each run that began, by the run's id

  // Take an event that came at a time in milliseconds since the run began.
  take(event, now) {
    if (event.type === "run_started") return this.#begin(event, now);
    const run = this.#runs.get(event.run_id);
    if (run) this[`on_${event.type}`]?.(run, event, now);
  }
  // End the spans that are still open: the stream is over.
  close(now, status = "cancelled") {
    for (const run of this.#runs.values())
      for (const span of run.within) if (span.end === null) Object.assign(span, { end: now, status });
  }

  #begin(event, now) {
    if (this.#runs.has(event.run_id)) return;
    if (!this.runId && !event.path) {
      this.runId = event.run_id;
      this.#runs.set(event.run_id, { within: this.spans });
      return;
    }
    const around = this.#runs.get(event.parent) ?? { within: this.spans };
    const span = this.#open(around, "run", event.agent || "agent", event.run_id, now);
    span.path = event.path;
    this.#runs.set(event.run_id, span);
  }
  #open(run, kind, name, id, now) {
    const span = { kind, name, id, start: now, end: null, status: "running", about: "", texts: [], within: [] };
    run.within.push(span);
    return span;
  }
  #close(run, kind, id, now, status, about = "") {
    const span = run.within.findLast((one) => one.kind === kind && one.id === id && one.end === null);
    return span && Object.assign(span, { end: now, status, about });
  }

  on_model_started(run, event, now) {
    this.#open(run, "model", event.model || "answered by a hook", String(event.turn), now);
  }
  on_model_ended(run, event, now) {
    const used = event.usage.output_tokens ? spent(event.usage) : "";
    this.#close(run, "model", String(event.turn), now, event.status, used);
  }
  on_tool_started(run, event, now) {
    const span = this.#open(run, "tool", event.call.name, event.call.id, now);
    span.texts.push(["Arguments", pretty(event.call.arguments)]);
  }
  on_tool_ended(run, event, now) {
    const span = this.#close(run, "tool", event.call.id, now, event.status);
    span?.texts.push([event.status === "completed" ? "Result" : "Outcome", pretty(event.content) || "Nothing"]);
  }
  on_step_started(run, event, now) {
    this.#open(run, "step", event.path.split("/").at(-1), event.path, now);
  }
  on_step_ended(run, event, now) {
    const span = this.#close(run, "step", event.path, now, event.status);
    if (event.error) span?.texts.push(["Error", event.error]);
  }
  on_approval_asked(run, event, now) {
    this.#open(run, "person", `${event.call.name} waits for a person`, event.approval, now);
    this.#close(run, "person", event.approval, now, "waiting");
  }
  on_approval_reviewed(run, event, now) {
    const how = event.approved ? "approved" : "left to a person";
    this.#open(run, "person", `${event.call.name}: ${how} by ${event.by}`, `review ${event.call.id}`, now);
    const span = this.#close(run, "person", `review ${event.call.id}`, now, "completed");
    if (event.reason) span?.texts.push(["Reason", event.reason]);
  }
  on_run_ended(run, event, now) {
    if (event.run_id === this.runId) return;
    const used = event.usage.output_tokens ? spent(event.usage) : "";
    Object.assign(run, { end: now, status: event.status, about: used });
    if (event.content) run.texts.push(["Answer", event.content]);
    if (event.error) run.texts.push(["Error", event.error]);
  }
}

// Return the rows of a stored run as spans, those of a part within the part; times become milliseconds.
export function nestRows(rows) {
  const spans = [];
  const around = [];
  for (const row of rows) {
    const span = {
      kind: row.kind === "agent" || row.kind === "team" || row.kind === "workflow" ? "run" : row.kind,
      name: row.name,
      id: "",
      start: 1000 * (row.began ?? row.ended ?? 0),
      end: row.ended === null ? null : 1000 * row.ended,
      status: row.state,
      about: "",
      texts: [],
      within: [],
    };
    around.length = row.depth;
    (around.at(-1)?.within ?? spans).push(span);
    around.push(span);
  }
  for (const span of spans) span.within.forEach(fillTimes);
  return spans;
}

// A group and a branch have no times of their own: they last as long as their parts.
function fillTimes(span) {
  span.within.forEach(fillTimes);
  if (span.status || !span.within.length) return;
  span.start = Math.min(...span.within.map((one) => one.start));
  const ends = span.within.map((one) => one.end);
  span.end = ends.includes(null) ? null : Math.max(...ends);
}

// Return the tokens and the cost in words.
export function spent(usage) {
  const words = [`${plural(usage.input_tokens, "token")} in, ${usage.output_tokens.toLocaleString()} out`];
  if (usage.cost) words.push(`$${usage.cost.toPrecision(2)}`);
  return words.join(" · ");
}

// Draw spans as rows with bars; `whole` is the time that the width stands for. Spans within are rows of a list within.
export function drawTimeline(spans, whole) {
  return el("ol", { class: "timeline" }, spans.map((span) => drawSpan(span, whole)));
}

const WORDS = { model: "Model", tool: "Tool", step: "Step", run: "Run", person: "Person" };

function drawSpan(span, whole) {
  const end = span.end ?? whole;
  const bar = el("span", { class: "bar" });
  bar.style.left = `${(100 * span.start) / whole}%`;
  bar.style.width = `${Math.max(0.5, (100 * (end - span.start)) / whole)}%`;
  const name = span.kind === "model" && span.id ? `Turn ${span.id}: ${span.name}` : span.name;
  const row = [
    el("span", { class: "what", title: `${WORDS[span.kind] ?? span.kind}: ${span.path || name}` }, name),
    el("span", { class: "track", "aria-hidden": "true" }, bar),
    el("span", { class: "took" }, span.kind === "person" ? "" : lasted(end - span.start)),
  ];
  const bad = ["failed", "limited", "cancelled", "denied"].includes(span.status);
  const about = [bad ? span.status : "", span.about].filter(Boolean).join(" · ");
  return el(
    "li",
    { "data-kind": span.kind, "data-state": span.status },
    span.texts.length
      ? el(
          "details",
          { class: "span" },
          el("summary", { class: "row" }, row),
          span.texts.map(([title, text]) => [el("h4", {}, title), el("pre", { tabindex: "0" }, text)]),
        )
      : el("div", { class: "row" }, row),
    about ? el("div", { class: "about" }, about) : null,
    span.within.length ? drawTimeline(span.within, whole) : null,
  );
}
