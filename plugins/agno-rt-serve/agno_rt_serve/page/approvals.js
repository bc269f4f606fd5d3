// Approvals of paused runs: a card for each, and the list of all pending ones.

import { at, call, get } from "./api.js";
import { $, el, elementId, say, timeNode } from "./dom.js";
import { laterWords, showGrants, standingFields } from "./grants.js";
import { argumentsTable } from "./parts.js";
import { waitsFor } from "./sessions.js";
import { jsonForm, schemaForm } from "./schema_form.js";

const TITLES = {
  approval: (name) => ["Let the agent call ", el("code", {}, name), "?"],
  input: (name) => [el("code", {}, name), " needs information from you"],
  question: (_, agent) => [`${agent || "The agent"} asks you`],
  external: (name) => ["What is the result of ", el("code", {}, name), "?"],
};
const HINTS = {
  external: "This call is carried out elsewhere. Enter its result, as JSON or as text.",
};
const OUTCOMES = { approved: "approved", denied: "denied", answered: "answered", expired: "expired" };

// A card that asks a person to decide. `settled(how)` is called once: with `decided`, `elsewhere` or `expired`.
export class ApprovalCard {
  constructor(approval, settled) {
    this.approval = approval;
    this.settled = settled;
    const { kind, call: asked } = approval;
    const title = TITLES[isQuestion(approval) ? "question" : kind](asked.name, approval.agent);
    this.heading = el("h3", { id: elementId("approval") }, title);
    this.body = el("div", { class: "card-body" });
    this.later = kind === "approval" ? standingFields(approval) : null;
    this.alert = el("p", { class: "refused", role: "alert", hidden: true });
    this.node = el(
      "form",
      { class: "card", "aria-labelledby": this.heading.id, novalidate: true, submit: (event) => this.#submit(event) },
      this.heading,
      approval.reason ? el("p", {}, approval.reason) : null,
      HINTS[kind] ? el("p", { class: "hint" }, HINTS[kind]) : null,
      this.body,
      this.alert,
      this.#facts(),
    );
    this.#ask();
    this.#watchExpiry();
  }

  focus() {
    this.node.querySelector(":is(input, textarea, select):not(.later *), button")?.focus();
  }

  #facts() {
    const facts = el("p", { class: "hint" });
    if (this.approval.expires_at) facts.append("Expires ", timeNode(this.approval.expires_at));
    return facts.childNodes.length ? facts : null;
  }

