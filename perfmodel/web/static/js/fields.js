// Fields of a form, each with its label, its value in the state, and a place for what is wrong with it.

import { prices } from "./costs.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { picker } from "./picker.js";
import { state } from "./state.js";

const STEPS = 400; // of a slider over powers

const KINDS = { slider, number: numeric, select, checks, picker, prices };

// A field from its description {kind, name, label, hint, where, ...}; `changed(name, moving)` is told of each change.
// `where` lists the fields of the API that it stands for, where they have another name.
export function makeField(spec, prefix, changed) {
  const id = `${prefix}-${spec.name}`;
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true });
  const made = KINDS[spec.kind](spec, id, changed);
  const label = made.group ? h("legend", {}, spec.label) : h("label", { for: id, id: `${id}-label` }, spec.label);
  const hint = spec.hint && h("p", { class: "hint", id: `${id}-hint` }, spec.hint);
  const element = h(made.group ? "fieldset" : "div", { class: "field" }, label, made.content, hint, error);
  const controls = made.controls ?? [];
  for (const control of controls) {
    control.setAttribute("aria-describedby", [hint ? `${id}-hint` : "", `${id}-error`].join(" ").trim());
  }
  return {
    ...spec,
    element,
    refresh: made.refresh,
    where: spec.where ?? [spec.name],
    fail(text) {
      error.textContent = text;
      error.hidden = !text;
      for (const control of controls) {
        if (text) control.setAttribute("aria-invalid", "true");
        else control.removeAttribute("aria-invalid");
      }
    },
    visible(shown) {
      element.hidden = !shown;
    },
    focus: () => controls[0]?.focus(),
  };
}

// A number that is typed is taken as it stands, wrong ones too: the server knows its bounds, and tells them.
function typed(text) {
  if (text.trim() === "") return null;
  return Number.isNaN(Number(text)) ? text : Number(text);
}

// `lowest` to `highest` on a logarithmic scale, and a box for the exact number.
function slider({ name, label, lowest, highest, whole = true, suffix = "" }, id, changed) {
  const ratio = Math.log(highest / lowest);
  const valueAt = (place) => {
    const value = lowest * Math.exp((ratio * place) / STEPS);
    const rounded = Number(value.toPrecision(value < 100 ? 2 : 3));
    return whole ? Math.round(rounded) : rounded;
  };
  const placeOf = (value) => Math.round((STEPS * Math.log(Math.max(lowest, value) / lowest)) / ratio);
  const range = h("input", { type: "range", min: 0, max: STEPS, step: 1, id });
  const box = h("input", { type: "text", inputmode: "decimal", id: `${id}-box`, "aria-label": `${label}, exactly`, autocomplete: "off" });
  const show = () => {
    const value = state[name];
    if (Number.isFinite(value) && value > 0) range.value = placeOf(value);
    range.setAttribute("aria-valuetext", `${Number.isFinite(value) ? number(value) : (value ?? "none")}${suffix}`);
  };
  const refresh = () => {
    box.value = state[name] ?? "";
    show();
  };
  let place = null;
  range.addEventListener("input", () => {
    let value = valueAt(Number(range.value));
    // neighbouring places of small whole numbers are the same number: a step is always a step
    if (whole && value === state[name] && place !== null && Number(range.value) !== place) {
      value += Number(range.value) > place ? 1 : -1;
      value = Math.min(highest, Math.max(lowest, value));
      range.value = placeOf(value);
    }
    place = Number(range.value);
    state[name] = value;
    box.value = value;
    show();
    changed(name, true);
  });
  range.addEventListener("focus", () => {
    place = Number(range.value);
  });
  box.addEventListener("input", () => {
    state[name] = typed(box.value);
    show();
    changed(name, true);
  });
  return { content: h("div", { class: "slide" }, range, box), controls: [range, box], refresh };
}

function numeric({ name, placeholder = "" }, id, changed) {
  const box = h("input", { type: "text", inputmode: "decimal", id, placeholder, autocomplete: "off" });
  box.addEventListener("input", () => {
    state[name] = typed(box.value);
    changed(name, true);
  });
  const refresh = () => {
    box.value = state[name] ?? "";
  };
  return { content: box, controls: [box], refresh };
}

function select({ name, options, number: numbers }, id, changed) {
  const list = h("select", { id });
  let known = options;
  const fill = () => list.replaceChildren(...known.map(([value, title]) => h("option", { value }, title)));
  list.addEventListener("change", () => {
    const value = numbers ? Number(list.value) : list.value;
    // where other views have several and this one has one, it is the first of them
    state[name] = Array.isArray(state[name]) ? [value].filter(Boolean) : value;
    changed(name, false);
  });
  const refresh = () => {
    const value = String([state[name]].flat()[0] ?? "");
    known = known.some(([own]) => String(own) === value) ? known : [...known, [value, value]];
    fill();
    list.value = value;
  };
  if (options.then) {
    known = [];
    options.then((loaded) => {
      known = loaded;
      refresh();
    }, () => {});
  }
  return { content: list, controls: [list], refresh };
}

function checks({ name, options }, id, changed) {
  const boxes = h("div", { class: "checks" });
  const choose = () => {
    const chosen = [...boxes.querySelectorAll("input:checked")].map((box) => box.value);
    state[name] = typeof options[0][0] === "number" ? chosen.map(Number) : chosen;
    changed(name, false);
  };
  const refresh = () => {
    const unknown = state[name].filter((value) => !options.some(([own]) => own === value)).map((value) => [value, value]);
    boxes.replaceChildren(
      ...[...options, ...unknown].map(([value, title]) => {
        const box = h("input", { type: "checkbox", value, id: `${id}-${value}`, onchange: choose });
        box.checked = state[name].includes(value);
        return h("label", { class: "check", for: `${id}-${value}` }, box, h("span", {}, title));
      }),
    );
  };
  return { content: boxes, group: true, refresh };
}
