// Helpers to draw with, for every module. Texts become text nodes: no text is ever parsed as markup.

export const $ = (id) => document.getElementById(id);

// Make an element. A function as an attribute is a listener, `true` is an attribute without a value; `false` and
// `null` are left out. Children that are `null` are left out too.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// Tell a screen reader, in an invisible line.
export function say(text) {
  $("status").textContent = text;
}

// Show a short message at the bottom for some seconds.
let hiding = 0;
export function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    $("toast").hidden = true;
  }, 4000);
}

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS a browser offers no clipboard; the old command still works.
    const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied");
  if (!button) return toast("Copied");
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = before;
  }, 1500);
}

export function copyButton(label, read) {
  return el(
    "button",
    { type: "button", class: "quiet", click: (event) => copyText(read(), event.currentTarget) },
    label,
  );
}

// Return an id for an element, one that no other element has: a card may be in a conversation and in a list at once.
let made = 0;
export const elementId = (what) => `${what}-${++made}`;

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function stored(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}
export function store(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    /* a blocked store costs only a convenience */
  }
}

// Words for values ----------------------------------------------------------------------------------------------

export function pretty(text) {
  if (typeof text !== "string") return JSON.stringify(text, null, 2);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

export function lasted(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

// Return a time in short words, such as "3 min ago" or "in 2 h"; `seconds` are since the epoch.
export function when(seconds) {
  const distance = Date.now() / 1000 - seconds;
  const gap = Math.abs(distance);
  const said = (text) => (distance < 0 ? `in ${text}` : `${text} ago`);
  if (gap < 45) return distance < 0 ? "in a moment" : "just now";
  // Rounded first: 3599 s are 1 h, not 60 min.
  const minutes = Math.max(1, Math.round(gap / 60));
  if (minutes < 60) return said(`${minutes} min`);
  const hours = Math.round(gap / 3600);
  if (hours < 24) return said(`${hours} h`);
  if (gap < 7 * 86_400) return said(plural(Math.round(gap / 86_400), "day"));
  return new Date(seconds * 1000).toLocaleDateString();
}

export function timeNode(seconds) {
  const date = new Date(seconds * 1000);
  return el("time", { datetime: date.toISOString(), title: date.toLocaleString() }, when(seconds));
}

export function fileSize(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
