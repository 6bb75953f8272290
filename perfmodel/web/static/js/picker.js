// A box with suggestions: one name, or several with a button each to remove them (a combobox as ARIA describes it).

import { h, say } from "./dom.js";
import { state } from "./state.js";

const SHOWN = 40;

// Entries are {value, title, note, text}; words of the search may stand anywhere in `text`, best are those in front.
function found(entries, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = entries.filter((entry) => words.every((word) => entry.text.includes(word)));
  const first = words[0] ?? "";
  return fitting.sort((a, b) => b.value.startsWith(first) - a.value.startsWith(first)).slice(0, SHOWN);
}

export function picker({ name, label, several = false, entries, titleOf = (value) => value }, id, changed) {
  let known = [];
  let offered = [];
  let at = -1;
  const input = h("input", {
    type: "text", id, role: "combobox", "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list",
    autocomplete: "off", spellcheck: "false", placeholder: several ? "Add …" : "Search …",
  });
  const list = h("ul", { id: `${id}-list`, role: "listbox", "aria-label": label, class: "offers", hidden: true });
  const chosen = h("ul", { class: "chosen", "aria-label": `${label}: chosen`, hidden: true });
  const listed = () => (several ? state[name] : []);
  // where other views have several and this one has one, it is the first of them
  const single = () => [state[name]].flat()[0] ?? "";

  const close = () => {
    list.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (place) => {
    at = place;
    [...list.children].forEach((option, own) => option.setAttribute("aria-selected", String(own === at)));
    if (at >= 0) {
      input.setAttribute("aria-activedescendant", `${id}-option-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const open = (search) => {
    offered = found(known, search).filter((entry) => !listed().includes(entry.value));
    list.replaceChildren(
      ...offered.map((entry, place) =>
        h(
          "li",
          { role: "option", id: `${id}-option-${place}`, "aria-selected": "false", onmousedown: (event) => { event.preventDefault(); take(entry.value); } },
          h("span", {}, entry.value), h("small", {}, entry.note),
        ),
      ),
    );
    list.hidden = offered.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(search && offered.length ? 0 : -1);
  };
  const take = (value) => {
    if (!value) return;
    if (!several && Array.isArray(state[name])) state[name] = [value, ...state[name].slice(1).filter((own) => own !== value)];
    else if (!several) state[name] = value;
    else if (!state[name].includes(value)) state[name] = [...state[name], value];
    refresh();
    close();
    changed(name, false);
  };
  const remove = (value) => {
    state[name] = state[name].filter((own) => own !== value);
    refresh();
    say(`${value} removed`);
    input.focus();
    changed(name, false);
  };
  const refresh = () => {
    input.value = several ? "" : titleOf(single());
    chosen.replaceChildren(
      ...listed().map((value) =>
        h("li", {}, h("button", { type: "button", "aria-label": `Remove ${titleOf(value)}`, onclick: () => remove(value) },
          titleOf(value), h("span", { "aria-hidden": "true" }, " ×"))),
      ),
    );
    chosen.hidden = listed().length === 0;
  };

  input.addEventListener("input", () => open(input.value));
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => open(several ? input.value : ""));
  input.addEventListener("blur", () => {
    close();
    const typed = input.value.trim();
    // what is typed out counts, even if the catalog does not list it: the server knows more names
    if (several ? typed : typed && typed !== titleOf(single())) take(typed);
    else if (!several) refresh(); // buttons stay the same ones while one of them is pressed
  });
  input.addEventListener("keydown", (event) => {
    const last = offered.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open(several ? input.value : "");
      else if (event.key === "ArrowDown") mark(at < last ? at + 1 : 0);
      else mark(at > 0 ? at - 1 : last);
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(!list.hidden && at >= 0 ? offered[at].value : input.value.trim());
    } else if (event.key === "Escape") {
      close();
      refresh();
    } else if (event.key === "Backspace" && several && input.value === "" && state[name].length) {
      remove(state[name].at(-1));
    }
  });
  entries.then((loaded) => {
    known = loaded;
    refresh();
  }, () => {}); // without suggestions names can still be typed
  return { content: h("div", { class: "pick" }, chosen, input, list), controls: [input], refresh };
}
