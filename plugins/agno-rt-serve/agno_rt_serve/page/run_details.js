// Details of a run: model, time, tokens and steps, gathered from its events and shown in a line that unfolds.

import { get } from "./api.js";
import { copyButton, el, lasted, plural } from "./dom.js";

const KEPT_EVENTS = 2000;

export class RunDetails {
  constructor() {
    this.runId = "";
    this.session = null;
    this.model = "";
    this.usage = null;
    this.steps = [];
    this.events = [];
    this.elapsed = 0; // milliseconds, pauses left out
    this.#since = null;
  }
  #since;

  #now() {
    return this.elapsed + (this.#since === null ? 0 : performance.now() - this.#since);
  }
  begin() {
    this.#since ??= performance.now();
  }
  pause() {
    this.elapsed = this.#now();
    this.#since = null;
  }

  take(event) {
    this.#keep(event);
    if (event.type === "run_started" && !this.runId)
      Object.assign(this, { runId: event.run_id, session: event.session });
    if (event.run_id && event.run_id !== this.runId) return;
    if (event.type === "model_started") {
      this.model = event.model;
      this.#open("model", event.model || "answered by a hook", String(event.turn));
    } else if (event.type === "model_ended") {
      this.#close("model", String(event.turn), event.status, event.usage.output_tokens ? tokens(event.usage) : "");
    } else if (event.type === "tool_started") {
      this.#open("tool", event.call.name, event.call.id);
    } else if (event.type === "tool_ended") {
      this.#close("tool", event.call.id, event.status);
    } else if (event.type === "approval_asked") {
      this.#open("person", `${event.call.name} waits for a person`, event.approval);
      this.#close("person", event.approval, "waiting");
    } else if (event.type === "run_ended") {
      this.usage = event.usage;
    }
  }

  #open(kind, name, id) {
    this.steps.push({ kind, name, id, start: this.#now(), end: null, status: "running", about: "" });
  }
  #close(kind, id, status, about = "") {
    const step = this.steps.findLast((one) => one.kind === kind && one.id === id && one.end === null);
    if (step) Object.assign(step, { end: this.#now(), status, about });
  }
  // Consecutive pieces of a text are kept as one event: a long answer has thousands of pieces.
  #keep(event) {
    const last = this.events.at(-1);
    if (last && last.type === event.type && /_delta$/.test(event.type) && typeof event.text === "string")
      last.text += event.text;
    else if (this.events.length < KEPT_EVENTS) this.events.push({ ...event });
  }

  line() {
    const facts = [this.model, lasted(this.#now())];
    if (this.usage && this.usage.input_tokens + this.usage.output_tokens) facts.push(tokens(this.usage));
    if (this.usage?.cost) facts.push(`$${this.usage.cost.toPrecision(2)}`);
    return facts.filter(Boolean).join(" · ");
  }

  // Only agents with a journal, or with tools that may pause, have their runs stored.
  async #isStored() {
    const { runs } = await get("/runs", { session: this.session, limit: 100 }).catch(() => ({ runs: [] }));
    return runs.some((run) => run.id === this.runId);
  }
  draw() {
    const ids = el(
      "p",
      { class: "ids" },
      "Run ",
      el("code", {}, this.runId),
      " ",
      copyButton("Copy", () => this.runId),
      " ",
    );
    const shown = async (event) => {
      if (!event.currentTarget.open) return;
      event.currentTarget.scrollIntoView({ block: "nearest" });
      if (!ids.querySelector("a") && (await this.#isStored()))
        ids.append(el("a", { href: `#runs/${encodeURIComponent(this.runId)}` }, "Open the stored run"));
    };
    return el(
      "details",
      { class: "run", toggle: shown },
      el("summary", { title: "Steps of this run" }, el("span", {}, this.line())),
      el(
        "div",
        { class: "inside" },
        timeline(this.steps, Math.max(1, this.#now())),
        ids,
        el(
          "details",
          { class: "raw" },
          el("summary", {}, plural(this.events.length, "event")),
          copyButton("Copy JSON", () => JSON.stringify(this.events, null, 2)),
          el("pre", { tabindex: "0" }, this.events.map((event) => JSON.stringify(event)).join("\n")),
        ),
      ),
    );
  }
}

export function tokens(usage) {
  return `${plural(usage.input_tokens, "token")} in, ${usage.output_tokens.toLocaleString()} out`;
}

function timeline(steps, whole) {
  const list = el("ol", { class: "timeline" });
  for (const step of steps) {
    const end = step.end ?? whole;
    const bar = el("span", { class: "bar" });
    bar.style.left = `${(100 * step.start) / whole}%`;
    bar.style.width = `${Math.max(0.5, (100 * (end - step.start)) / whole)}%`;
    list.append(
      el(
        "li",
        { "data-kind": step.kind, "data-state": step.status },
        el("span", { class: "what" }, step.kind === "model" ? `Turn ${step.id}: ${step.name}` : step.name),
        el("span", { class: "track", "aria-hidden": "true" }, bar),
        el("span", { class: "took" }, step.kind === "person" ? "" : lasted(end - step.start)),
        step.about ? el("span", { class: "about" }, step.about) : null,
      ),
    );
  }
  return list;
}
