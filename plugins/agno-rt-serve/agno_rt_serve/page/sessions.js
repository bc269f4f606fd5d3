// The list of stored conversations: search, open, rename, export, delete.

import { at, call, get } from "./api.js";
import { ask } from "./confirm.js";
import { $, copyText, el, timeNode, toast } from "./dom.js";

const PAGE = 40;
const MOST = 1000; // conversations that the server lists at once

export const linkTo = (agent, session) => `#${at(agent)}${session ? at(session) : ""}`;

export class SessionList {
  // `on` has callbacks: open() when a conversation is chosen, gone(session) when it is deleted,
  // renamed(session, title), and agent(), which names the agent for conversations stored without one.
  constructor(on) {
    this.on = on;
    this.current = null;
    this.sessions = [];
    this.next = null;
    this.query = "";
    let waiting = 0;
    $("find").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.refresh(), 200);
    });
    $("sessions").addEventListener("keydown", (event) => this.#arrows(event));
    setUpMenu();
  }

  async refresh() {
    const number = (this.number = (this.number ?? 0) + 1);
    const query = $("find").value.trim();
    // The list keeps its length, so that a person who has come far down stays there; another search begins at the top.
    const fresh = query !== this.query;
    const stored = this.sessions.filter((session) => !session.begun).length;
    const limit = fresh ? PAGE : Math.min(MOST, Math.max(PAGE, stored));
    try {
      const { sessions, next } = await get("/sessions", { q: query, limit });
      const begun = query ? [] : await this.#begun(sessions);
      if (number !== this.number) return;
      sessions.unshift(...begun);
      Object.assign(this, { sessions, next: next ?? null, problem: null });
    } catch (problem) {
      Object.assign(this, { sessions: [], next: null, problem });
    }
    this.query = query;
    this.draw();
    if (fresh) $("sessions").scrollTop = 0;
  }
  // Conversations that are not stored, since their first run is under way. Notes the state of the stored ones, too.
  async #begun(sessions) {
    if (this.keepsNoRuns) return [];
    try {
      const [{ approvals }, ...found] = await Promise.all([
        get("/approvals", { status: "pending" }),
        ...["running", "paused"].map((status) => get("/runs", { status, limit: PAGE })),
      ]);
      const asks = new Set(approvals.map((one) => one.run));
      const first = new Map();
      for (const run of found.flatMap(({ runs }) => runs))
        if (run.session && !run.parent && !run.stopped) first.set(run.session, run);
      const describe = (run) => ({
        title: run.input.split("\n")[0].slice(0, 60),
        state: run.status === "running" ? "answering" : asks.has(run.id) ? "waits for a person" : waitsFor(run),
      });
      for (const session of sessions) {
        // A session that is stored at the first pause has no title yet.
        if (first.has(session.id)) {
          const { title, state } = describe(first.get(session.id));
          Object.assign(session, { title: session.title || title, state });
        }
        first.delete(session.id);
      }
      return [...first.values()].map((run) => ({ id: run.session, agent: run.agent, begun: true, ...describe(run) }));
    } catch {
      this.keepsNoRuns = true;
      return [];
    }
  }
  async #more() {
    const [number, count] = [this.number, this.sessions.length];
    let page;
    try {
      page = await get("/sessions", { q: this.query, limit: PAGE, before: this.next });
    } catch (problem) {
      return toast(problem.words);
    }
    if (number !== this.number) return; // the list was drawn anew meanwhile
    const { sessions, next } = page;
    const known = new Set(sessions.map((session) => session.id));
    this.sessions = [...this.sessions.filter((session) => !(session.begun && known.has(session.id))), ...sessions];
    this.next = next ?? null;
    const byKeyboard = document.activeElement?.matches(".more:focus-visible");
    this.draw();
    if (byKeyboard) $("sessions").querySelectorAll("li a")[Math.min(count, this.sessions.length - 1)].focus();
  }

  draw() {
    const focused = document.activeElement?.closest?.("#sessions li")?.dataset.session;
    $("sessions").replaceChildren(...this.sessions.map((session) => this.#item(session)));
    if (this.next)
      $("sessions").append(
        el("li", {}, el("button", { type: "button", class: "quiet more", click: () => this.#more() }, "Show more")),
      );
    const nothing = this.problem
      ? this.problem.words
      : $("find").value.trim()
        ? "No conversation has these words."
        : "No conversations yet.";
    $("none").textContent = nothing;
    $("none").hidden = this.sessions.length > 0;
    if (focused)
      $("sessions")
        .querySelector(`li[data-session="${CSS.escape(focused)}"] a`)
        ?.focus();
  }
  mark(session) {
    this.current = session;
    for (const item of $("sessions").querySelectorAll("li[data-session]")) {
      const link = item.querySelector("a");
      if (item.dataset.session === session) link?.setAttribute("aria-current", "page");
      else link?.removeAttribute("aria-current");
    }
  }

  #item(session) {
    const title = session.title || "Untitled";
    const agent = session.agent || this.on.agent(); // a session may begin without an agent
    const link = el(
      "a",
      {
        href: linkTo(agent, session.id),
        title,
        "aria-current": session.id === this.current && "page",
        click: () => this.on.open(),
      },
      el("span", { class: "title", dir: "auto" }, title),
      el(
        "span",
        { class: "meta" },
        session.agent ? `${session.agent} · ` : "",
        session.state || (session.updated_at ? timeNode(session.updated_at) : null),
      ),
    );
    if (session.begun) return el("li", { "data-session": session.id }, link);
    const more = el(
      "button",
      { type: "button", class: "quiet dots", "aria-label": `More about ${title}`, "aria-haspopup": "menu" },
      "⋯",
    );
    more.addEventListener("click", () =>
      openMenu(more, [
        ["Rename", () => this.#rename(item, session)],
        ["Copy link", () => copyText(new URL(linkTo(agent, session.id), location.href).href)],
        ["Export", () => download(session)],
        ["Delete", () => this.#delete(session)],
      ]),
    );
    const item = el("li", { "data-session": session.id }, link, more);
    return item;
  }

  #rename(item, session) {
    const input = el("input", { type: "text", "aria-label": "Title", maxlength: "200" });
    input.value = session.title ?? "";
    let over = false;
    const end = async (keep) => {
      if (over) return;
      over = true;
      const title = input.value.trim();
      if (keep && title && title !== session.title) {
        try {
          await call(at("sessions", session.id), { method: "PATCH", body: { title } });
          session.title = title;
          this.on.renamed(session.id, title);
        } catch (problem) {
          toast(problem.words);
        }
      }
      const fresh = this.#item(session);
      item.replaceWith(fresh);
      fresh.querySelector("a").focus();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    });
    input.addEventListener("blur", () => end(true));
    item.replaceChildren(input);
    input.select();
    input.focus();
  }

  async #delete(session) {
    if (
      !(await ask(
        `Delete “${session.title || "Untitled"}”?`,
        "The server deletes the conversation for good.",
        "Delete",
      ))
    )
      return;
    try {
      await call(at("sessions", session.id), { method: "DELETE" });
    } catch (problem) {
      if (problem.status !== 404) return toast(problem.words);
    }
    toast("Deleted");
    this.sessions = this.sessions.filter((one) => one !== session);
    this.draw();
    ($("sessions").querySelector("a") ?? $("find")).focus();
    this.on.gone(session.id);
  }

  #arrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.tagName !== "A") return;
    event.preventDefault();
    const links = [...$("sessions").querySelectorAll("a")];
    links[links.indexOf(event.target) + step]?.focus();
  }
}

// Say what a paused run waits for, if not for a person.
export function waitsFor(run) {
  if (run.wakes_at === null) return "waits for a signal";
  return `sleeps until ${new Date(1000 * run.wakes_at).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}`;
}

function download(session) {
  const link = el("a", {
    href: `${at("sessions", session.id)}/export`,
    download: `${session.title || session.id}.json`.replace(/[\\/:*?"<>|]/g, " "),
  });
  document.body.append(link);
  link.click();
  link.remove();
}


// The menu of a conversation: one element, moved to the button that opens it.
function setUpMenu() {
  const menu = $("menu");
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.children];
    const at_ = items.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      items.at((at_ + step) % items.length).focus();
    }
  });
}
function openMenu(button, entries) {
  const menu = $("menu");
  menu.replaceChildren(
    ...entries.map(([label, act]) =>
      el(
        "button",
        {
          type: "button",
          role: "menuitem",
          click: () => {
            menu.hidePopover();
            act();
          },
        },
        label,
      ),
    ),
  );
  menu.showPopover();
  const place = button.getBoundingClientRect();
  const [width, height] = [menu.offsetWidth, menu.offsetHeight];
  menu.style.left = `${Math.max(8, Math.min(place.right - width, innerWidth - width - 8))}px`;
  menu.style.top = `${place.bottom + height + 4 > innerHeight ? place.top - height - 4 : place.bottom + 4}px`;
  menu.firstElementChild.focus();
}
