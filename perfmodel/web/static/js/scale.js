// The view Scale: how the time of a model grows with its size.

import { newest, post } from "./api.js";
import { about, chipEntries, LONGEST, PRECISIONS, sizeEntries } from "./catalog.js";
import { h } from "./dom.js";
import * as f from "./format.js";
import { banded, colour, ink, logAxis, panel, verticalLine } from "./plots.js";
import { state } from "./state.js";
import { bodyOf, commandBox, commandOf, fileName, makeView } from "./view.js";

const FIELDS = ["hardware", "precision", "batch", "input_tokens", "output_tokens", "phase", "level"];
const LISTS = ["hardware", "precision", "batch", "input_tokens", "output_tokens", "phase"];
const PHASES = ["", "prefill", "decode", "forward", "encode", "encode_image", "denoise"];
const DASHES = ["solid", "dot", "dash", "dashdot"];
const SYMBOLS = { compute: "circle", memory: "square", network: "diamond", overhead: "triangle-up" };

export function scaleView() {
  const sizes = panel("Time along the size", 420);
  const words = h("div", { class: "panel reasons" });
  const command = commandBox();
  let found = null;
  let version = "";
  const groups = [
    { heading: "Models", brief: () => state.sizes.join(", "), fields: [{ kind: "picker", several: true, name: "sizes", where: ["model"], label: "Families or models", entries: sizeEntries(), hint: "One family, or at least two models." }] },
    { heading: "Chips", brief: () => [state.hardware.join(", "), state.precision.join(", ")].filter(Boolean).join("; "), fields: [
      { kind: "picker", several: true, name: "hardware", label: "Chips", entries: chipEntries() },
      { kind: "checks", name: "precision", label: "Precision", options: PRECISIONS.map((name) => [name, name]), hint: "None: each model’s own." },
    ] },
    { heading: "Work", brief: () => [`batch ${f.count(state.batch)}`, `${f.count(state.input_tokens)} in`, state.phase && f.phaseTitle(state.phase)].filter(Boolean).join(", "), fields: [
      { kind: "slider", name: "batch", label: "Batch", lowest: 1, highest: 1024 },
      { kind: "slider", name: "input_tokens", label: "Input tokens", lowest: 1, highest: LONGEST, suffix: " tokens" },
      { kind: "slider", name: "output_tokens", label: "Output tokens", lowest: 1, highest: 1 << 14, suffix: " tokens" },
      { kind: "select", name: "phase", label: "Phase", options: PHASES.map((name) => [name, name ? f.phaseTitle(name) : "all"]) },
    ] },
  ];
  const view = makeView({
    name: "scale", title: "Scale", lead: "Whether speed depends on the size of a model, and from where on.", groups,
    answer: [sizes.element, words, command.element], own: ["level"], changed: () => main.ask(), opened, exported,
  });
  const body = () => ({ model: state.sizes, ...bodyOf(FIELDS, LISTS) });

  const main = newest(async (_, signal) => {
    try {
      const asked = body();
      found = await post("/scale", asked, signal);
      command.show(commandOf("scale", asked));
      view.succeed(`${found.lines.length} ${found.lines.length === 1 ? "line" : "lines"}. ${found.lines.map((line) => line.reasons[0]).join(" ")}`);
      showWords();
      await draw();
    } catch (error) {
      view.fail(error);
    }
  });

  const nameOf = (line) => [line.family, line.hardware, line.precision, f.phaseTitle(line.phase)].filter(Boolean).join(" · ");

  function draw() {
    const phases = [...new Set(found.lines.map((line) => line.phase))];
    const bases = [...new Set(found.lines.map((line) => `${line.family} ${line.hardware} ${line.precision}`))];
    const build = () => ({
      data: found.lines.flatMap((line) => {
        const shade = colour(bases.indexOf(`${line.family} ${line.hardware} ${line.precision}`));
        const parts = banded({
          name: nameOf(line), x: line.points.map((own) => own.parameters), y: line.points.map((own) => own.seconds), low: line.points.map((own) => own.low),
          high: line.points.map((own) => own.high), shade, dash: DASHES[phases.indexOf(line.phase) % 4],
          text: line.points.map((own) => `${own.model}: ${f.timed(own)}, ${own.bound} bound${own.exponent === null ? "" : `, exponent ${f.number(own.exponent, 2)}`}${own.fits ? "" : ", does not fit"}`),
        });
        const shapes = line.points.map((own) => SYMBOLS[own.bound] ?? "circle");
        parts[2].marker = { size: 9, color: shade, symbol: shapes.map((symbol, at) => (line.points[at].fits ? symbol : `${symbol}-open`)) };
        return parts;
      }),
      layout: {
        xaxis: logAxis("parameters", found.lines.flatMap((line) => line.points.map((own) => own.parameters)), f.parameters),
        yaxis: logAxis("time", found.lines.flatMap((line) => line.points.map((own) => own.seconds)), f.seconds),
        shapes: found.lines.flatMap((line) => line.crossings.map((own) => verticalLine(own.parameters, ink(), "dot"))),
      },
    });
    const columns = ["Model", "Chip", "Phase", "Parameters", "Time", "Interval", "Exponent", "Bound", "Fits"].map((title, at) => ({ title, number: at > 2 && at < 7 }));
    const rows = found.lines.flatMap((line) => line.points.map((own) => [
      own.model, `${line.hardware} · ${line.precision}`, f.phaseTitle(line.phase), f.parameters(own.parameters), f.seconds(own.seconds), f.interval(own.low, own.high, own.seconds),
      f.number(own.exponent, 2), own.bound, own.fits ? "yes" : "no"]));
    return sizes.show({ label: `Time along the number of parameters: ${found.lines.map((line) => `${nameOf(line)}, exponent ${f.number(line.exponent, 2)}`).join("; ")}`, build, columns, rows });
  }

  function showWords() {
    const refused = (found.errors ?? found.refused ?? []).map((own) => own.error ?? String(own));
    words.replaceChildren(
      h("h3", {}, "In words"),
      ...found.lines.flatMap((line) => [
        h("h4", {}, nameOf(line)),
        h("ul", {}, line.reasons.map((text) => h("li", {}, text)), line.regimes.map((own) => h("li", {}, `${own.models[0]}${own.models.length > 1 ? ` to ${own.models.at(-1)}` : ""}: ${own.bound} bound, exponent ${f.number(own.exponent, 2)}.`))),
      ]),
      ...refused.map((text) => h("p", { class: "refused" }, text)),
      h("p", { class: "hint" }, "Circles are compute bound, squares memory bound, triangles overhead, diamonds the network; hollow: does not fit in memory."),
    );
  }

  function opened() {
    about().then((told) => { version = told.version; }, () => {});
    main.ask();
  }

  function exported() {
    if (!found) return null;
    const head = ["family", "hardware", "precision", "phase", "model", "parameters", "seconds", "low", "high", "bound", "exponent", "memory_bytes", "fits"];
    const rows = found.lines.flatMap((line) => line.points.map((own) => [line.family, line.hardware, line.precision, line.phase, ...head.slice(4, -1).map((key) => own[key]), String(own.fits)]));
    return {
      name: fileName("scale", state.sizes, state.hardware), title: `${state.sizes.join(", ")} on ${state.hardware.join(", ")}`, summary: view.summary.textContent, words: found.lines.flatMap((line) => line.reasons),
      version, panels: [sizes], command: command.text(), link: location.href, request: body(), answer: found, csv: [head, ...rows],
    };
  }
  return view;
}
