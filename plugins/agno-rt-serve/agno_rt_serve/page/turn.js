// One question and its answer: takes the events of the run, and draws the answer.

import { copyButton, el, lasted, say } from "./dom.js";
import { drawInput, drawPart, textOf } from "./parts.js";
import { RunDetails } from "./run_details.js";

const REST = 4; // the rest after a drawing, in times of its length

export class Turn {
  // `acts` has the actions of the buttons below an answer: {again, edit}.
  constructor(input, agent, acts) {
    this.input = input;
    this.acts = acts;
    this.parts = [];
    this.details = new RunDetails();
    this.status = "";
    this.stopping = false;
    this.spoke = false;
    this.asking = false; // whether the model is asked, and has not answered
    this.begun = 0; // number of parts when the model was asked last
    this.changed = new Set();
    this.took = 0; // milliseconds of the last drawing
    this.within = new Map(); // the parts of the runs within, by their ids
    this.told = new Set(); // ids of the approvals that were shown
    this.answer = el("div", { class: "answer" });
    this.wait = el("div", { class: "waiting", "aria-hidden": "true", hidden: true }, el("i"), el("i"), el("i"));
    this.under = el("div", { class: "under" });
    this.node = el(
      "article",
      { class: "turn" },
      input === null ? null : [el("h2", { class: "unseen" }, "You asked"), drawInput(input)],
      el("h2", { class: "unseen" }, `${agent} answered`),
      this.answer,
      this.wait,
      this.under,
    );
  }

  // Events ------------------------------------------------------------------------------------------------------

