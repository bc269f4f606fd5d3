// Stored runs: a list by status, and the view of one run with its steps and actions.

import { at, call, get, stream } from "./api.js";
import { copyButton, el, lasted, timeNode } from "./dom.js";
import { fault } from "./parts.js";
import { linkTo } from "./sessions.js";

const STATUSES = ["", "running", "paused", "completed", "failed", "cancelled", "limited"];
const PAGE = 50;

export async function showRuns(place, { status = "", limit = PAGE, again }) {
  const { runs } = await get("/runs", { status, limit });
  place.append(
    el("h2", {}, "Runs"),
    el(
      "div",
      { class: "tabs", role: "group", "aria-label": "Status" },
      STATUSES.map((one) =>
        el(
          "button",
          { type: "button", class: "tab", "aria-pressed": String(one === status), click: () => again({ status: one }) },
          one || "all",
        ),
      ),
    ),
  );
  if (!runs.length) {
    place.append(
      el(
        "p",
        { class: "empty" },
        status ? `No run is ${status}.` : "No runs are stored.",
        el("br"),
        el(
          "span",
          { class: "hint" },
          "Runs are stored for agents with a journal, and for agents with tools that may wait for a person.",
        ),
      ),
    );
    return;
  }
  place.append(
    el(
      "ul",
      { class: "runs" },
      runs.map((run) =>
        el(
          "li",
          { "data-state": statusOf(run) },
          el(
            "a",
            { href: `#runs/${encodeURIComponent(run.id)}` },
            el("span", { class: "dot" }),
            el("span", { class: "title" }, run.input || "No text"),
            el("span", { class: "meta" }, `${run.agent} · ${statusOf(run)} · `, timeNode(run.updated_at)),
          ),
        ),
      ),
    ),
  );
  if (runs.length >= limit)
    place.append(
      el(
        "button",
        { type: "button", class: "plain", click: () => again({ status, limit: limit + PAGE }) },
        "Show more",
      ),
    );
}

export async function showRun(place, id, again) {
  const run = await get(at("runs", id));
  const { approvals = [], steps = [] } = run;
  const acts = el("div", { class: "buttons" });
  const pending = approvals.filter((one) => one.status === "pending");
  const act = (label, kind, work) =>
    acts.append(
      el(
        "button",
        {
          type: "button",
          class: kind,
          click: async (event) => {
            event.currentTarget.disabled = true;
            try {
              await work();
              await again();
            } catch (problem) {
              acts.after(fault(problem.message, problem.hint));
            }
          },
        },
        label,
      ),
    );
  if (["paused", "failed", "cancelled", "limited", "stopped"].includes(statusOf(run)) && !pending.length)
    act("Resume", "primary", () => resumed(run.id));
  if (run.status === "running" || run.status === "paused")
    act("Cancel this run", "plain", () => call(at("runs", run.id, "cancel"), { method: "POST", body: {} }));
  place.append(
    el("p", {}, el("a", { href: "#runs" }, "All runs")),
    el("h2", {}, run.input || "No text"),
    facts(run),
    acts,
    pending.length
      ? el("p", { class: "note" }, "This run waits for a person: ", el("a", { href: "#approvals" }, "decide"))
      : "",
  );
  if (run.error) place.append(fault(...split(run.error)));
  if (run.content) place.append(el("h3", {}, "Answer"), el("pre", { class: "block", tabindex: "0" }, run.content));
  place.append(
    el("h3", {}, "Steps"),
    steps.length
      ? el("ol", { class: "steps" }, steps.map(stepNode))
      : el("p", { class: "empty" }, "No steps are stored."),
  );
  if (approvals.length)
    place.append(
      el("h3", {}, "Decisions"),
      el(
        "ul",
        { class: "steps" },
        approvals.map((one) =>
          el(
            "li",
            {},
            el("span", { class: "kind" }, one.status),
            el(
              "span",
              { class: "what" },
              `${one.call.name} ${one.call.arguments}`,
              one.reason ? `: ${one.reason}` : "",
            ),
          ),
        ),
      ),
    );
  place.append(
    el(
      "details",
      { class: "raw" },
      el("summary", {}, "JSON"),
      copyButton("Copy JSON", () => JSON.stringify(run, null, 2)),
      el("pre", { tabindex: "0" }, JSON.stringify(run, null, 2)),
    ),
  );
}

// The store says "running" for a run whose server ended in its middle; `stopped` tells such a run apart.
const statusOf = (run) => (run.stopped ? "stopped" : run.status);

function facts(run) {
  const list = el("dl", { class: "facts" });
  const add = (name, ...value) => {
    list.append(el("dt", {}, name), el("dd", {}, ...value));
  };
  add("Status", el("span", { class: "status", "data-state": statusOf(run) }, statusOf(run)));
  add("Agent", run.agent);
  add(
    "Run",
    el("code", {}, run.id),
    " ",
    copyButton("Copy", () => run.id),
  );
  if (run.session) add("Conversation", el("a", { href: linkTo(run.agent, run.session) }, "Open it"));
  if (run.user) add("User", run.user);
  if (run.parent) add("Part of", el("a", { href: `#runs/${encodeURIComponent(run.parent)}` }, run.parent.slice(0, 8)));
  add("Started", timeNode(run.created_at));
  if (run.status !== "running") add("Took", lasted(1000 * (run.updated_at - run.created_at)));
  return list;
}

// A step in words, the time since the run began, and, unfolded, the stored step.
function stepNode(step, index, steps) {
  const since = step.at && steps[0].at ? lasted(1000 * (step.at - steps[0].at)) : "";
  return el(
    "li",
    {},
    el("span", { class: "kind" }, step.kind, el("span", { class: "since" }, since && `+${since}`)),
    el(
      "details",
      { class: "step" },
      el("summary", {}, step.text || step.kind),
      el("pre", { tabindex: "0" }, JSON.stringify(step, null, 2)),
    ),
  );
}

function split(error) {
  const [text, ...hint] = error.split("\n");
  return [text, hint.join("\n")];
}

// Resume a run, and wait until it ends or pauses again.
async function resumed(id) {
  for await (const event of stream(at("runs", id, "resume"), {})) if (event.type === "run_ended") return;
}
