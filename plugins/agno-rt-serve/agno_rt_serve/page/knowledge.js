// Knowledge: what agents can look up. Documents are dropped here, listed, removed, and searched.

import { at, call, get, upload } from "./api.js";
import { ask } from "./confirm.js";
import { el, fileSize, plural, say, timeNode, toast } from "./dom.js";
import { fault } from "./parts.js";

const told = JSON.parse(document.documentElement.dataset.settings);
const AT_ONCE = 10; // the most files of one request
const FRAME = 1000; // bytes of a form around each file, at most

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
  const status = el("div", {}, drawStatus(chosen.status));
  const documents = el("div", {}, await drawDocuments(chosen.name, again));
  const refresh = async () => {
    const fresh = (await get("/knowledge")).knowledge.find((one) => one.name === chosen.name);
    if (fresh?.status) status.replaceChildren(drawStatus(fresh.status));
    documents.replaceChildren(await drawDocuments(chosen.name, again));
  };
  place.append(status, drawSearch(chosen.name), drawDrop(chosen.name, refresh), documents);
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

function drawDrop(name, refresh) {
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
    failures.replaceChildren();
    const counts = { added: 0, unchanged: 0, skipped: 0 };
    try {
      let done = 0;
      for (const batch of batchesOf(files)) {
        progress.textContent =
          files.length > 1 ? `Adding ${done + 1} of ${files.length} documents …` : "Adding 1 document …";
        for (const one of await addBatch(name, batch, counts)) failures.append(one);
        done += batch.length;
      }
    } catch (problem) {
      failures.append(fault(problem.message, problem.hint));
    }
    const { added, unchanged, skipped } = counts;
    const words = [
      added && `${plural(added, "document")} added`,
      unchanged && `${unchanged} unchanged`,
      skipped && `${skipped} skipped`,
    ].filter(Boolean);
    progress.textContent = words.join(", ") || "Nothing was added";
    say(progress.textContent);
    await refresh().catch((problem) => toast(problem.words));
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

// Yield the files in batches that fit into a request. A file that is too large is a batch of its own.
function* batchesOf(files) {
  let [batch, size] = [[], 0];
  for (const file of files) {
    if (batch.length === AT_ONCE || (batch.length && size + file.size + FRAME > told.max_body)) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push(file);
    size += file.size + FRAME;
  }
  yield batch;
}

// Add the files and count the outcomes. Return an error for each file that was not added.
async function addBatch(name, batch, counts) {
  const [{ name: file, size }] = batch;
  if (size + FRAME > told.max_body) {
    const limit = `${file} is too large (${fileSize(size)}): ${fileSize(told.max_body)} is the limit.`;
    return [fault(limit, "Raise max_body in [plugins.serve], or add the file with agno-rt knowledge add.")];
  }
  const done = await upload(at("knowledge", name, "documents"), batch);
  for (const outcome of Object.keys(counts)) counts[outcome] += done[outcome].length;
  return done.failed.map(({ source, message, hint }) =>
    fault(message.includes(source) ? message : `${source}: ${message}`, hint, true),
  );
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
    el(
      "span",
      { class: "meta" },
      one.title && one.title !== one.source ? `${one.source} · ` : "",
      one.chunks ? `${plural(one.chunks, "passage")} · ` : "no text to find · ",
      one.added_at ? timeNode(one.added_at) : "",
    ),
    el("button", { type: "button", class: "quiet", "aria-label": `Remove ${one.source}`, click: remove }, "Remove"),
  );
}
