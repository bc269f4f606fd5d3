// The dialog that asks before something is lost.

import { $ } from "./dom.js";

let answer = null; // what the open question does with its answer

for (const button of $("confirm").querySelectorAll("button"))
  button.addEventListener("click", () => {
    $("confirm").close();
    settle(button.value === "yes");
  });
$("confirm").addEventListener("cancel", () => settle(false)); // by Escape

function settle(yes) {
  const settled = answer;
  answer = null;
  settled?.(yes);
}

// Ask for confirmation in a dialog. Return whether the answer was yes. The browser tells of a closed dialog late, when
// the next question may be open already: the answer is that of the button and of Escape, not of the closing.
export function ask(question, detail, yes) {
  settle(false);
  $("confirm-question").textContent = question;
  $("confirm-detail").textContent = detail;
  $("confirm-yes").textContent = yes;
  if (!$("confirm").open) $("confirm").showModal();
  return new Promise((settled) => {
    answer = settled;
  });
}
