// An answer to take along: JSON as the API gave it, its table as CSV, its plots as PNG, all of it as one HTML file.

import { h, table } from "./dom.js";
import { images } from "./plots.js";

function download(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// A cell that a spreadsheet would take for a formula is kept as text.
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csv = ({ csv: [head, ...rows] }) => [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
const json = ({ request, answer, link }) => JSON.stringify({ request, answer, link }, null, 2);

async function loaded(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

async function png({ title, panels }) {
  const plots = await images(panels.map((own) => own.box), "png");
  const pictures = await Promise.all(plots.map((plot) => loaded(plot.url)));
  const titles = panels.filter((own) => own.box.data && own.box.offsetParent).map((own) => own.title());
  const [head, gap, scale] = [34, 16, 2];
  const canvas = h("canvas", {
    width: scale * Math.max(...plots.map((plot) => plot.width)),
    height: scale * plots.reduce((sum, plot) => sum + plot.height + head + gap, 0),
  });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--raised").trim();
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(scale, scale);
  let top = 0;
  for (const [place, plot] of plots.entries()) {
    context.fillStyle = style.getPropertyValue("--text").trim();
    context.font = "600 15px system-ui, sans-serif";
    context.fillText(`${title}: ${titles[place]}`, 10, top + 22);
    context.drawImage(pictures[place], 0, top + head, plot.width, plot.height);
    top += plot.height + head + gap;
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem;color:#1b2430;background:#fff}
img{max-width:100%;height:auto}table{border-collapse:collapse;font-size:.9em}th,td{padding:.25rem .8rem .25rem 0;border-bottom:1px solid #ddd;text-align:left}
.number{text-align:right}.scroll{overflow-x:auto}.unseen{display:none}pre{white-space:pre-wrap;background:#f3f5f8;padding:.6rem}`;

async function html({ title, summary, words, panels, command, version, link, request, answer }) {
  const plots = await images(panels.map((own) => own.box), "svg");
  const at = new Map(plots.map((plot) => [plot.label, plot]));
  const page = document.implementation.createHTMLDocument(`perfmodel: ${title}`);
  const charset = page.createElement("meta");
  charset.setAttribute("charset", "utf-8");
  const style = page.createElement("style");
  style.textContent = STYLE;
  page.head.prepend(charset);
  page.head.append(style);
  const parts = panels.filter((own) => own.rows()).map((own) => {
    const plot = at.get(own.box.getAttribute("aria-label"));
    const { columns, rows } = own.rows();
    return [
      h("h2", {}, own.title()), plot && h("img", { src: plot.url, alt: plot.label }),
      table(own.title(), columns, rows.map((row) => row.map((value) => (value instanceof Node ? value.textContent : value)))),
    ];
  });
  const data = h("script", { type: "application/json", id: "answer" });
  data.textContent = JSON.stringify({ request, answer, link }).replaceAll("<", "\\u003c");
  page.body.append(
    h("h1", {}, title), h("p", {}, summary), h("ul", {}, words.map((text) => h("li", {}, text))), ...parts.flat().filter(Boolean),
    h("h2", {}, "Where it is from"),
    h("p", {}, `perfmodel ${version}, ${new Date().toISOString().slice(0, 10)}. Predictions with intervals, not measurements.`),
    ...(command ? [h("pre", {}, command)] : []), h("p", {}, link),
    h("h2", {}, "What was asked"), h("pre", {}, JSON.stringify(request, null, 2)), data,
  );
  return `<!doctype html>\n${page.documentElement.outerHTML}`;
}

const FORMS = [
  ["JSON", "json", json, "application/json"], ["CSV", "csv", csv, "text/csv"], ["PNG", "png", png, "image/png"],
  ["HTML", "html", html, "text/html"],
];

// Buttons that save what `exported()` gives: null where there is no answer yet.
export function exportBar(exported) {
  const note = h("span", { role: "status" });
  const save = async (make, ending, type) => {
    const found = exported();
    if (!found) {
      note.textContent = "There is no answer to save yet.";
      return;
    }
    const name = `${found.name}.${ending}`;
    download(name, await make(found), type);
    note.textContent = `Saved: ${name}`;
  };
  return h(
    "div", { class: "exports", role: "group", "aria-label": "Save the answer" }, h("span", {}, "Save as"),
    FORMS.map(([title, ending, make, type]) => h("button", { type: "button", onclick: () => save(make, ending, type) }, title)), note,
  );
}
