// Pictures that the server draws: each folds, and is fetched when it is unfolded.

import { image } from "./api.js";
import { el } from "./dom.js";
import { fault } from "./parts.js";

// Return a fold with the SVG at the path. The picture follows the reader's light or dark theme by itself.
export function graph(title, path, open = false) {
  const inside = el("div", { class: "inside", tabindex: "0", role: "group", "aria-label": title });
  const node = el("details", { class: "graph", open }, el("summary", {}, el("span", {}, "Graph")), inside);
  const load = async () => {
    try {
      const source = await image(path);
      const before = inside.querySelector("img");
      if (before) URL.revokeObjectURL(before.src);
      inside.replaceChildren(el("img", { alt: title, src: source }));
    } catch (problem) {
      inside.replaceChildren(fault(problem.message, problem.hint));
    }
  };
  node.addEventListener("toggle", () => node.open && load());
  // A run under way changes: whoever shows the run asks for the picture again.
  node.addEventListener("refresh", () => node.open && load());
  return node;
}
