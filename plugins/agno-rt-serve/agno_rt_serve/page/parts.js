// The parts of an answer: text, reasoning, tool calls, notes and errors. A part is data with a `node` that shows it.

import { el, pretty } from "./dom.js";
import { Markdown } from "./markdown.js";

const STATES = {
  running: "running",
  completed: "done",
  failed: "failed",
  cancelled: "stopped",
  limited: "limit reached",
  waiting: "waits for a person",
  denied: "denied",
};

// Return arguments on one line.
export function brief(text) {
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value))
      return Object.entries(value)
        .map(([key, one]) => `${key}: ${typeof one === "string" ? one : JSON.stringify(one)}`)
        .join(", ");
  } catch {
    /* not JSON: shown unchanged */
  }
  return text;
}

function drawFold(node, name, about, sections, state) {
  const open = node.open;
  const head = el(
    "summary",
    {},
    el("span", { class: "dot" }),
    el("span", { class: "name" }, name),
    el("span", { class: "brief" }, about),
    state ? el("span", { class: "state" }, STATES[state] ?? state) : null,
  );
  const inside = el("div", { class: "inside" });
  for (const [title, text] of sections) inside.append(el("h3", {}, title), el("pre", { tabindex: "0" }, text));
  node.dataset.state = state ?? "completed";
  if (node.firstChild && document.activeElement === node.firstChild) queueMicrotask(() => head.focus());
  node.replaceChildren(head, inside);
  node.open = open;
}

// Return arguments, given as JSON, as a list of names and values.
export function argumentsTable(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return el("pre", { class: "args", tabindex: "0" }, text);
  }
  const entries = Object.entries(value ?? {});
  if (!entries.length) return el("p", { class: "hint" }, "No arguments.");
  return el(
    "dl",
    { class: "args" },
    entries.map(([name, one]) => [
      el("dt", {}, name),
      el("dd", {}, typeof one === "string" ? one : el("code", {}, pretty(one))),
    ]),
  );
}

// An error in two parts: what happened, and the hint, folded for developers unless it is for the reader.
export function fault(text, hint = "", forReader = false) {
  const about = el("p", {}, hint);
  if (forReader) about.className = "hint";
  const rest = forReader ? about : el("details", { class: "hint" }, el("summary", {}, "For developers"), about);
  return el("div", { class: "fault" }, el("p", {}, text), hint ? rest : null);
}

const DRAW = {
  text: [
    "div",
    "said",
    (node, part) => {
      part.view ??= new Markdown(node);
      if (part.done) part.view.finish(part.text);
      else part.view.draw(part.text);
    },
  ],
  note: ["p", "note", (node, part) => node.replaceChildren(part.text)],
  error: ["div", "", (node, part) => node.replaceChildren(fault(part.text, part.hint, part.forReader))],
  reasoning: [
    "details",
    "thought",
    (node, part) => drawFold(node, "Reasoning", part.text.trim().split("\n")[0], [["Reasoning", part.text]]),
  ],
  member: [
    "details",
    "member",
    (node, part) => {
      const about = part.calls ? `calls ${part.calls}` : part.text.trim().split("\n").at(-1);
      const sections = part.text ? [["Answer", part.text]] : [];
      if (part.error) sections.push(["Error", part.error]);
      drawFold(node, part.name, about, sections, part.state);
    },
  ],
  tool: [
    "details",
    "tool",
    (node, part) => {
      const sections = [["Arguments", pretty(part.arguments)]];
      if (part.progress) sections.push(["Progress", part.progress]);
      const over = part.state !== "running" && part.state !== "waiting";
      if (over)
        sections.push([part.state === "completed" ? "Result" : "Outcome", pretty(part.result) || "Nothing"]);
      const about =
        part.state === "running" && part.progress ? part.progress.split("\n").at(-1) : brief(part.arguments);
      drawFold(node, part.name, about, sections, part.state);
    },
  ],
};

export function drawPart(place, part) {
  const [tag, kind, draw] = DRAW[part.kind];
  if (!part.node) {
    part.node = el(tag, { class: kind });
    place.append(part.node);
  }
  draw(part.node, part);
}

// Show a person's input: text, or parts with images and files among them.
export function drawInput(content) {
  const parts = typeof content === "string" ? [content] : content;
  const node = el("div", { class: "asked" });
  for (const part of parts) {
    if (typeof part === "string" || part.type === "text")
      node.append(el("p", { dir: "auto" }, typeof part === "string" ? part : part.text));
    else node.append(drawMedia(part));
  }
  return node;
}

export function textOf(content) {
  if (typeof content === "string") return content;
  return content
    .filter((part) => typeof part === "string" || part.type === "text")
    .map((part) => (typeof part === "string" ? part : part.text))
    .join("\n");
}

const SHOWN = /^image\/(?:png|jpeg|gif|webp|avif)$/;

function drawMedia(part) {
  const kind = part.kind ?? part.type;
  const type = part.media_type ?? "";
  const name = part.name || kind;
  if (kind === "image" && part.data && SHOWN.test(type || "image/png"))
    return el("img", { class: "attached", src: `data:${type || "image/png"};base64,${part.data}`, alt: name });
  return el(
    "p",
    { class: "attached" },
    `${kind === "file" ? "File" : kind[0].toUpperCase() + kind.slice(1)}: ${part.url ?? name}`,
  );
}
