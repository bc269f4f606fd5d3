// Markdown as elements. A model's text is data: its HTML is shown as text, its images as links. DOMPurify cleans the
// HTML that marked makes of the rest before it becomes elements.

import { Marked } from "./vendor/marked.esm.js";
import "./vendor/purify.min.js";
import { copyText, el } from "./dom.js";

const TAGS = [
  "a",
  "blockquote",
  "br",
  "code",
  "del",
  "em",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "hr",
  "li",
  "ol",
  "p",
  "pre",
  "strong",
  "table",
  "tbody",
  "td",
  "th",
  "thead",
  "tr",
  "ul",
];
// Without tables: a browser would look through all cells for a table's own direction with each change of one of them.
const BLOCKS = "p, h1, h2, h3, h4, h5, h6, ul, ol, blockquote, td, th";
const OPTIONS = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["align", "class", "href", "start", "title"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["align", "start"],
  RETURN_DOM_FRAGMENT: true,
};

const escape = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const marked = new Marked(
  { gfm: true, breaks: true },
  {
    // Tags in the text are not markup: without tokenizers for them, marked reads them as text.
    tokenizer: { html() {}, tag() {} },
    renderer: {
      html: ({ text }) => escape(text),
      image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || "Image")}</a>`,
      checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    },
  },
);

const purify = globalThis.DOMPurify;
purify.addHook("uponSanitizeAttribute", (node, data) => {
  if (data.attrName === "class")
    data.keepAttr = node.nodeName === "CODE" && /^language-[\w+#.-]{1,30}$/.test(data.attrValue);
});
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

// Replies grow at their end, up to sixty times a second. Complete blocks are drawn once. The last two are compared with
// the page, and only differences are changed, so that a selection stays and nothing flickers.
export class Markdown {
  #node;
  #done = 0; // length of the text in complete blocks
  #kept = []; // complete blocks: {raw, nodes}
  #open = []; // blocks that may still change

  constructor(node) {
    this.#node = node;
  }

  draw(text) {
    const tokens = marked.lexer(text.slice(this.#done)).filter((token) => token.raw);
    this.#open = this.#update(this.#open, tokens, this.#kept.at(-1)?.last ?? null);
    const solid = tokens.flatMap((token, index) => (token.type === "space" ? [] : [index]));
    const complete = solid.length > 2 ? solid.at(-2) : 0;
    for (const block of this.#open.splice(0, complete)) {
      this.#done += block.raw.length;
      this.#kept.push(block);
    }
  }

  // Draw the whole text again, as one: the definition of a link's target may have come last.
  finish(text) {
    const tokens = marked.lexer(text).filter((token) => token.raw);
    const drawn = [...this.#kept, ...this.#open];
    if (tokens.some((token) => token.type === "def")) for (const block of drawn) block.raw = null;
    this.#update(drawn, tokens, null);
    this.#kept = [];
    this.#open = [];
    this.#done = 0;
  }

  #update(blocks, tokens, after) {
    let last = after;
    const drawn = tokens.map((token, index) => {
      const block = blocks[index] ?? { raw: null, nodes: [] };
      if (block.raw !== token.raw || block.type !== token.type) {
        block.nodes = this.#sync(block.nodes, nodesOf(token), last);
        block.raw = token.raw;
        block.type = token.type;
      }
      last = block.last = block.nodes.at(-1) ?? last;
      return block;
    });
    for (const block of blocks.slice(tokens.length)) for (const node of block.nodes) node.remove();
    return drawn;
  }

  #sync(nodes, fresh, after) {
    let last = after;
    const synced = fresh.map((node, index) => {
      if (index < nodes.length) return (last = sync(nodes[index], node));
      if (last) last.after(node);
      else this.#node.prepend(node);
      return (last = node);
    });
    for (const node of nodes.slice(fresh.length)) node.remove();
    return synced;
  }
}

// Make the old node equal to the fresh one with as few changes as possible. Return the node that is in the page.
function sync(old, fresh) {
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return fresh;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length));
    else if (fresh.data !== old.data) old.data = fresh.data;
    return old;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [before, now] = [[...old.childNodes], [...fresh.childNodes]];
  now.forEach((child, index) => (index < before.length ? sync(before[index], child) : old.append(child)));
  before.slice(now.length).forEach((child) => child.remove());
  return old;
}

function nodesOf(token) {
  if (token.type === "space" || token.type === "def") return [];
  const fragment = purify.sanitize(marked.parser([token]), OPTIONS);
  // Each block runs in the direction of its first letter, also within a text in another direction.
  for (const block of fragment.querySelectorAll(BLOCKS)) block.dir = "auto";
  for (const code of fragment.querySelectorAll("pre > code")) dress(code);
  for (const table of fragment.querySelectorAll("table")) {
    const frame = el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  return [...fragment.childNodes].flatMap((node) => {
    if (node.nodeType !== Node.TEXT_NODE) return [node];
    return node.data.trim() ? [el("p", { dir: "auto" }, node.data.trim())] : [];
  });
}

// Put a block of code below its language and a button to copy it.
function dress(code) {
  const language = code.className.replace("language-", "");
  const pre = code.parentElement;
  pre.tabIndex = 0;
  const head = el(
    "div",
    { class: "code-head" },
    el("span", {}, language || "text"),
    el("button", { type: "button", class: "quiet copy-code" }, "Copy"),
  );
  const frame = el("div", { class: "code" }, head);
  pre.replaceWith(frame);
  frame.append(pre);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".copy-code");
  if (button) copyText(button.closest(".code").querySelector("code").textContent.replace(/\n$/, ""), button);
});
