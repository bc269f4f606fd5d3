// Stored runs: a list by status, and the view of one run with its steps and actions.

import { at, call, get, stream } from "./api.js";
import { copyButton, el, lasted, plural, timeNode, toast } from "./dom.js";
import { Markdown } from "./markdown.js";
import { fault } from "./parts.js";
import { graph } from "./pictures.js";
import { linkTo, waitsFor } from "./sessions.js";
import { drawTimeline, nestRows } from "./timeline.js";

const STATUSES = ["", "running", "paused", "completed", "failed", "cancelled", "limited"];
const PAGE = 50;
const STAY = Symbol("the view stays");

export async function showRuns(place, { status = "", again }) {
  const { runs, next } = await get("/runs", { status, limit: PAGE });
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
  const list = el("ul", { class: "runs" });
  const more = el("button", { type: "button", class: "plain" }, "Show more");
  const add = (page) => {
    list.append(...page.runs.map(drawLine));
    more.hidden = !page.next;
    more.onclick = async () => {
      try {
        const first = list.children.length;
        add(await get("/runs", { status, limit: PAGE, before: page.next }));
        list.children[first]?.querySelector("a").focus();
      } catch (problem) {
        toast(problem.words);
      }
    };
  };
  add({ runs, next });
  place.append(list, more);
}

function drawLine(run) {
  return el(
    "li",
    { "data-state": statusOf(run) },
    el(
      "a",
      { href: `#runs/${encodeURIComponent(run.id)}` },
      el("span", { class: "dot" }),
      el("span", { class: "title" }, run.input || "No text"),
      el("span", { class: "meta" }, `${run.agent} · ${statusOf(run)} · `, timeNode(run.updated_at)),
    ),
  );
}

const EVERY = 1500; // milliseconds between two looks at a run under way

export async function showRun(place, id, again) {
  place.append(el("p", {}, el("a", { href: "#runs" }, "All runs")));
  const [run, { rows }] = await Promise.all([get(at("runs", id)), get(at("runs", id, "timeline"))]);
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
              if ((await work()) !== STAY) await again();
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
  if (steps.length && !run.parent) act("Fork …", "plain", () => openFork(acts, run, steps));
  if (run.status === "running" || run.status === "paused")
    act("Cancel this run", "plain", () => call(at("runs", run.id, "cancel"), { method: "POST", body: {} }));
  place.append(
    el("h2", { dir: "auto" }, run.input || "No text"),
    facts(run),
    acts,
    pending.length
      ? el("p", { class: "note" }, "This run waits for a person: ", el("a", { href: "#approvals" }, "decide"))
      : run.status === "paused"
        ? el("p", { class: "note" }, `This run ${waitsFor(run)}.`)
        : "",
  );
  if (run.error) place.append(fault(...split(run.error)));
  if (run.content) place.append(el("h3", {}, "Answer"), answerNode(run.content));
  const way = el("div", {});
  place.append(el("h3", {}, "Timeline"), way);
  drawWay(way, rows, run);
  place.append(graph("The run as a graph", at("runs", id, "graph"), run.kind !== "agent" && rows.length > 3));
  follow(place, id, run, way, again);
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

// An answer in JSON is shown unchanged, any other as Markdown.
function answerNode(content) {
  if (/^[[{]/.test(content)) return el("pre", { class: "block", tabindex: "0" }, content);
  const node = el("div", { class: "said" });
  new Markdown(node).finish(content);
  return node;
}

function drawWay(way, rows, run) {
  const spans = nestRows(rows);
  // The first row is the run itself.
  const whole = Math.max(0.001, run.updated_at - run.created_at, ...rows.map((row) => row.ended ?? 0));
  const within = spans[0]?.within ?? [];
  way.replaceChildren(
    within.length ? drawTimeline(within, 1000 * whole) : el("p", { class: "empty" }, "No parts are stored."),
  );
}

// While the run is under way, draw its timeline and its graph anew; at its end, the whole view.
function follow(place, id, run, way, again) {
  if (statusOf(run) !== "running") return;
  const timer = setInterval(async () => {
    if (!place.isConnected) return clearInterval(timer);
    if (document.hidden) return;
    const [now, { rows }] = await Promise.all([get(at("runs", id)), get(at("runs", id, "timeline"))]).catch(() => [run, {}]);
    if (!place.isConnected || !rows) return;
    if (now.status !== "running") {
      clearInterval(timer);
      return again();
    }
    drawWay(way, rows, { ...now, updated_at: Date.now() / 1000 });
    place.querySelector("details.graph")?.dispatchEvent(new Event("refresh"));
  }, EVERY);
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

// Show a form for a new run that begins with the first steps of this one.
function openFork(acts, run, steps) {
  const at_ = el(
    "select",
    { id: "fork-at" },
    el("option", { value: "" }, "all steps"),
    steps
      .map((step, index) => {
        const kept = index > 1 ? `${plural(index - 1, "step")}, before: ${step.text || step.kind}` : "no step";
        return el("option", { value: index }, kept);
      })
      .slice(1)
      .toReversed(),
  );
  const input = el("textarea", { id: "fork-input", rows: "2", placeholder: run.input });
  const form = el(
    "form",
    {
      class: "card",
      submit: async (event) => {
        event.preventDefault();
        const body = { ...(at_.value === "" ? {} : { at: Number(at_.value) }), ...(input.value.trim() ? { input: input.value } : {}) };
        form.querySelector("button").disabled = true;
        try {
          const { run_id: made } = await call(at("runs", run.id, "fork"), { method: "POST", body });
          await resumed(made);
          location.hash = `#runs/${encodeURIComponent(made)}`;
        } catch (problem) {
          form.querySelector("button").disabled = false;
          form.append(fault(problem.message, problem.hint));
        }
      },
    },
    el("h3", {}, "Fork this run"),
    el("p", {}, "A new run begins with the steps that you keep, and goes on by itself. This run stays unchanged."),
    el(
      "div",
      { class: "fields" },
      el("div", { class: "field" }, el("label", { for: "fork-at" }, "Keep"), at_),
      el("div", { class: "field" }, el("label", { for: "fork-input" }, "Another input ", el("span", { class: "optional" }, "optional")), input),
    ),
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, "Fork and run")),
  );
  acts.after(form);
  at_.focus();
  return STAY;
}

// Resume a run, and wait until it ends or pauses again.
async function resumed(id) {
  for await (const event of stream(at("runs", id, "resume"), {})) if (event.type === "run_ended") return;
}
