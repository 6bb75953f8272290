// Memory of each chip as a bar of its parts, with a line where the memory ends.

import { h, table } from "./dom.js";
import * as f from "./format.js";

const PARTS = ["weights", "cache", "activations", "overhead"];

export function memoryBars() {
  const bars = h("div", { class: "bars" });
  const details = h("details", {}, h("summary", {}, "Memory as a table"));
  const legend = h("ul", { class: "legend", "aria-hidden": "true" }, PARTS.map((part) => h("li", { class: part }, part)), h("li", { class: "fit" }, "the chip’s memory"));
  const element = h("figure", { class: "panel" }, h("figcaption", {}, h("h3", {}, "Memory of one device")), bars, legend, details);

  function bar(own, most) {
    const memory = own.memory_bytes;
    const label = `${own.hardware}, ${own.precision}: ${f.bytes(memory.total)} of ${f.bytes(memory.capacity)}, ${own.fits ? "fits" : "does not fit"}`;
    const track = h("div", { class: "track", role: "img", "aria-label": label });
    for (const part of PARTS.filter((name) => memory[name] > 0)) {
      const piece = h("span", { class: part, title: `${part}: ${f.bytes(memory[part])}` });
      piece.style.width = `${(100 * memory[part]) / most}%`;
      track.append(piece);
    }
    const line = h("i", { class: "fit" });
    line.style.left = `${(100 * memory.capacity) / most}%`;
    track.append(line);
    return h("div", { class: own.fits ? "bar" : "bar over" }, h("p", {}, h("span", {}, `${own.hardware} · ${own.precision}`), h("span", {}, `${f.bytes(memory.total)} of ${f.bytes(memory.capacity)}${own.fits ? "" : ": does not fit"}`)), track);
  }

  return {
    element,
    draw(answers) {
      const fine = answers.filter((own) => !own.error);
      bars.replaceChildren(...fine.map((own) => bar(own, Math.max(own.memory_bytes.total, own.memory_bytes.capacity) * 1.02)));
      const columns = ["Chip", ...PARTS, "total", "capacity", "fits"].map((title, place) => ({ title, number: place > 0 && place < 7 }));
      const rows = fine.map((own) => [`${own.hardware} · ${own.precision}`, ...[...PARTS, "total", "capacity"].map((part) => f.bytes(own.memory_bytes[part])), own.fits ? "yes" : "no"]);
      details.replaceChildren(details.firstChild, table("Memory by part", columns, rows));
    },
  };
}
