// Standing approvals, by which later calls need no decision: the choices on a card, and the list to revoke them.

import { at, call, get } from "./api.js";
import { ask } from "./confirm.js";
import { el, elementId, say, timeNode } from "./dom.js";
import { argumentsTable, fault } from "./parts.js";
import { linkTo } from "./sessions.js";

const PAGE = 100;
const SHORT = 200; // characters of values that are shown unfolded
const MOST = 1000; // the server lists no more at once

// The choices ---------------------------------------------------------------------------------------------------

const HOUR = 3600;
const REACHES = [
  ["session", HOUR, () => "In this conversation, for an hour"],
  ["session", null, () => "In this conversation, until I revoke it"],
  ["agent", null, (agent) => `In every conversation with ${agent}, until I revoke it`],
  ["user", null, () => "With every agent, until I revoke it"],
];
const VALUES = [
  ["same", "only with the same values"],
  ["any", "with any values"],
];

// Fields for what an approval means for later calls. Return {node, read}: `read` returns the `standing` of a decision,
// or undefined for this call alone. Return null for a tool that asks each time.
export function standingFields({ definition, session, agent, call: asked }) {
  if (!definition) return null;
  const fits = REACHES.filter(([scope]) => (scope === "session" ? session && agent : scope === "user" || agent));
  const reach = el("select", { id: elementId("later") }, [
    el("option", { value: "" }, "Ask each time"),
    fits.map(([, , words]) => el("option", { value: REACHES.findIndex((one) => one[2] === words) }, words(agent))),
  ]);
  const values = el("select", { id: elementId("values") }, VALUES.map(([value, words]) => el("option", { value }, words)));
  const more = el(
    "div",
    { class: "field", hidden: true },
    el("label", { for: values.id }, "Allow them"),
    values,
    el("p", { class: "hint" }, "You can revoke this under Approvals at any time."),
  );
  reach.addEventListener("change", () => {
    more.hidden = reach.value === "";
  });
  return {
    node: el(
      "div",
      { class: "fields later" },
      el("div", { class: "field" }, el("label", { for: reach.id }, `Later calls of ${asked.name}`), reach),
      more,
    ),
    read() {
      if (reach.value === "") return undefined;
      const [scope, seconds] = REACHES[Number(reach.value)];
      return { scope, seconds, arguments: values.value };
    },
  };
}

// Return the end of the sentence "You approved NAME", for a decision that allows later calls.
export function laterWords(standing) {
  if (!standing) return "";
  return standing.arguments === "any" ? ", and later calls" : ", and later calls with the same values";
}

// The list ------------------------------------------------------------------------------------------------------

// Draw the standing approvals into `place`, and return a function that draws them anew.
export async function showGrants(place) {
  const list = el("ul", { class: "grants" });
  const nothing = el(
    "p",
    { class: "empty", tabindex: "-1" },
    "Nothing is allowed in advance. To allow later calls too, choose so when you approve a call.",
  );
  const more = el("button", { type: "button", class: "plain", hidden: true }, "Show more");
  const broken = el("div", {});
  let limit = PAGE;
  const load = async () => {
    try {
      const { grants } = await get("/grants", { limit });
      broken.replaceChildren();
      list.replaceChildren(...grants.map((grant) => drawGrant(grant, gone)));
      nothing.hidden = grants.length > 0;
      more.hidden = grants.length < limit || limit >= MOST;
    } catch (problem) {
      nothing.hidden = true;
      broken.replaceChildren(fault(problem.message, problem.hint));
    }
  };
  // A revoked line is gone: the focus goes to the next line, so that a keyboard stays in the list.
  const gone = async (item) => {
    const place_ = [...list.children].indexOf(item);
    await load();
    const next = list.children[place_] ?? list.lastElementChild;
    (next?.querySelector("button") ?? nothing).focus();
  };
  more.addEventListener("click", () => {
    limit = Math.min(MOST, limit + PAGE);
    load();
  });
  place.append(
    el(
      "section",
      { "aria-labelledby": "grants-title" },
      el("h3", { id: "grants-title" }, "Allowed without asking"),
      nothing,
      list,
      more,
      broken,
    ),
  );
  await load();
  return load;
}

function drawGrant(grant, gone) {
  const broken = el("div", { role: "alert" });
  const revoke = async () => {
    if (!(await ask(`Revoke the approval of ${grant.tool}?`, "Later calls wait for a decision again.", "Revoke"))) return;
    try {
      await call(at("grants", grant.id), { method: "DELETE" });
    } catch (problem) {
      // Another person has revoked the approval, or its time is over: it is gone, as wanted.
      if (problem.status !== 404) return broken.replaceChildren(fault(problem.message, problem.hint));
    }
    say(`The approval of ${grant.tool} is revoked`);
    await gone(item);
  };
  const item = el(
    "li",
    {},
    el(
      "div",
      {},
      el("p", { class: "what" }, el("code", {}, grant.tool), ` ${valuesOf(grant)}`),
      el("p", { class: "meta" }, ...reachOf(grant), ...sinceOf(grant)),
    ),
    el("button", { type: "button", class: "plain", "aria-label": `Revoke the approval of ${grant.tool}`, click: revoke }, "Revoke"),
    limitsOf(grant),
    broken,
  );
  return item;
}

function valuesOf({ arguments: exact, pattern }) {
  if (exact === null) return Object.keys(pattern).length ? "with values that fit" : "with any values";
  return exact === "{}" ? "without values" : "with exactly these values";
}

// The values that a call must have, folded if they are long; in a pattern, `*` stands for any text.
function limitsOf({ arguments: exact, pattern }) {
  const given = exact ?? JSON.stringify(pattern);
  if (given === "{}") return null;
  if (given.length <= SHORT) return argumentsTable(given);
  return el("details", {}, el("summary", {}, "Values"), el("div", { class: "inside" }, argumentsTable(given)));
}

function reachOf({ agent, session, user }) {
  const words = [agent ?? "Every agent"];
  if (session) words.push(" in ", el("a", { href: linkTo(agent, session) }, "one conversation"));
  else if (agent) words.push(" in every conversation");
  if (user) words.push(` of ${user}`);
  return words;
}

function sinceOf({ by, created_at: since, expires_at: until }) {
  return [
    by ? ` · allowed by ${by} ` : " · allowed ",
    timeNode(since),
    ...(until ? [" · ends ", timeNode(until)] : [" · until you revoke it"]),
  ];
}
