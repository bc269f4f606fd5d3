// Light or dark, as the reader's system. RapiDoc takes its theme from an attribute.

const dark = matchMedia("(prefers-color-scheme: dark)");
const apply = () => document.querySelector("rapi-doc").setAttribute("theme", dark.matches ? "dark" : "light");
dark.addEventListener("change", apply);
apply();
