// One conversation with an agent: its turns, the run under way, and the messages queued behind the run.

import { at, call, followRun, get, streamRun } from "./api.js";
import { askApprovals } from "./approvals.js";
import { el, newId, say } from "./dom.js";
import { AT_ONCE, loadHistory } from "./history.js";
import { fault, textOf } from "./parts.js";
import { Turn } from "./turn.js";

// A run goes on without the page for this long: long enough to reload it, or to find the network again.
const DETACH = "detach;grace=300";
const LOOK = 4000; // milliseconds between two looks at a paused run
let keeps = true; // whether the server's memory keeps events, without which a run cannot go on without the page

// Begin a run, one that goes on without the page if the server can.
async function* begin(path, body, signal, onLost) {
  if (keeps)
    try {
      return yield* streamRun(path, { ...body, disconnect: DETACH }, signal, onLost);
    } catch (problem) {
      if (problem.status !== 501) throw problem;
      keeps = false;
    }
  yield* streamRun(path, body, signal, onLost);
}

export class Conversation {
  // `on` has callbacks, each called with the conversation: changed, named (it has a session now), began and ended (a
  // run did), follow (scroll to its end), anew (start a new chat); and `edit`, called with text to put into the form.
  constructor(agent, session, on) {
    Object.assign(this, { agent, session, on, title: "", draft: "" });
    this.turns = [];
    this.queue = [];
    this.total = 0; // messages on the server, as of the last answer
    this.running = false;
    this.loading = false;
    this.lost = false; // the server does not know the conversation any more
    this.scrolled = null;
    this.log = el("div", { class: "log", role: "log", "aria-label": "Conversation", "aria-live": "polite" });
    this.node = el("div", { class: "conversation" }, this.log);
    this.#last = Promise.resolve();
  }
  #last;
  #control = null;
  #turn = null; // the turn of the run under way

  // Stored on the server ----------------------------------------------------------------------------------------

