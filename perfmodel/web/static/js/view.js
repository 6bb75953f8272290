// What all views share: a form, what is wrong shown at its fields, the answer beside it, and the ways to take it along.

import { Refused } from "./api.js";
import { h, say } from "./dom.js";
import { exportBar } from "./exports.js";
import { makeField } from "./fields.js";
import { makeGroup } from "./groups.js";
import { state, writeAddress } from "./state.js";

const MARGIN = 10; // px between the form and the edge of the window

// A view from {name, title, lead, groups, answer, changed, opened, exported}. `groups` are those of the form, {heading, brief, fields,
// rest, folded}; `answer` the elements beside it; `changed(field, moving)` is called when something is asked anew,
// by a field or by `tell`, once the address knows of it; `own` are names of the state that have no field here.
export function makeView({ name, title, lead, groups, answer, more = [], changed, opened, exported, own = [] }) {
  const fields = [];
  const tell = (field, moving) => {
    writeAddress(view);
    folds.forEach((fold) => fold.refresh());
    changed(field, moving);
  };
  const folds = groups.map(({ fields: specs, rest = [], ...group }) => {
    const parts = specs.map((spec) => makeField(spec, name, tell));
    fields.push(...parts);
    const fold = makeGroup(name, { ...group, inside: [...parts.map((part) => part.element), ...rest] });
    parts.forEach((part) => {
      part.fold = fold;
    });
    return fold;
  });
  const wrong = h("p", { class: "error general", role: "alert", hidden: true });
  const summary = h("p", { class: "summary" });
  const form = h("form", { class: "ask", "aria-label": `${title}: what is asked`, novalidate: true }, folds.map((fold) => fold.element), more.length ? h("div", { class: "more" }, more) : null);
  form.addEventListener("submit", (event) => event.preventDefault());
  const stay = () => form.style.setProperty("--top", `${Math.min(MARGIN, window.innerHeight - form.offsetHeight - MARGIN)}px`);
  new ResizeObserver(stay).observe(form);
  window.addEventListener("resize", stay);
  const result = h("div", { class: "answer" }, wrong, summary, answer, exportBar(() => exported()));
  const element = h(
    "section", { id: `view-${name}`, class: "view", hidden: true, "aria-labelledby": `title-${name}` },
    h("div", { class: "head" }, h("h1", { id: `title-${name}`, tabindex: "-1" }, title), h("p", { class: "lead" }, lead)),
    h("div", { class: "columns" }, form, result),
  );

  const view = {
    name, title, element, summary, form, tell,
    fields: [...fields.map((field) => field.name), ...own],
    field: (wanted) => fields.find((field) => field.name === wanted),
    refresh: () => [...fields, ...folds].forEach((own) => own.refresh()),
    open() {
      view.refresh();
      opened();
    },
    // all is well: nothing stays marked as wrong, and the answer is that of the form
    succeed(text) {
      fields.forEach((field) => field.fail(""));
      wrong.hidden = true;
      result.classList.remove("stale");
      if (text && summary.textContent !== text) {
        summary.textContent = text;
        say(text);
      }
    },
    fail(error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) console.error(error);
      const mistakes = error.mistakes ?? [{ where: "page", error: String(error.message ?? error) }];
      const at = new Map(fields.map((field) => [field, []]));
      const rest = [];
      for (const mistake of mistakes) {
        const base = mistake.where.replace(/[[.].*$/, "");
        const field = fields.find((each) => each.where.includes(base) && !each.element.hidden);
        (field ? at.get(field) : rest).push(mistake.error);
      }
      for (const [field, texts] of at) {
        if (texts.length) field.fold.show();
        field.fail(texts.join("\n"));
      }
      wrong.textContent = rest.join("\n");
      wrong.hidden = rest.length === 0;
      result.classList.add("stale");
    },
  };
  return view;
}

const slug = (text) => text.toLowerCase().replace(/[^a-z0-9.]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60);

// The name of a file with an answer: perfmodel-serve-llama-3.1-8b-h100-sxm
export const fileName = (...parts) => ["perfmodel", ...parts.flat().slice(0, 4).map(slug)].filter(Boolean).join("-");

const SAME = { tp: 1, pp: 1, replicas: 1, level: 0.8 }; // what the API takes where nothing is said

// A body with those fields of the state that are given; lists where the API takes lists.
export function bodyOf(names, lists = []) {
  const body = {};
  for (const name of names) {
    const value = state[name];
    if (value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0) || value === SAME[name]) continue;
    body[name] = lists.includes(name) && !Array.isArray(value) ? [value] : value;
  }
  return body;
}

const quoted = (text) => (/^[\w.,:@%+=/-]+$/.test(text) ? text : `'${String(text).replaceAll("'", "'\\''")}'`);

// Own prices as a file that the shell makes of a text; JSON is YAML, too.
function priceFile(prices) {
  const shared = { source: "given in the page", date: new Date().toISOString().slice(0, 10) };
  return `<(echo ${quoted(JSON.stringify({ ...shared, prices }))})`;
}

// The command that gives the same answer in a terminal.
export function commandOf(verb, body, positional = "model") {
  const parts = ["perfmodel", verb];
  for (const [name, value] of Object.entries(body)) {
    const text = name === "prices" ? priceFile(value) : quoted([value].flat().join(","));
    if (name === positional) parts.splice(2, 0, text);
    else parts.push(`--${name.replaceAll("_", "-")}`, text);
  }
  return parts.join(" ");
}

// A command with a button that copies it.
export function commandBox() {
  const code = h("code");
  const button = h("button", { type: "button", onclick: () => copy(code.textContent, button) }, "Copy");
  const element = h("div", { class: "command" }, h("h3", {}, "In a terminal"), h("div", {}, h("pre", { tabindex: "0" }, code), button));
  return {
    element,
    text: () => code.textContent,
    show(text) {
      // lines end between words, not behind the hyphens of an option
      code.replaceChildren(...text.split(" ").flatMap((word, place) => [place ? " " : "", h("span", {}, word)]));
      element.hidden = !text || text.includes("upload:");
    },
  };
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = before;
    }, 1500);
  } catch {
    say("The browser does not let this page copy: take it from the address bar");
  }
}
