// The start of the page: follows the address, and ties the parts together.

import { at, get, stream } from "./api.js";
import { refreshBadge, showAllApprovals } from "./approvals.js";
import { draft, drawQueue, setComposer, setDraft, setUpComposer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { $, el, store, stored } from "./dom.js";
import { showKnowledge } from "./knowledge.js";
import { showLive } from "./live.js";
import { fault, textOf } from "./parts.js";
import { graph } from "./pictures.js";
import { showRun, showRuns } from "./runs.js";
import { linkTo, SessionList } from "./sessions.js";
import { isSignedIn, setUpDoor } from "./sign_in.js";
import { Turn } from "./turn.js";

const KEPT = 30; // conversations that stay open while others are shown
const POLL = 30_000; // milliseconds between updates of the badge

let agents = [];
let shown = null; // the conversation on the page
let carried = ""; // a draft to take along into a new chat
const open = new Map(); // open conversations by session
let list = null;

// Conversations -------------------------------------------------------------------------------------------------

const told = {
  changed(conversation) {
    if (conversation === shown) drawComposer();
  },
  named(conversation) {
    open.set(conversation.session, conversation);
    for (const [session, one] of open) if (open.size > KEPT && !one.running && one !== shown) open.delete(session);
    if (conversation !== shown) return;
    history.replaceState(null, "", linkTo(conversation.agent, conversation.session));
    list.mark(conversation.session);
    $("welcome").hidden = true;
  },
  began(conversation) {
    if (!list.sessions.some((one) => one.id === conversation.session)) list.refresh();
  },
  async ended() {
    await list.refresh();
    refreshBadge();
    drawTitle();
  },
  follow(conversation) {
    if (conversation === shown && isChat()) $("main").scrollTop = $("main").scrollHeight;
  },
  edit(text) {
    if (!text) return;
    if (draft().trim()) setDraft(`${text}\n\n${draft()}`);
    else setDraft(text);
    $("input").focus();
  },
  anew(conversation) {
    carried = draft();
    location.hash = linkTo(conversation.agent);
  },
};

async function openConversation(agent, session) {
  if (shown && shown.session === session && shown.agent === agent && session !== null) return showChat();
  leave();
  const known = session !== null && open.get(session);
  shown = known || new Conversation(agent, session, told);
  $("chat").replaceChildren(shown.node);
  drawWelcome();
  showChat();
  $("welcome").hidden = session !== null;
  list.mark(session);
  drawTitle();
  if (session === null || known) {
    setDraft(carried || shown.draft);
    carried = "";
    drawComposer();
    $("main").scrollTop = shown.scrolled ?? $("main").scrollHeight;
    return;
  }
  setDraft("");
  open.set(session, shown);
  const conversation = shown;
  await conversation.load();
  if (conversation !== shown) return;
  drawTitle();
  $("main").scrollTop = $("main").scrollHeight;
}
function leave() {
  if (!shown) return;
  shown.draft = draft();
  shown.scrolled = isChat() ? $("main").scrollTop : shown.scrolled;
}
function drawTitle() {
  const title = list.sessions.find((one) => one.id === shown?.session)?.title || shown?.title;
  document.title = title ? `${title} · agno_rt` : `${shown?.agent ?? ""} · agno_rt`;
}
function drawComposer() {
  const served = agents.some((agent) => agent.name === shown.agent);
  if (!served) setComposer("closed", `The agent ${shown.agent} is not served any more`);
  else if (shown.lost) setComposer("closed", "This conversation is over");
  else setComposer(shown.running ? "running" : "idle");
  drawQueue(shown.queue, textOf, (index) => {
    shown.unqueue(index);
    $("input").focus();
  });
  // The focused button may be gone: give the focus to the input.
  if (document.activeElement === document.body && isChat() && !matchMedia("(pointer: coarse)").matches)
    $("input").focus();
}

function drawWelcome() {
  const agent = agents.find((one) => one.name === shown.agent);
  if (!agent)
    return $("welcome").replaceChildren(
      el("h2", {}, shown.agent),
      el("p", {}, "This server has no agent of this name. Choose another one above."),
    );
  const about = el("dl", {});
  if (agent.model) about.append(el("dt", {}, "Model"), el("dd", { class: "mono" }, agent.model));
  else about.append(el("dt", {}, "Kind"), el("dd", {}, agent.kind));
  if (agent.parts.length) about.append(el("dt", {}, "Parts"), el("dd", {}, agent.parts.join(", ")));
  agent.tools.forEach((tool, index) => {
    about.append(
      el("dt", index ? { "aria-hidden": "true" } : {}, index ? "" : "Tools"),
      el(
        "dd",
        {},
        el("code", {}, tool.name),
        el("span", {}, tool.description.trim().split("\n")[0]),
        tool.approve ? el("span", { class: "asks" }, "asks you first") : null,
      ),
    );
  });
  const asked = (agent.suggestions ?? []).map((text) =>
    el("button", { type: "button", class: "suggestion", click: () => shown.ask(text) }, text),
  );
  $("welcome").replaceChildren(
    el("h2", {}, agent.name),
    agent.description ? el("p", {}, agent.description) : "",
    asked.length
      ? el("div", { class: "suggestions", role: "group", "aria-label": "Questions to begin with" }, asked)
      : "",
    about,
    agent.parts.length ? graph(`${agent.name} as a graph`, at("agents", agent.name, "graph"), true) : "",
  );
}

// Views ---------------------------------------------------------------------------------------------------------

const isChat = () => document.body.dataset.view === "chat";
function showChat() {
  document.body.dataset.view = "chat";
  $("agent").value = agents.some((agent) => agent.name === shown.agent) ? shown.agent : "";
  drawComposer();
  if (!matchMedia("(pointer: coarse)").matches) $("input").focus({ preventScroll: true });
}
async function showView(name, title, draw) {
  leave();
  document.body.dataset.view = name;
  document.title = `${title} · agno_rt`;
  list.mark(null);
  const view = el("div", { class: "view", tabindex: "-1" });
  $("view").replaceChildren(view);
  try {
    await draw(view);
  } catch (problem) {
    view.append(fault(problem.message, problem.hint));
  }
  $("main").scrollTop = 0;
  view.focus({ preventScroll: true });
}

function runsView(options = {}) {
  return showView("runs", "Runs", (view) => showRuns(view, { ...options, again: runsView }));
}
function runView(id) {
  return showView("runs", "Run", (view) => showRun(view, id, () => runView(id)));
}
function knowledgeView(name) {
  const open = (other) => {
    const link = `#knowledge/${encodeURIComponent(other)}`;
    if (location.hash === link) knowledgeView(other);
    else location.hash = link;
  };
  return showView("knowledge", "Knowledge", (view) => showKnowledge(view, name, open));
}
function liveView() {
  return showView("live", "Live", showLive);
}
function approvalsView() {
  return showView("approvals", "Approvals", (view) =>
    showAllApprovals(view, {
      link: (approval) =>
        approval.session
          ? el("a", { href: linkTo(approval.agent, approval.session) }, "Open the conversation")
          : el("a", { href: `#runs/${encodeURIComponent(approval.run)}` }, "Open the run"),
      resume: (run, approval, where) => goOn(run, approval, where),
    }),
  );
}
// Go on with a run below its decision, since its conversation may not be open.
async function goOn(run, approval, where) {
  const turn = new Turn(null, approval.agent, {});
  turn.details.runId = run;
  where.append(turn.node);
  turn.begin();
  try {
    for await (const event of stream(at("runs", run, "resume"), { within: true })) turn.take(event);
  } catch (problem) {
    turn.failed(problem.message, problem.hint);
  }
  turn.close();
  open.delete(approval.session);
  if (shown?.session === approval.session) shown = null;
  if (turn.status === "paused") approvalsView();
  told.ended();
}

// Return the agent that was used last, or else the first one.
function usualAgent() {
  const last = stored("agno-rt.agent");
  return agents.some((one) => one.name === last) ? last : agents[0].name;
}

// Show the view of the address: #/AGENT, #/AGENT/SESSION, #runs, #runs/ID, #approvals, #knowledge/NAME or #live.
function route() {
  closeSide();
  const [place, ...rest] = location.hash
    .slice(1)
    .split("/")
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  if (place === "runs") return rest[0] ? runView(rest[0]) : runsView();
  if (place === "approvals") return approvalsView();
  if (place === "live") return liveView();
  if (place === "knowledge") return knowledgeView(rest[0]);
  const agent = rest[0] || usualAgent();
  if (!rest[0]) history.replaceState(null, "", linkTo(agent));
  store("agno-rt.agent", agent);
  return openConversation(agent, rest[1] || null);
}

// The side ------------------------------------------------------------------------------------------------------

const narrow = matchMedia("(max-width: 55rem)");
function closeSide() {
  const had = $("side").contains(document.activeElement);
  document.body.classList.remove("side-open");
  $("side").inert = narrow.matches;
  $("show-side").setAttribute("aria-expanded", "false");
  if (had && narrow.matches) $("show-side").focus();
}
function openSide() {
  document.body.classList.add("side-open");
  $("side").inert = false;
  $("show-side").setAttribute("aria-expanded", "true");
  // On a phone the focus of a field would cover the list with a keyboard.
  $(matchMedia("(pointer: coarse)").matches ? "hide-side" : "find").focus();
}

function setUp() {
  setUpDoor(() => shown?.stop());
  setUpComposer({ send: (content) => shown.ask(content), stop: () => shown.stop() });
  list = new SessionList({
    open: closeSide,
    agent: () => shown?.agent ?? agents[0].name,
    renamed: drawTitle,
    gone(session) {
      open.delete(session);
      if (shown?.session === session) location.hash = linkTo(shown.agent);
    },
  });
  for (const button of document.querySelectorAll(".new"))
    button.addEventListener("click", () => {
      const agent = shown?.agent ?? $("agent").value;
      if (location.hash === linkTo(agent)) route();
      else location.hash = linkTo(agent);
      $("input").focus();
    });
  $("agent").addEventListener("change", () => {
    location.hash = linkTo($("agent").value);
  });
  $("show-side").addEventListener("click", openSide);
  $("hide-side").addEventListener("click", closeSide);
  $("veil").addEventListener("click", closeSide);
  narrow.addEventListener("change", closeSide);
  // If the end of a conversation is in view, it stays in view when the form grows.
  let atEnd = true;
  const main = $("main");
  main.addEventListener(
    "scroll",
    () => {
      const left = main.scrollHeight - main.scrollTop - main.clientHeight;
      atEnd = left < 8;
      $("latest").hidden = !isChat() || left < 200;
    },
    { passive: true },
  );
  new ResizeObserver(() => {
    if (atEnd && isChat()) main.scrollTop = main.scrollHeight;
  }).observe(main);
  $("latest").addEventListener("click", () => {
    $("main").scrollTop = $("main").scrollHeight;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open], :popover-open"))
      return;
    if (document.body.classList.contains("side-open")) closeSide();
    else if (isChat() && !event.target.closest?.("#side, .card")) shown?.stop();
  });
  addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && agents.length) refreshBadge();
  });
  setInterval(() => {
    if (!document.hidden && agents.length) refreshBadge();
  }, POLL);
}

// Return the options to choose from; agents, teams and workflows in groups if there are several kinds.
function offered(all) {
  const options = (some) => some.map((one) => el("option", {}, one.name));
  const kinds = [...new Set(all.map((one) => one.kind))];
  if (kinds.length < 2) return options(all);
  return kinds.map((kind) =>
    el("optgroup", { label: `${kind[0].toUpperCase()}${kind.slice(1)}s` }, options(all.filter((one) => one.kind === kind))),
  );
}

async function start() {
  setUp();
  try {
    ({ agents } = await get("/agents"));
  } catch (problem) {
    if (problem.status === 401) return;
    document.body.dataset.view = "broken";
    $("view").replaceChildren(
      el("div", { class: "view" }, fault("The agents cannot be listed.", problem.words)),
    );
    return;
  }
  $("leave").hidden = !isSignedIn();
  // The first option shows that the agent of the address is not served.
  $("agent").replaceChildren(el("option", { value: "", hidden: true }, "Choose an agent"), ...offered(agents));
  $("agent").value = usualAgent();
  list.refresh().then(drawTitle);
  refreshBadge();
  await route();
}
start();