  // Ask the first question: an approval shows the call with buttons, the other kinds show a form at once.
  #ask() {
    const { kind, schema } = this.approval;
    this.form = this.submit = null;
    if (kind === "approval") {
      this.#fill(
        [argumentsTable(this.approval.call.arguments), this.later?.node],
        button("Approve", "primary", () => this.#decide({ decision: "approve" })),
        button("Edit", "plain", () => this.#edit()),
        button("Deny", "plain", () => this.#deny()),
      );
      return;
    }
    this.form = kind === "input" ? schemaForm(schema) : jsonOrText();
    const send = () => this.#send("answer", "value");
    this.#fill(
      [isQuestion(this.approval) ? null : argumentsTable(this.approval.call.arguments), this.form.node],
      button(kind === "input" ? "Answer" : "Send the result", "primary", send),
      button("Deny", "plain", () => this.#deny()),
    );
    this.submit = send;
  }
  #edit() {
    let given;
    try {
      given = JSON.parse(this.approval.call.arguments);
    } catch {
      given = undefined;
    }
    this.form = given === undefined ? jsonForm(undefined, "Arguments") : schemaForm(this.approval.parameters, given);
    this.submit = () => this.#send("approve", "arguments");
    const buttons = [button("Approve with these", "primary", this.submit), this.#back()];
    this.#fill([this.form.node, this.later?.node], ...buttons);
    this.form.focus();
  }
  #deny() {
    const reason = el("input", { type: "text", id: elementId("reason"), autocomplete: "off" });
    this.submit = () => this.#decide({ decision: "deny", reason: reason.value.trim() });
    this.#fill(
      [el("div", { class: "field" }, el("label", { for: reason.id }, "Why not? The agent is told."), reason)],
      button("Deny", "primary", this.submit),
      this.#back(),
    );
    reason.focus();
  }
  #back() {
    return button("Back", "plain", () => {
      this.#ask();
      this.focus();
    });
  }
  #fill(content, ...buttons) {
    this.#refuse("");
    this.body.replaceChildren(...content.filter(Boolean), el("div", { class: "buttons" }, buttons));
  }
  #refuse(text) {
    this.alert.textContent = text;
    this.alert.hidden = !text;
  }
  #submit(event) {
    event.preventDefault();
    this.submit?.();
  }

  #send(decision, key) {
    let value;
    try {
      value = this.form.read();
    } catch (error) {
      return this.#refuse(error.message);
    }
    return this.#decide({ decision, [key]: value });
  }
  async #decide(body) {
    if (this.over) return;
    this.#disable(true);
    if (body.decision === "approve") body.standing = this.later?.read();
    try {
      const decided = await call(at("approvals", this.approval.id), { method: "POST", body });
      const changed = body.arguments !== undefined ? ", with other arguments" : "";
      const more = changed + laterWords(body.standing);
      const reason = body.reason ? `: ${body.reason}` : ".";
      this.#close(`You ${OUTCOMES[decided.status]} ${this.approval.call.name}${more}${reason}`, "decided");
    } catch (problem) {
      if (problem.status === 409 || problem.status === 404) return this.#wasDecided(problem);
      this.#disable(false);
      this.#refuse(problem.words);
    }
  }
  async #wasDecided(problem) {
    let status = "";
    try {
      ({ status } = await get(at("approvals", this.approval.id)));
    } catch {
      /* the message of the first error is shown instead */
    }
    if (status === "expired") return this.#expire();
    this.#close(
      status && status !== "pending"
        ? `Somebody else ${OUTCOMES[status]} ${this.approval.call.name} meanwhile.`
        : problem.words,
      "elsewhere",
    );
  }
  #disable(on) {
    for (const field of this.node.querySelectorAll("button, input, textarea, select")) field.disabled = on;
  }

  #watchExpiry() {
    const until = this.approval.expires_at;
    if (!until) return;
    const left = until * 1000 - Date.now();
    if (left <= 0) queueMicrotask(() => this.#expire());
    else if (left < 2 ** 31) this.expiry = setTimeout(() => this.#expire(), left + 500);
  }
  #expire() {
    this.#close(lateText(this.approval.call.name), "expired");
  }
  #close(text, how) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.expiry);
    const focused = this.node.contains(document.activeElement);
    const note = settledNote(text);
    this.node.replaceWith(note);
    if (focused) note.focus({ preventScroll: true });
    say(text);
    refreshBadge();
    this.settled(how);
  }
}

// A workflow's question has the question as its reason, and again as the only argument.
function isQuestion({ kind, reason, call: asked }) {
  return kind === "input" && reason !== "" && JSON.stringify(JSON.parse(asked.arguments)) === JSON.stringify({ question: reason });
}

function button(label, kind, act) {
  return el("button", { type: "button", class: kind, click: act }, label);
}

