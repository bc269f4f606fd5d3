// The form to write messages: text, attached files, and the queue of messages to send.

import { $, el, fileSize, say } from "./dom.js";

const KINDS = { image: "image", audio: "audio", video: "video" };
const told = JSON.parse(document.documentElement.dataset.settings);

const COMPOSED = 50; // milliseconds after the end of a composition in which Enter belongs to the input method

let files = [];

export function setUpComposer({ send, stop }) {
  const [form, input] = [$("form"), $("input")];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if ((!text && !files.length) || input.disabled) return;
    send(content(text));
    setDraft("");
  });
  input.addEventListener("input", fit);
  // The Enter that confirms an input method's candidate is not the Enter that sends. Browsers tell it apart by
  // `isComposing` or by the key code 229; Safari ends the composition first, so an Enter right after the end counts too.
  let composed = -Infinity;
  input.addEventListener("compositionend", (event) => {
    composed = event.timeStamp;
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    if (event.timeStamp - composed < COMPOSED) return;
    event.preventDefault();
    form.requestSubmit();
  });
  $("stop").addEventListener("click", stop);
  $("attach").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => {
    attach($("files").files);
    $("files").value = "";
  });
  input.addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    attach(event.clipboardData.files);
  });
  addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    attach(event.dataTransfer.files);
  });
}

// Return the input of a run: text alone, or parts.
function content(text) {
  if (!files.length) return text;
  const parts = files.map(({ kind, data, name, media_type }) => ({ type: kind, data, name, media_type }));
  return text ? [{ type: "text", text }, ...parts] : parts;
}

export function draft() {
  return $("input").value;
}
export function setDraft(text) {
  $("input").value = text;
  files = [];
  drawFiles();
  fit();
}

// While an answer is under way, the button to send is shown only when there is something to queue.
function fitSend() {
  const running = $("form").dataset.state === "running";
  $("send").hidden = running && !$("input").value.trim() && !files.length;
  $("send").textContent = running ? "Queue" : "Send";
}

function fit() {
  fitSend();
  const input = $("input");
  if (CSS.supports("field-sizing", "content")) return;
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
}

async function attach(list) {
  warn("");
  for (const file of list) {
    if (file.size > told.max_media) {
      warn(`${file.name} is too large (${fileSize(file.size)}): ${fileSize(told.max_media)} is the limit.`);
      continue;
    }
    const whole = files.reduce((sum, one) => sum + one.data.length, 0) + Math.ceil(file.size / 3) * 4;
    if (whole > told.max_body * 0.85) {
      warn(`${file.name} does not fit: all files of a message together have ${fileSize(told.max_body)} at most.`);
      continue;
    }
    const data = await base64(file);
    files.push({
      kind: KINDS[file.type.split("/")[0]] ?? "file",
      data,
      name: file.name,
      size: file.size,
      media_type: file.type || undefined,
    });
  }
  drawFiles();
  $("input").focus();
}

function base64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

function drawFiles() {
  $("attached").replaceChildren(
    ...files.map((file) =>
      el(
        "li",
        {},
        el("span", {}, file.name),
        el("span", { class: "size" }, fileSize(file.size)),
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": `Remove ${file.name}`,
            click: () => {
              files = files.filter((one) => one !== file);
              drawFiles();
              $("input").focus();
            },
          },
          "×",
        ),
      ),
    ),
  );
  $("attached").hidden = !files.length;
  fitSend();
}

export function warn(text) {
  $("warning").textContent = text;
  $("warning").hidden = !text;
  if (text) say(text);
}

// Show the messages that wait for the end of the current answer.
export function drawQueue(queue, textOf, remove) {
  $("queue").replaceChildren(
    ...queue.map((content, index) =>
      el(
        "li",
        {},
        el("span", { class: "next" }, "Next"),
        el("span", { class: "words" }, textOf(content) || "Attached files"),
        el(
          "button",
          { type: "button", class: "quiet", "aria-label": "Remove from the queue", click: () => remove(index) },
          "×",
        ),
      ),
    ),
  );
  $("queue").hidden = !queue.length;
}

// `state` is `idle`, `running` or `closed`; a closed form says why nothing can be sent.
export function setComposer(state, why = "") {
  $("form").dataset.state = state;
  $("stop").hidden = state !== "running";
  fitSend();
  $("input").disabled = $("send").disabled = $("attach").disabled = state === "closed";
  $("input").placeholder = why || (state === "running" ? "Write the next message" : "Write a message");
}
