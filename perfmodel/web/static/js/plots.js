// Plots by plotly.js, in the colours of the page, each beside a table with the same numbers.

import { h, table } from "./dom.js";

const NARROW = 560; // px of a window in which ticks stand closer

let loading = null;
const drawn = new Map();

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/static/plotly.min.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("plotly.js cannot be loaded")));
    document.head.append(script);
  });
  return loading;
}
export const preload = () => plotly().catch(() => {});

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const colours = () => ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"].map(css);
export const colour = (place) => colours()[place % 8];
export const ink = () => css("--soft");

export function clear(hex, share) {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},${share})`;
}

// plotly reads a little HTML in its labels; names of models and ops are text
export const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function axis(own = {}) {
  return {
    gridcolor: css("--line"), linecolor: css("--line"), zerolinecolor: css("--line"), automargin: true, tickfont: { size: 12 },
    fixedrange: true, ...own, title: { font: { size: 12 }, standoff: 8, ...(own.title ?? {}) },
  };
}

function dressed(layout) {
  const axes = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name));
  return {
    margin: { l: 8, r: 12, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    font: { family: "system-ui, sans-serif", size: 12, color: css("--text") },
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line"), font: { color: css("--text") }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" },
    ...layout,
    ...Object.fromEntries(["xaxis", "yaxis", ...axes].map((name) => [name, axis(layout[name])])),
  };
}

// A logarithmic axis with ticks in words: 1, 2 and 5 of each power where they are few, powers where they are many.
export function logAxis(title, values, format) {
  const fine = values.filter((value) => value > 0);
  const [low, high] = [Math.log10(Math.min(...fine)), Math.log10(Math.max(...fine))];
  const span = (high - low) * (window.innerWidth < NARROW ? 2.5 : 1);
  const digits = span < 1.8 ? [1, 2, 5] : span < 3 ? [1, 3] : [1];
  const step = Math.max(1, Math.ceil((high - low) / 8));
  const ticks = [];
  for (let power = Math.floor(low) - 1; power <= Math.ceil(high) + 1; power += step) ticks.push(...digits.map((digit) => Number(`${digit}e${power}`)));
  const text = ticks.map((tick) => format(tick).replace(/(\d)\.0+(?= |$)/, "$1"));
  return { type: "log", title: { text: title }, tickvals: ticks, ticktext: text };
}

async function paint(box) {
  const build = drawn.get(box);
  const library = await plotly();
  if (drawn.get(box) !== build || !box.isConnected || !box.offsetParent) return;
  const { data, layout } = build();
  await library.react(box, data, dressed({ ...layout, width: box.clientWidth }), { displayModeBar: false });
}

// A line with its interval as a band behind it.
export function banded({ name, x, y, low, high, shade, axes = {}, text, dash = "solid", group = name, legend = true }) {
  const common = { x, mode: "lines", legendgroup: group, hoverinfo: "skip", showlegend: false, ...axes };
  return [
    { ...common, y: low, line: { width: 0 }, connectgaps: false },
    { ...common, y: high, line: { width: 0 }, fill: "tonexty", fillcolor: clear(shade, 0.18), connectgaps: false },
    {
      x, y, name: plain(name), legendgroup: group, mode: "lines+markers", line: { color: shade, width: 2, dash }, marker: { size: 5, color: shade },
      hovertext: text.map(plain), hoverinfo: "text", showlegend: legend, ...axes,
    },
  ];
}

export const verticalLine = (x, shade, dash = "dash") => ({
  type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: shade, width: 1.5, dash },
});

// A plot with a heading, a description for who does not see it, and its numbers as a table.
export function panel(title, height = 320) {
  const box = h("div", { class: "plot", role: "img", "aria-label": title });
  box.style.height = `${height}px`;
  const numbers = h("div");
  const extra = h("div", { class: "extra" });
  const details = h("details", {}, h("summary", {}, `${title} as a table`), numbers);
  const heading = h("h3", {}, title);
  const element = h("figure", { class: "panel" }, h("figcaption", {}, heading, extra), box, details);
  let rows = null;
  const fill = () => details.open && rows && numbers.replaceChildren(table(title, rows.columns, rows.rows));
  details.addEventListener("toggle", fill);
  return {
    element, extra, box, title: () => heading.textContent,
    rows: () => rows,
    rename(text) {
      heading.textContent = text;
    },
    // another line in place of the first, without drawing all the rest anew
    async move(line) {
      const library = await plotly();
      if (box.data && box.offsetParent) await library.relayout(box, { "shapes[0]": line });
    },
    // `label` says what the plot shows; `build` gives {data, layout} in the colours of the moment
    show({ label, build, columns, rows: own }) {
      box.setAttribute("aria-label", label);
      rows = { columns, rows: own };
      fill();
      drawn.set(box, build);
      return paint(box);
    },
  };
}

const repaint = () => [...drawn.keys()].forEach((box) => box.isConnected && paint(box));
export const repaintAll = repaint;
document.addEventListener("themechange", repaint);
let resizing = 0;
window.addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(repaint, 100);
});

// The plots of a view as images: in the form that `format` names, light, for paper.
export async function images(boxes, format, scale = 2) {
  const library = await plotly();
  const ready = boxes.filter((box) => box.data && box.offsetParent);
  return Promise.all(
    ready.map(async (box) => ({
      label: box.getAttribute("aria-label"), width: box.clientWidth, height: box.clientHeight,
      url: await library.toImage(box, { format, width: box.clientWidth, height: box.clientHeight, scale }),
    })),
  );
}
