// The sign-in form, for servers with a key. The key goes to the server once, for a cookie that no script can read; the
// page does not keep the key.

import { call } from "./api.js";
import { $, store, stored } from "./dom.js";

const SIGNED_IN = "agno-rt.signed-in";

export function askForKey(refused = "") {
  document.body.dataset.view = "door";
  $("refused").textContent = refused;
  $("refused").hidden = !refused;
  $("key").value = "";
  $("key").focus();
}

export function setUpDoor(leaving) {
  document.addEventListener("key-wanted", () => askForKey());
  $("door").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("/sign-in", { method: "POST", body: { key: $("key").value } });
    } catch (problem) {
      return askForKey(problem.words);
    }
    store(SIGNED_IN, true);
    location.reload();
  });
  $("leave").addEventListener("click", async () => {
    leaving();
    await call("/sign-in", { method: "DELETE" }).catch(() => {});
    localStorage.clear();
    location.replace("/");
  });
}

export function isSignedIn() {
  return stored(SIGNED_IN) === true;
}
