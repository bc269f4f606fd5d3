// Knowledge: what agents can look up. Documents are dropped here, listed, removed, and searched.

import { at, call, get, upload } from "./api.js";
import { ask } from "./confirm.js";
import { el, plural, say, timeNode, toast } from "./dom.js";
import { fault } from "./parts.js";

export async function showKnowledge(place, name, open) {
  const { knowledge } = await get("/knowledge");
  place.append(el("h2", {}, "Knowledge"));
  if (!knowledge.length) {
    place.append(
      el(
        "p",
        { class: "empty" },
        "This project has no knowledge.",
        el("br"),
        el("span", { class: "hint" }, "Add a table [knowledge.NAME] to agno-rt.toml, and start the server again."),
      ),
    );
    return;
  }
  const chosen = knowledge.find((one) => one.name === name) ?? knowledge[0];
  if (knowledge.length > 1)
    place.append(
      el(
        "div",
        { class: "tabs", role: "group", "aria-label": "Knowledge" },
        knowledge.map((one) =>
          el(
            "button",
            { type: "button", class: "tab", "aria-pressed": String(one === chosen), click: () => open(one.name) },
            one.name,
          ),
        ),
      ),
    );
  if (!chosen.status) return place.append(fault(`${chosen.name} cannot be used.`, chosen.error));
  const again = () => open(chosen.name);
  place.append(
    drawStatus(chosen.status),
    drawSearch(chosen.name),
    drawDrop(chosen.name, again),
    await drawDocuments(chosen.name, again),
  );
}

function drawStatus(status) {
  const facts = [plural(status.documents, "document"), plural(status.chunks, "passage")];
  if (status.embedder) facts.push(`${status.embedded.toLocaleString()} found by meaning (${status.embedder})`);
  else facts.push("found by words");
  return el("p", { class: "meta" }, facts.join(" · "), status.notice ? ` · ${status.notice}` : "");
}

// Searching -----------------------------------------------------------------------------------------------------

function drawSearch(name) {
  const found = el("ol", { class: "hits", "aria-label": "Passages" });
  const about = el("p", { class: "meta", role: "status" });
  const input = el("input", { type: "search", id: "look-up", placeholder: "Look something up", autocomplete: "off" });
  const form = el(
    "form",
    {
      class: "box",
      role: "search",
      submit: async (event) => {
        event.preventDefault();
        const query = input.value.trim();
        if (!query) return;
        try {
          const { hits } = await call(at("knowledge", name, "search"), { method: "POST", body: { query } });
          about.textContent = hits.length ? `${plural(hits.length, "passage")}, best first` : "Nothing was found.";
          found.replaceChildren(...hits.map(drawHit));
        } catch (problem) {
          found.replaceChildren();
          about.replaceChildren(fault(problem.message, problem.hint));
        }
      },
    },
    el("label", { class: "unseen", for: "look-up" }, "Search passages"),
    input,
    el("button", { type: "submit", class: "primary" }, "Search"),
  );
  return el("section", { class: "look-up", "aria-label": "Search" }, form, about, found);
}

function drawHit(hit) {
  const { chunk } = hit;
  const place = [chunk.source, chunk.place].filter(Boolean).join(", ");
  return el(
    "li",
    {},
    el("p", { class: "meta" }, el("b", {}, hit.title || chunk.source), ` ${hit.title ? place : (chunk.place ?? "")} `, `by ${hit.found_by.join(" and ")}`),
    el("p", { class: "passage" }, chunk.text),
  );
}

// Adding --------------------------------------------------------------------------------------------------------

function drawDrop(name, again) {
  const progress = el("p", { class: "meta", role: "status" });
  const failures = el("div", {});
  const chooser = el("input", { type: "file", multiple: true, hidden: true, "aria-label": "Documents to add" });
  const zone = el(
    "div",
    { class: "drop" },
    el("p", {}, "Drop documents here, or ", el("button", { type: "button", class: "plain", click: () => chooser.click() }, "choose files")),
    progress,
    failures,
  );
  const add = async (files) => {
    if (!files.length) return;
    progress.textContent = `Adding ${plural(files.length, "document")} …`;
    failures.replaceChildren();
    try {
      const done = await upload(at("knowledge", name, "documents"), files);
      const words = [
        done.added.length && `${plural(done.added.length, "document")} added`,
        done.unchanged.length && `${done.unchanged.length} unchanged`,
        done.skipped.length && `${done.skipped.length} skipped`,
      ].filter(Boolean);
      say(words.join(", ") || "Nothing was added");
      if (!done.failed.length) {
        toast(words.join(", ") || "Nothing was added");
        return again();
      }
      progress.textContent = words.join(", ");
      failures.replaceChildren(...done.failed.map((one) => fault(`${one.source}: ${one.message}`, one.hint)));
    } catch (problem) {
      progress.textContent = "";
      failures.replaceChildren(fault(problem.message, problem.hint));
    }
  };
  chooser.addEventListener("change", () => add([...chooser.files]));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation(); // these files are not for a message
    zone.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  zone.append(chooser);
  return zone;
}

// The documents -------------------------------------------------------------------------------------------------

async function drawDocuments(name, again) {
  const list = el("ul", { class: "documents" });
  const more = el("button", { type: "button", class: "plain" }, "Show more");
  const load = async (after) => {
    const { documents, next } = await get(at("knowledge", name, "documents"), { after });
    list.append(...documents.map((one) => drawDocument(name, one, again)));
    more.hidden = !next;
    more.onclick = () => load(next);
  };
  await load();
  return el(
    "section",
    { "aria-label": "Documents" },
    el("h3", {}, "Documents"),
    list.children.length ? list : el("p", { class: "empty" }, "There are no documents yet."),
    more,
  );
}

function drawDocument(name, one, again) {
  const remove = async () => {
    if (!(await ask(`Remove ${one.source}?`, "Agents will not find it any more.", "Remove"))) return;
    try {
      await call(`${at("knowledge", name, "documents")}?${new URLSearchParams({ source: one.source })}`, { method: "DELETE" });
      again();
    } catch (problem) {
      toast(problem.words);
    }
  };
  return el(
    "li",
    {},
    el("span", { class: "title" }, one.title || one.source),
    el("span", { class: "meta" }, `${plural(one.chunks, "passage")} · `, one.added_at ? timeNode(one.added_at) : ""),
    el("button", { type: "button", class: "quiet", "aria-label": `Remove ${one.source}`, click: remove }, "Remove"),
  );
}
