// Elements from calls. Text is always text: nothing that comes from a server or a link is read as HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Tell screen readers, once things have come to rest.
let telling = 0;
export function say(text) {
  clearTimeout(telling);
  telling = setTimeout(() => {
    document.getElementById("said").textContent = text;
  }, 600);
}

// A table that scrolls by itself on narrow screens. Columns are {title, number}; cells are text or elements.
export function table(caption, columns, rows, rowAttributes = () => ({})) {
  const cell = (value, place) =>
    place === 0
      ? h("th", { scope: "row" }, value)
      : h("td", { class: columns[place].number ? "number" : false }, value ?? "–");
  const head = columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : false }, column.title));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, rows.map((row, place) => h("tr", rowAttributes(place), row.map(cell)))),
    ),
  );
}
