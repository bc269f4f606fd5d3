// The server as it is now: limits as small charts, and the runs under way as a tree. Asked for again every two seconds.

import { get } from "./api.js";
import { el, lasted, plural } from "./dom.js";
import { fault } from "./parts.js";

const EVERY = 2000; // milliseconds
const KEPT = 150; // points of a chart: five minutes

// Show the view until it leaves the page.
export async function showLive(place) {
  const about = el("p", { class: "hint" });
  const charts = el("div", { class: "charts" });
  const tree = el("div", { class: "tasks", "aria-live": "off" });
  const broken = el("div", {});
  place.append(
    el("h2", {}, "Live"),
    about,
    broken,
    el("h3", {}, "Runs under way"),
    tree,
    el("h3", {}, "Limits"),
    charts,
  );
  const history = new Map();
  const draw = async () => {
    try {
      const now = await get("/tasks");
      broken.replaceChildren();
      about.textContent = `Worker ${now.process}, every ${EVERY / 1000} seconds. agno-rt top shows the same in a terminal.`;
      drawTree(tree, now);
      await drawCharts(charts, history, now.limits);
    } catch (problem) {
      broken.replaceChildren(fault(problem.message, problem.hint ?? ""));
    }
  };
  await draw();
  const timer = setInterval(() => {
    if (!place.isConnected) clearInterval(timer);
    else if (!document.hidden) draw();
  }, EVERY);
}

// Charts --------------------------------------------------------------------------------------------------------

async function drawCharts(place, history, limits) {
  const { default: Plot } = await import("./vendor/uplot.esm.js");
  for (const limit of limits) {
    let chart = history.get(limit.name);
    if (!chart) history.set(limit.name, (chart = makeChart(place, Plot, limit.name)));
    const [times, used, waiting] = chart.data;
    for (const [list, value] of [
      [times, Date.now() / 1000],
      [used, limit.in_use],
      [waiting, limit.waiting],
    ]) {
      list.push(value);
      if (list.length > KEPT) list.shift();
    }
    chart.plot.setData(chart.data);
    const of = Number.isFinite(limit.total) && limit.total ? ` of ${limit.total.toLocaleString()}` : "";
    const words = `${limit.in_use.toLocaleString()}${of} in use, ${limit.waiting.toLocaleString()} waiting`;
    chart.words.textContent = words;
    chart.picture.setAttribute("aria-label", `${limit.name} over the last minutes; now ${words}`);
  }
}

const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function makeChart(place, Plot, name) {
  const words = el("span", { class: "meta" });
  const picture = el("div", { class: "picture", role: "img" });
  place.append(el("figure", {}, el("figcaption", {}, el("b", {}, name), words), picture));
  const colours = getComputedStyle(document.documentElement);
  const of = (variable) => colours.getPropertyValue(variable).trim();
  const axis = { stroke: of("--quiet"), grid: { stroke: of("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const data = [[], [], []];
  const plot = new Plot(
    {
      width: Math.max(150, picture.clientWidth),
      height: 90,
      legend: { show: false },
      cursor: { show: false },
      // The whole span from the start on, so that the line grows and the times below stay apart.
      scales: { x: { range: (_, first, last) => [last - (KEPT * EVERY) / 1000, last] }, y: { range: (_, low, high) => [0, Math.max(1, Math.ceil(high * 1.1))] } },
      axes: [{ ...axis, space: 70, incrs: [60, 120, 300], size: 22, values: (_, times) => times.map(clock) }, { ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000] }],
      series: [
        {},
        { label: "in use", stroke: of("--accent"), fill: of("--accent-tint"), width: 1.5, points: { show: false } },
        { label: "waiting", stroke: of("--wait"), width: 1.5, dash: [4, 3], points: { show: false } },
      ],
    },
    data,
    picture,
  );
  return { data, plot, picture, words };
}

// The task tree -------------------------------------------------------------------------------------------------

function drawTree(place, { runs, abandoned }) {
  // What is unfolded stays unfolded.
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.id));
  place.replaceChildren(
    runs.length ? drawRuns(runs, open) : el("p", { class: "empty" }, "Nothing runs."),
    ...(abandoned.length
      ? [
          el("p", { class: "note" }, `${plural(abandoned.length, "thread")} outlived a cancelled call: `),
          el("ul", {}, abandoned.map((one) => el("li", {}, `${one.tool}, ${since(one.since)}${where(one.place)}`))),
        ]
      : []),
  );
}
function drawRuns(runs, open) {
  return el(
    "ul",
    { class: "tree" },
    runs.map((run) => {
      const facts = [
        run.session && `conversation ${run.session}`,
        run.user && `user ${run.user}`,
        run.turn && `turn ${run.turn}`,
        ...run.deadlines.map((one) => `${one.limit || "deadline"} in ${lasted(1000 * Math.max(0, one.left))}`),
        ...run.budgets.map((one) => `${one.name} ${one.in_use.toLocaleString()} of ${one.total?.toLocaleString() ?? "any"}`),
        run.place && where(run.place).trim(),
      ].filter(Boolean);
      const within = [...run.calls.map((call) => drawCall(call, open)), ...(run.runs.length ? [drawRuns(run.runs, open)] : [])];
      return el(
        "li",
        { "data-state": "running" },
        el(
          "details",
          { "data-id": run.id, open: open.has(run.id) },
          el(
            "summary",
            {},
            el("span", { class: "dot" }),
            el("span", { class: "name" }, run.agent || "agent"),
            el("span", { class: "brief" }, run.doing),
            el("span", { class: "state" }, since(run.since)),
          ),
          el("div", { class: "inside" }, el("p", { class: "meta" }, facts.join(" · ") || "No details"), el("code", {}, run.id)),
        ),
        within.length ? el("div", { class: "within" }, within) : null,
      );
    }),
  );
}
function drawCall(call, open) {
  return el(
    "div",
    { class: "call" },
    el("p", {}, el("code", {}, call.name), ` ${call.doing} `, el("span", { class: "meta" }, since(call.since) + where(call.place))),
    call.runs.length ? drawRuns(call.runs, open) : null,
  );
}
const since = (seconds) => (seconds === null ? "" : `for ${lasted(1000 * seconds)}`);
const where = (place) => (place ? ` at ${place.function} (${place.file}:${place.line})` : "");
