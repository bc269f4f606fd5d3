// A form for a JSON Schema: fields for plain types, JSON for the rest.

import { el, elementId } from "./dom.js";

// Make a form for `schema`, filled with `value`. Return {node, read, focus}: `read` returns the value, or throws an
// error that names the field.
export function schemaForm(schema, value) {
  const resolved = resolve(schema ?? {}, schema ?? {});
  const known = resolved.type === "object" && resolved.properties && (value === undefined || isObject(value));
  const keys = Object.keys(known ? resolved.properties : {});
  const extra = isObject(value) && Object.keys(value).some((key) => !keys.includes(key));
  return known && keys.length && !extra ? objectForm(resolved, schema, value ?? {}) : jsonForm(value, "As JSON");
}

export function jsonForm(value, label, given = true) {
  const field = jsonField(value);
  const id = elementId("field");
  field.input.id = id;
  return {
    node: el("div", { class: "fields" }, el("label", { for: id }, label), field.input),
    read: () => {
      const read = field.read();
      if (read === undefined && given) throw new Error(`${label} is empty.`);
      return read;
    },
    focus: () => field.input.focus(),
  };
}

function objectForm(resolved, root, value) {
  const required = new Set(resolved.required ?? []);
  const node = el("div", { class: "fields" });
  const fields = Object.entries(resolved.properties).map(([name, raw]) => {
    const schema = resolve(raw, root);
    const given = name in value ? value[name] : schema.default;
    const field = isQuestion(schema, given, required.has(name)) ? yesNoField() : fieldFor(schema, given);
    const id = elementId("field");
    field.input.id = id;
    const hint = schema.description ? el("p", { class: "hint", id: `${id}-hint` }, schema.description) : null;
    if (hint) field.input.setAttribute("aria-describedby", hint.id);
    const label = el(
      "label",
      { for: id },
      name,
      required.has(name) ? null : el("span", { class: "optional" }, " optional"),
    );
    node.append(
      el("div", { class: `field ${field.input.type === "checkbox" ? "check" : ""}` }, label, hint, field.input),
    );
    return { name, field, optional: !required.has(name) };
  });
  return { node, read: () => readAll(fields), focus: () => fields[0].field.input.focus() };
}

function readAll(fields) {
  const read = {};
  for (const { name, field, optional } of fields) {
    let value;
    try {
      value = field.read();
    } catch (error) {
      field.input.focus();
      throw new Error(`${name}: ${error.message}`, { cause: error });
    }
    if (value !== undefined) read[name] = value;
    else if (!optional) {
      field.input.focus();
      throw new Error(`${name} is missing.`);
    }
  }
  return read;
}

function fieldFor(schema, value) {
  if (Array.isArray(schema.enum)) return choiceField(schema.enum, value);
  if (schema.type === "string" && (value === undefined || value === null || typeof value === "string"))
    return textField(schema, value);
  if (schema.type === "boolean") return checkField(value);
  if (schema.type === "integer" || schema.type === "number") return numberField(schema, value);
  return jsonField(value);
}

function textField(schema, value) {
  const long = typeof value === "string" && (value.length > 60 || value.includes("\n"));
  const input = long
    ? el("textarea", { rows: "4" })
    : el("input", { type: schema.format === "password" ? "password" : "text", autocomplete: "off" });
  input.value = value ?? "";
  // An empty text means no value, unless the field began with a text.
  return { input, read: () => (input.value === "" && typeof value !== "string" ? undefined : input.value) };
}

function numberField(schema, value) {
  const whole = schema.type === "integer";
  const input = el("input", { type: "text", inputmode: whole ? "numeric" : "decimal", autocomplete: "off" });
  input.value = value ?? "";
  return {
    input,
    read: () => {
      const text = input.value.trim();
      if (!text) return undefined;
      const number = Number(text);
      if (!Number.isFinite(number) || (whole && !Number.isInteger(number)))
        throw new Error(`write a ${whole ? "whole " : ""}number.`);
      return number;
    },
  };
}

function checkField(value) {
  const input = el("input", { type: "checkbox" });
  input.checked = value === true;
  return { input, read: () => input.checked };
}

// A box that nobody has ticked says nothing: what has to be answered with yes or no is a choice of its own.
const isQuestion = (schema, given, required) => schema.type === "boolean" && given === undefined && required;
const yesNoField = () => choiceField([true, false], undefined, ["Yes", "No"]);

function choiceField(choices, value, words = choices.map((one) => (typeof one === "string" ? one : JSON.stringify(one)))) {
  const input = el(
    "select",
    {},
    el("option", { value: "" }, "Choose"),
    words.map((word, index) => el("option", { value: String(index) }, word)),
  );
  const at = choices.indexOf(value);
  input.value = at < 0 ? "" : String(at);
  return { input, read: () => (input.value === "" ? undefined : choices[Number(input.value)]) };
}

function jsonField(value) {
  const input = el("textarea", { rows: "4", class: "mono", spellcheck: "false" });
  input.value = value === undefined ? "" : JSON.stringify(value, null, 2);
  return {
    input,
    read: () => {
      if (!input.value.trim()) return undefined;
      try {
        return JSON.parse(input.value);
      } catch {
        throw new Error("this is not JSON. Put text in double quotes.");
      }
    },
  };
}

// Return the schema with its references resolved, and without `null` beside another type.
function resolve(schema, root, depth = 0) {
  if (!isObject(schema) || depth > 8) return {};
  if (typeof schema.$ref === "string" && schema.$ref.startsWith("#/")) {
    const found = schema.$ref
      .slice(2)
      .split("/")
      .reduce((place, key) => place?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], root);
    return { ...resolve(found, root, depth + 1), ...without(schema, "$ref") };
  }
  const choices = (schema.anyOf ?? []).filter((one) => one.type !== "null");
  if (schema.anyOf && choices.length === 1) {
    return { ...resolve(choices[0], root, depth + 1), ...without(schema, "anyOf") };
  }
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((type) => type !== "null");
    if (types.length === 1) return { ...schema, type: types[0] };
  }
  return schema;
}

function without(object, key) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
}
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