  begin() {
    this.status = "running";
    this.details.begin();
    this.wait.hidden = false;
    this.under.replaceChildren();
  }
  take(event) {
    this.details.take(event);
    const root = this.details.runId;
    if (event.run_id && (root ? event.run_id !== root : event.path)) return this.#takeWithin(event);
    this[`on_${event.type}`]?.(event);
  }
  // Show who says what within the run: a team's members, the agents of a workflow. Each run within is a part that folds.
  #takeWithin(event) {
    if (event.type === "run_started") this.within.set(event.run_id, { kind: "member", name: event.agent, text: "" });
    const part = this.within.get(event.run_id);
    if (!part) return;
    if (event.type === "text_delta") part.text += event.text;
    else if (event.type === "tool_started") part.calls = event.call.name;
    else if (event.type === "tool_ended") part.calls = "";
    else if (event.type === "turn_restarted") part.text = "";
    else if (event.type === "run_ended") Object.assign(part, { state: event.status, error: event.error ?? "" });
    else return;
    // A team within a team, or a workflow, has no words of its own.
    if (!part.text && !part.calls && !part.error) return;
    this.wait.hidden = true;
    part.state ??= "running";
    this.show(part);
  }
  on_run_started() {
    this.status = "running";
    if (this.asking) this.#void(); // another process goes on with the run, and asks the model again
  }
  on_model_ended() {
    this.asking = false;
  }
  on_model_started() {
    this.asking = true;
    this.spoke = false;
    this.wait.hidden = false;
    this.begun = this.parts.length;
  }
  on_turn_restarted({ reason }) {
    this.#void();
    this.on_model_started();
    say(`Starting again: ${reason}`);
  }
  #void() {
    // Text and reasoning since the model was asked are void; other parts, such as a guardrail's note, stay.
    const isVoid = (part) => part.kind === "text" || part.kind === "reasoning";
    const since = this.parts.splice(this.begun);
    for (const part of since.filter(isVoid)) {
      this.changed.delete(part);
      part.node?.remove();
    }
    this.parts.push(...since.filter((part) => !isVoid(part)));
  }
  on_text_delta({ text }) {
    if (!text) return;
    this.spoke = true;
    this.#grow("text", text);
  }
  on_reasoning_delta({ text }) {
    this.#grow("reasoning", text);
  }
  on_tool_started({ call }) {
    this.wait.hidden = true;
    const known = this.#tool(call);
    // A call that was waiting, or was cut off with its process, is made now.
    if (known && (known.state === "waiting" || known.state === "running"))
      this.show(Object.assign(known, { state: "running", arguments: call.arguments }));
    else
      this.show({
        kind: "tool",
        id: call.id,
        name: call.name,
        arguments: call.arguments,
        state: "running",
        result: "",
      });
    say(`Calling ${call.name}`);
  }
  on_tool_progress({ call, data }) {
    const part = this.#tool(call);
    if (!part) return;
    const line = typeof data === "string" ? data : JSON.stringify(data);
    this.show(Object.assign(part, { progress: part.progress ? `${part.progress}\n${line}` : line }));
  }
  on_tool_ended({ call, status, content }) {
    const part = this.#tool(call);
    if (part) this.show(Object.assign(part, { state: status, result: content }));
  }
  on_guard_tripped({ guard, where, action, reason }) {
    this.show({ kind: "note", text: `The guardrail ${guard} ${action} the ${where}: ${reason}` });
  }
  on_approval_reviewed({ call, approved, grant, by }) {
    if (!approved) return;
    const why = grant ? "a standing approval allows it" : `${by} approved it`;
    this.show({ kind: "note", text: `${call.name} needed no decision: ${why}.` });
  }
  on_approval_asked({ call }) {
    if (this.#tool(call)?.state === "waiting") return;
    this.show({ kind: "tool", id: call.id, name: call.name, arguments: call.arguments, state: "waiting", result: "" });
  }
  on_run_ended(event) {
    this.status = event.status;
    if (event.status === "cancelled") return this.stopped(this.stopping ? "Stopped." : "The server stopped this run.");
    if (!this.spoke && event.content) this.show({ kind: "text", text: event.content });
    else if (!this.spoke && event.status === "completed") this.show({ kind: "note", text: "The answer is empty." });
    if (event.error) {
      const [text, ...hint] = event.error.split("\n");
      this.failed(text, hint.join("\n"), event.status);
    }
  }
  failed(text, hint = "", status = "failed") {
    this.status = status;
    this.show({ kind: "error", text, hint, forReader: status === "lost" });
    say(`Error: ${text}`);
  }
  // Tell of a lost connection, until it is back.
  reconnecting(lost) {
    this.broken ??= el("p", { class: "note", role: "status" }, "The connection is lost. Connecting again …");
    if (lost) this.under.before(this.broken);
    else this.broken.remove();
  }
  stopped(text) {
    this.status = "cancelled";
    this.show({ kind: "note", text });
    say(text);
  }
  // Finish the turn when the stream is over, for whatever reason.
  close() {
    this.broken?.remove();
    this.details.pause();
    this.wait.hidden = true;
    for (const part of this.parts) {
      if ((part.kind === "tool" || part.kind === "member") && part.state === "running") this.show(Object.assign(part, { state: "cancelled" }));
      if (part.kind === "text") this.show(Object.assign(part, { done: true }));
    }
    this.#following(() => {
      this.draw();
      if (this.status !== "paused") this.drawUnder();
    });
  }

  // Drawing -----------------------------------------------------------------------------------------------------

  show(part) {
    if (!this.parts.includes(part)) this.parts.push(part);
    this.changed.add(part);
    this.#schedule();
  }
  #grow(kind, text) {
    const last = this.parts.slice(this.begun).at(-1);
    const part = last?.kind === kind ? last : { kind, text: "" };
    part.text += text;
    this.wait.hidden = kind === "text";
    this.show(part);
  }
  #tool(call) {
    return this.parts.findLast((one) => one.kind === "tool" && one.id === call.id);
  }

  // Draw at most once a frame, and rest for several times as long as a drawing takes: a table is drawn as a whole with
  // each piece of it, and the page must stay usable while a long one comes. A page in the background has no frames.
  #schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    const rest = Math.max(REST * this.took, document.hidden ? 200 : 0);
    if (rest > 100) setTimeout(() => this.draw(), rest);
    else requestAnimationFrame(() => this.draw());
  }
  draw() {
    const began = performance.now();
    this.scheduled = false;
    this.#following(() => {
      for (const part of this.changed) drawPart(this.answer, part);
      this.changed.clear();
    });
    this.took = performance.now() - began;
  }
  // Change the answer; if its end was in view, keep it in view.
  #following(change) {
    const main = this.node.closest("main");
    const follow = main && main.scrollHeight - main.scrollTop - main.clientHeight < 80;
    change();
    if (follow) main.scrollTop = main.scrollHeight;
  }
  text() {
    return this.parts
      .filter((part) => part.kind === "text")
      .map((part) => part.text)
      .join("\n\n");
  }

  drawUnder() {
    const said = this.text();
    const acts = el("div", { class: "acts" });
    if (said) acts.append(copyButton("Copy", () => this.text()));
    if (this.input !== null)
      acts.append(
        el(
          "button",
          {
            type: "button",
            class: "quiet last-only",
            title: "Ask the same question again",
            click: () => this.acts.again(this.input),
          },
          "Ask again",
        ),
        el(
          "button",
          {
            type: "button",
            class: "quiet last-only",
            title: "Change the question, then send it again",
            click: () => this.acts.edit(textOf(this.input)),
          },
          "Edit",
        ),
      );
    const forgotten = this.status === "failed" || this.status === "cancelled";
    this.under.replaceChildren(
      acts,
      ...(this.details.runId && !this.details.empty ? [this.details.draw()] : []),
      ...(forgotten ? [el("span", {}, "The agent does not remember this question.")] : []),
    );
  }
  // Draw the line below a stored turn. If its run is stored too, `record` has the run's id and times.
  drawStored(record) {
    this.drawUnder();
    if (!record || !this.details.empty) return;
    this.under.append(
      el(
        "a",
        { class: "run-link", href: `#runs/${encodeURIComponent(record.id)}` },
        `Run ${record.id.slice(0, 8)} · ${lasted(1000 * (record.updated_at - record.created_at))}`,
      ),
    );
  }
}