// A form for a result: JSON of any kind, and otherwise text.
function jsonOrText() {
  const form = jsonForm(undefined, "Result");
  const input = form.node.querySelector("textarea");
  return {
    ...form,
    read: () => {
      const text = input.value.trim();
      if (!text) throw new Error("The result is empty.");
      try {
        return JSON.parse(text);
      } catch {
        if (/^[[{"]/.test(text)) throw new Error("This is not JSON. Correct it, or write plain text.");
        return text;
      }
    },
  };
}

// All of one run ------------------------------------------------------------------------------------------------

// Show the run's pending approvals in `place`, after the decisions of the same turn. `told` has the ids of approvals
// shown before. `resume` goes on with the run, `reload` loads the conversation again.
export async function askApprovals(place, runId, { told, resume, reload }) {
  const { approvals } = await get("/approvals", { run: runId });
  const turn = Math.max(...approvals.map((one) => one.turn));
  const waiting = approvals.filter((one) => one.status === "pending");
  const holder = el("section", { class: "approvals", "aria-label": "Waits for you" });
  for (const one of approvals) {
    if (one.status !== "pending" && one.turn === turn && !told.has(one.id)) holder.append(settledNote(outcome(one)));
    told.add(one.id);
  }
  place.append(holder);
  let left = waiting.length;
  const settled = (how) => {
    left -= 1;
    // The focus stays on the decided card: if it moved to the next "Approve", a key held too long would press that too.
    if (left > 0) return;
    if (how === "decided") return resume();
    holder.append(goOnButton(runId, resume, reload));
  };
  const cards = waiting.map((approval) => new ApprovalCard(approval, settled));
  holder.append(...cards.map((card) => card.node));
  if (!approvals.length) holder.append(await drawWait(runId));
  if (!left) holder.append(goOnButton(runId, resume, reload));
  refreshBadge();
  return holder;
}

function outcome({ status, call: asked }) {
  return status === "expired" ? lateText(asked.name) : `${asked.name} was ${OUTCOMES[status]}.`;
}
const lateText = (name) => `Nobody decided about ${name} in time.`;
const settledNote = (text) => el("p", { class: "note settled", tabindex: "-1" }, text);

// A run may wait for a time or for a signal, which no card asks for: say so, and where to look.
async function drawWait(runId) {
  const run = await get(at("runs", runId));
  const hint = run.wakes_at === null ? "The signal comes by POST /runs/ID/signals; then the run can go on. " : "Then it goes on. ";
  return el(
    "div",
    { class: "note" },
    el("p", {}, `This run ${waitsFor(run)}.`),
    el("p", { class: "hint" }, hint, el("a", { href: `#runs/${encodeURIComponent(runId)}` }, "See or cancel the run")),
  );
}

function goOnButton(runId, resume, reload) {
  const bar = el("div", { class: "buttons" });
  bar.append(
    button("Go on", "primary", async () => {
      const { status } = await get(at("runs", runId)).catch(() => ({ status: "paused" }));
      bar.remove();
      if (status === "paused") resume();
      else reload();
    }),
  );
  return bar;
}

// The badge, and the list of all approvals ----------------------------------------------------------------------

let offered = true;
export async function refreshBadge() {
  if (!offered) return;
  let count;
  try {
    count = (await get("/approvals", { status: "pending" })).approvals.length;
  } catch (problem) {
    offered = problem.status === 0 || problem.status === 401; // else the memory stores no runs: nothing ever waits
    return;
  }
  const badge = $("badge");
  badge.textContent = count > 99 ? "99+" : String(count);
  badge.hidden = !count;
  $("dot").hidden = !count;
  $("to-approvals").setAttribute("aria-label", count ? `Approvals, ${count} pending` : "Approvals");
}

// Draw the pending approvals and the standing ones into `place`. `link(approval)` leads to its conversation,
// `resume(run, approval, where)` goes on with a run and shows it there.
export async function showAllApprovals(place, { link, resume }) {
  const { approvals } = await get("/approvals", { status: "pending" });
  place.append(el("h2", {}, "Approvals"));
  if (!approvals.length) place.append(el("p", { class: "empty" }, "Nothing waits for a decision."));
  let drawGrants = null;
  for (const [run, of] of groups(approvals)) {
    const first = of[0];
    const answer = el("div", { class: "answer" });
    const section = el(
      "section",
      { class: "waits" },
      el("p", { class: "meta" }, `${first.agent} asked `, timeNode(first.created_at), " ", link(first)),
    );
    let left = of.length;
    const settled = (how) => {
      drawGrants?.();
      if (!--left && how === "decided") resume(run, first, answer);
    };
    section.append(...of.map((approval) => new ApprovalCard(approval, settled).node), answer);
    place.append(section);
  }
  drawGrants = await showGrants(place);
}

function groups(approvals) {
  const found = new Map();
  for (const one of approvals) found.set(one.run, [...(found.get(one.run) ?? []), one]);
  return found;
}