  async load(last = AT_ONCE) {
    this.loading = true;
    try {
      const history = await loadHistory(this.session, last);
      this.title = history.title;
      this.total = history.total;
      this.log.replaceChildren();
      this.node.replaceChildren(this.log);
      this.turns = [];
      if (history.shown < history.total) this.log.append(this.#earlier(history));
      this.lost = !history.known && !history.turns.length;
      if (this.lost) this.#sayLost();
      for (const turn of history.turns) this.#addStored(turn);
      return history;
    } catch (problem) {
      this.log.replaceChildren(
        fault("This conversation cannot be loaded.", problem.words ?? problem.message),
      );
      return null;
    } finally {
      this.loading = false;
      this.on.changed(this);
    }
  }
  #earlier({ total, shown }) {
    return el(
      "button",
      {
        type: "button",
        class: "plain earlier",
        click: async () => {
          const main = this.node.closest("main");
          const below = main.scrollHeight - main.scrollTop;
          await this.load(shown * 2);
          main.scrollTop = main.scrollHeight - below;
        },
      },
      `Show earlier messages (${total - shown})`,
    );
  }
  #addStored({ input, parts, record, live }) {
    const turn = this.#add(input);
    if (live) return this.#attach(turn, record);
    turn.parts = parts;
    turn.changed = new Set(parts);
    turn.draw();
    turn.status = record?.status ?? "completed";
    if (turn.status !== "paused") return turn.drawStored(record);
    turn.details.runId = record.id;
    this.#pause(turn);
  }
  #add(input) {
    const turn = new Turn(input, this.agent, {
      again: (content) => this.ask(content),
      edit: (text) => this.on.edit(text),
    });
    this.turns.push(turn);
    this.log.append(turn.node);
    return turn;
  }

  // Ask the server whether it still has the conversation, and load what another window added. Without this, a server
  // that forgot the conversation in a restart would answer as if it were new.
  async #isAsShown() {
    if (!this.total) return true;
    const kept = await get(at("sessions", this.session), { last: 1 }).catch((problem) => {
      if (problem.status === 404) return null;
      throw problem;
    });
    if (kept === null) return false;
    if (kept.total !== this.total) await this.load();
    return true;
  }
  async #count() {
    const kept = await get(at("sessions", this.session), { last: 1 }).catch(() => null);
    if (kept) this.total = kept.total;
  }
  #sayLost() {
    this.node.querySelector(".lost")?.remove();
    this.node.append(
      el(
        "div",
        { class: "lost", role: "alert" },
        el("p", {}, "The server does not know this conversation any more."),
        el(
          "p",
          { class: "hint" },
          "It was deleted, or the server was restarted with a memory that does not last. " +
            "The agent remembers nothing of it.",
        ),
        el("button", { type: "button", class: "primary", click: () => this.on.anew(this) }, "Start a new chat"),
      ),
    );
  }

  // Asking ------------------------------------------------------------------------------------------------------

  ask(content) {
    if (this.running || this.loading) {
      this.queue.push(content);
      say("Queued");
      return this.on.changed(this);
    }
    return this.#alone(() => this.#ask(content));
  }
  unqueue(index) {
    this.queue.splice(index, 1);
    this.on.changed(this);
  }
  // Cancel the run under way. The run goes on without this page, so that hanging up is not enough.
  async stop() {
    const [turn, control] = [this.#turn, this.#control];
    if (!turn || turn.stopping) return;
    turn.stopping = true;
    say("Stopping");
    if (turn.details.runId) await this.#cancel(turn, control);
  }
  async #cancel(turn, control) {
    try {
      await call(at("runs", turn.details.runId, "cancel"), { method: "POST", body: {} });
    } catch {
      control?.abort(); // the run is not kept: hanging up cancels it
    }
  }

  // Do one run at a time: a resumed run waits for the run under way.
  #alone(work) {
    this.#last = this.#last.then(work, work);
    return this.#last;
  }
  async #ask(content) {
    this.running = true;
    this.on.changed(this);
    try {
      if (!(await this.#isAsShown())) {
        this.lost = true;
        this.#sayLost();
        this.on.edit(textOf(content));
        return;
      }
    } catch {
      /* the run's own request will show the error */
    } finally {
      this.running = false;
      this.on.changed(this);
    }
    if (this.session === null) {
      this.session = newId();
      this.on.named(this);
    }
    const turn = this.#add(content);
    const body = { input: content, session: this.session, within: true };
    await this.#show(turn, (signal, lost) => begin(at("agents", this.agent, "runs"), body, signal, lost));
  }
  // Follow a run that another window, or this one before it was reloaded, has begun.
  #attach(turn, record) {
    turn.details.runId = record.id;
    this.#alone(async () => {
      const seen = await this.#show(turn, (signal, lost) => followRun(record.id, signal, lost));
      if (seen) return;
      turn.parts = [{ kind: "note", text: "This run is still under way, in another window or another process." }];
      turn.changed = new Set(turn.parts);
      turn.draw();
    });
  }
  // Show the events of a run as they come. Return whether there were any.
  async #show(turn, open) {
    let begun = false;
    this.running = true;
    const control = new AbortController();
    [this.#control, this.#turn] = [control, turn];
    turn.begin();
    this.log.setAttribute("aria-busy", "true");
    this.on.changed(this);
    this.on.follow(this);
    say(`${this.agent} is answering`);
    try {
      for await (const event of open(control.signal, (lost) => turn.reconnecting(lost))) {
        if (!begun) this.on.began(this);
        begun = true;
        turn.take(event);
        if (turn.stopping === true && turn.details.runId) {
          turn.stopping = "asked";
          this.#cancel(turn, control);
        }
      }
      if (turn.status === "running" && begun)
        turn.failed("The connection was lost before the answer was complete.", "Is the server still running?", "lost");
    } catch (problem) {
      if (control.signal.aborted) turn.stopped("Stopped.");
      else if (begun || !turn.details.runId) turn.failed(problem.message, problem.hint, begun ? "lost" : "failed");
    }
    turn.close();
    [this.#control, this.#turn] = [null, null];
    this.running = false;
    this.log.removeAttribute("aria-busy");
    if (turn.status === "completed") say(`${this.agent} has answered`);
    if (turn.status === "paused") this.#pause(turn);
    else if (turn.status === "completed" || turn.status === "limited") await this.#count();
    this.on.changed(this);
    this.on.ended(this);
    this.#next(turn);
    return begun;
  }
  #next(turn) {
    if (!this.queue.length || turn.status === "paused") return;
    if (turn.status === "completed") {
      const content = this.queue.shift();
      this.on.changed(this);
      this.#alone(() => this.#ask(content));
      return;
    }
    // The answer failed or was stopped: queued messages go back into the form rather than out.
    const rest = this.queue.splice(0).map(textOf);
    this.on.edit(rest.join("\n\n"));
    this.on.changed(this);
  }

  // A paused run goes on without this page when its wait is over, or when another window decides: then show it anew.
  #watch(turn, runId) {
    const timer = setInterval(async () => {
      if (turn.status !== "paused" || !this.turns.includes(turn)) return clearInterval(timer);
      if (!this.node.isConnected || document.hidden || this.running || this.loading) return;
      const run = await get(at("runs", runId)).catch(() => null);
      if (!run || run.status === "paused" || turn.status !== "paused" || this.running || this.loading) return;
      clearInterval(timer);
      await this.load();
      this.on.ended(this);
    }, LOOK);
  }
  // Ask for the decisions that the run waits for, and go on in the same turn.
  async #pause(turn) {
    turn.status = "paused";
    const place = (turn.waits ??= el("div", { class: "waits" }));
    turn.under.before(place);
    const runId = turn.details.runId;
    const resume = () => {
      // The decisions become notes in the answer, before the rest of the answer.
      for (const note of place.querySelectorAll(".settled")) turn.show({ kind: "note", text: note.textContent });
      place.replaceChildren();
      return this.#alone(async () => {
        const path = at("runs", runId, "resume");
        const begun = await this.#show(turn, (signal, lost) => begin(path, { within: true }, signal, lost));
        if (!begun) this.#pause(turn); // the run still waits
      });
    };
    try {
      const holder = await askApprovals(place, runId, { told: turn.told, resume, reload: () => this.load() });
      say(`${this.agent} waits for your decision`);
      this.#watch(turn, runId);
      // A long card is read from its beginning.
      if (holder.offsetHeight > (holder.closest("main")?.clientHeight ?? Infinity)) return holder.scrollIntoView();
    } catch (problem) {
      place.replaceChildren(
        fault(
          "This run waits for a decision, but its approvals cannot be loaded.",
          problem.words ?? problem.message,
        ),
      );
    }
    this.on.follow(this);
  }
}
