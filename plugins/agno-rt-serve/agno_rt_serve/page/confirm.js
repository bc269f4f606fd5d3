// The dialog that asks before something is lost.

import { $ } from "./dom.js";

for (const button of $("confirm").querySelectorAll("button"))
  button.addEventListener("click", () => $("confirm").close(button.value));

// Ask for confirmation in a dialog. Return whether the answer was yes.
export function ask(question, detail, yes) {
  const dialog = $("confirm");
  $("confirm-question").textContent = question;
  $("confirm-detail").textContent = detail;
  $("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answered) =>
    dialog.addEventListener("close", () => answered(dialog.returnValue === "yes"), { once: true }),
  );
}
