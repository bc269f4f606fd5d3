// Details of a run: model, time, tokens and timeline, gathered from its events and shown in a line that unfolds.

import { get } from "./api.js";
import { copyButton, el, lasted, plural } from "./dom.js";
import { drawTimeline, spent, Timeline } from "./timeline.js";

const KEPT_EVENTS = 2000;

export class RunDetails {
  constructor() {
    this.runId = "";
    this.session = null;
    this.model = "";
    this.usage = null;
    this.timeline = new Timeline();
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
    this.timeline.close(this.elapsed);
  }

  take(event) {
    this.#keep(event);
    if (event.type === "run_started" && (this.runId ? event.run_id === this.runId : !event.path))
      Object.assign(this, { runId: event.run_id, session: event.session });
    this.timeline.take(event, this.#now());
    if (event.run_id && event.run_id !== this.runId) return;
    if (event.type === "model_started") this.model = event.model;
    else if (event.type === "run_ended") this.usage = event.usage;
  }
  get empty() {
    return !this.timeline.spans.length;
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
    if (this.usage && this.usage.input_tokens + this.usage.output_tokens) facts.push(spent(this.usage));
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
        drawTimeline(this.timeline.spans, Math.max(1, this.#now())),
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
