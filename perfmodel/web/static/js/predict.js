// The view Predict: chips side by side, and why one of them takes what it takes.

import { newest, post } from "./api.js";
import { about, chipEntries, LONGEST, modelEntries, modelFacts, modelTitle, PRECISIONS } from "./catalog.js";
import { curvePanel } from "./curves.js";
import { h, say, table } from "./dom.js";
import * as f from "./format.js";
import { memoryBars } from "./memory_bars.js";
import { banner, latencyPanel, opsTable, rooflinePanel } from "./predict_plots.js";
import { state } from "./state.js";
import { uploader } from "./upload.js";
import { bodyOf, commandBox, commandOf, fileName, makeView } from "./view.js";

const FIELDS = ["model", "hardware", "precision", "batch", "input_tokens", "output_tokens", "image_size", "steps", "tp", "pp", "level"];
const LISTS = ["model", "hardware", "precision", "batch", "input_tokens", "output_tokens", "steps", "tp", "pp"];
const REST = 400; // ms without a move until the curve, which is many answers, is asked for
const DEGREES = [1, 2, 4, 8, 16].map((count) => [count, String(count)]);

export function predictView() {
  const latency = latencyPanel();
  const along = curvePanel(() => view.tell("along"));
  const roof = rooflinePanel();
  const memory = memoryBars();
  const command = commandBox();
  const figures = h("div", { class: "panel" });
  const reasons = h("div", { class: "panel reasons" });
  const ops = h("details", { class: "panel" }, h("summary", {}, "Every op"));
  let answers = null;
  let explained = null;
  let facts = null;
  let version = "";

  const groups = [
    { heading: "Model", brief: () => modelTitle(state.model), fields: [{ kind: "picker", name: "model", label: "Model", entries: modelEntries(), titleOf: modelTitle }],
      rest: [uploader((model) => { state.model = model.id; view.refresh(); view.tell("model"); })] },
    { heading: "Chips", brief: () => [state.hardware.join(", "), state.precision.join(", ")].filter(Boolean).join("; "), fields: [
      { kind: "picker", several: true, name: "hardware", label: "Chips side by side", entries: chipEntries() },
      { kind: "checks", name: "precision", label: "Precision", options: PRECISIONS.map((name) => [name, name]), hint: "None: the model’s own." },
      { kind: "select", name: "tp", label: "Devices: tensor parallel", options: DEGREES, number: true, where: ["tp", "ep"] },
      { kind: "select", name: "pp", label: "Devices: pipeline stages", options: DEGREES, number: true },
    ] },
    { heading: "Work", brief: workBrief, fields: [
      { kind: "slider", name: "batch", label: "Batch", lowest: 1, highest: 1024 },
      { kind: "slider", name: "input_tokens", label: "Input tokens", lowest: 1, highest: LONGEST, suffix: " tokens" },
      { kind: "slider", name: "output_tokens", label: "Output tokens", lowest: 1, highest: 1 << 14, suffix: " tokens" },
      { kind: "slider", name: "image_size", label: "Image size", lowest: 32, highest: 2048, suffix: " pixels" },
      { kind: "slider", name: "steps", label: "Denoising steps", lowest: 1, highest: 200 },
      { kind: "select", name: "level", label: "Intervals hold", number: true, options: [[0.5, "50 %"], [0.8, "80 %"], [0.9, "90 %"], [0.95, "95 %"]] },
    ] },
  ];
  const view = makeView({
    name: "predict", title: "Predict", lead: "How fast a model runs on chips, how sure that is, and why.", groups,
    answer: [figures, latency.element, along.element, memory.element, roof.element, reasons, ops, command.element],
    own: ["along", "curve", "why"], changed, opened, exported,
  });

  function workBrief() {
    const shown = applies();
    return [`batch ${f.count(state.batch)}`, shown.input_tokens && `${f.count(state.input_tokens)} in`, shown.output_tokens && `${f.count(state.output_tokens)} out`].filter(Boolean).join(", ");
  }

  // what a model has no phase for is not asked
  const applies = () => {
    const phases = facts?.phases ?? ["prefill", "decode", "forward", "denoise"];
    const text = phases.some((own) => ["prefill", "decode", "encode"].includes(own)) || facts?.task === "encoder";
    const image = facts !== null && (facts.task === "image-classification" || facts.task === "image-generation");
    return { input_tokens: text || !facts, output_tokens: phases.includes("decode"), image_size: image, steps: phases.includes("denoise") };
  };
  const body = () => {
    const shown = applies();
    return bodyOf(FIELDS.filter((name) => shown[name] ?? true), LISTS);
  };

  const main = newest(async (_, signal) => {
    try {
      const asked = body();
      const found = await post("/predict", asked, signal);
      answers = found;
      command.show(commandOf("predict", asked));
      const drawing = latency.draw(found);
      figures.replaceChildren(figureTable(found));
      memory.draw(found);
      view.succeed(banner(modelTitle(state.model), found));
      await drawing;
      await along.mark();
    } catch (error) {
      view.fail(error);
    }
    why.ask(); // afterwards: two answers at a time would both be late
  });

  const why = newest(async (_, signal) => {
    const asked = body();
    const [hardware, precision] = chosen();
    const one = Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, LISTS.includes(name) ? value[0] : value]));
    try {
      explained = await post("/explain", { ...one, hardware, ...(precision && { precision }) }, signal);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      explained = null; // what is wrong is told by the answer to predict
      roof.element.hidden = reasons.hidden = ops.hidden = true;
      return;
    }
    roof.element.hidden = reasons.hidden = ops.hidden = false;
    showReasons();
    await roof.draw(explained);
  });

  const curve = newest(async (_, signal) => {
    try {
      await along.load(body(), signal);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      along.element.hidden = true; // likewise
    }
  });
  let later = 0;

  function chosen() {
    const [hardware, precision] = state.why.split("/");
    const known = state.hardware.includes(hardware) && (!precision || state.precision.includes(precision));
    return known ? [hardware, precision || state.precision[0]] : [state.hardware[0], state.precision[0]];
  }

  function figureTable(found) {
    const phases = [...new Set(found.flatMap((own) => Object.keys(own.phases ?? {})))];
    const decoder = phases.includes("decode");
    const columns = ["Chip", "Precision", ...phases.map(f.phaseTitle), decoder ? "Tokens/s" : "Requests/s", "Memory", "Level"].map(
      (title, place) => ({ title, number: place > 1 && place < phases.length + 4 }));
    const [hardware, precision] = chosen();
    const rows = found.map((own) => {
      if (own.error) return [own.hardware, own.precision, h("span", { class: "refused" }, own.error), ...Array(phases.length + 2).fill("")];
      const name = `${own.hardware}/${own.precision}`;
      const radio = h("input", { type: "radio", name: "why", value: name, "aria-label": `Explain ${own.hardware}, ${own.precision}`, onchange: () => explain(name) });
      radio.checked = own.hardware === hardware && (own.precision === precision || !precision);
      const times = phases.map((phase) => {
        const time = own.phases[phase];
        return time ? h("span", {}, f.seconds(time.seconds), h("small", {}, ` ${f.interval(time.low, time.high, time.seconds)} · ${time.bound}`)) : "–";
      });
      const [used, room] = [own.memory_bytes.total, own.memory_bytes.capacity];
      const fits = h("span", {}, f.bytes(used), h("small", { class: own.fits ? "" : "bad" }, own.fits ? ` of ${f.bytes(room)}` : ` does not fit in ${f.bytes(room)}`));
      return [h("label", { class: "rank" }, radio, own.hardware), own.precision, ...times, f.number(own.throughput[decoder ? "decode_tokens" : "requests"]), fits, own.provenance.level];
    });
    return table(`Figures; intervals hold ${f.percent(state.level)} of such measurements`, columns, rows);
  }

  function explain(name) {
    state.why = name;
    view.tell("why");
  }

  function showReasons() {
    const title = `Why: ${explained.hardware}, ${explained.precision}`;
    const lists = Object.entries(explained.phases).filter(([, phase]) => phase.reasons?.length);
    const notes = explained.unmodelled.map((own) => `${own.op} is not modelled (${f.percent(own.share)} of the time).`);
    reasons.replaceChildren(
      h("h3", {}, title),
      ...lists.flatMap(([name, phase]) => [h("h4", {}, f.phaseTitle(name)), h("ul", {}, phase.reasons.map((text) => h("li", {}, text)))]),
      h("p", { class: "hint" }, `Interval: ${explained.provenance.interval}. `, notes.join(" ")),
    );
    const fill = () => ops.open && ops.replaceChildren(ops.firstChild, opsTable(explained));
    ops.ontoggle = fill;
    fill();
  }

  async function changed(field, moving) {
    if (field === "model") {
      facts = null;
      try {
        facts = await modelFacts(state.model);
      } catch {
        facts = null; // the answer tells what is wrong with the model
      }
      for (const [name, shown] of Object.entries(applies())) view.field(name).visible(shown);
    }
    clearTimeout(later);
    if (field === "along") return curve.ask();
    if (field === "why") {
      why.ask();
      return say(`Explained: ${state.why}`);
    }
    main.ask();
    later = setTimeout(curve.ask, moving ? REST : 0);
  }

  async function opened() {
    about().then((told) => { version = told.version; }, () => {});
    await changed("model");
  }

  function exported() {
    if (!answers) return null;
    const phases = [...new Set(answers.flatMap((own) => Object.keys(own.phases ?? {})))];
    const head = ["model", "hardware", "precision", "batch", "input_tokens", "output_tokens", "level", "error",
      ...phases.flatMap((name) => [`${name}_seconds`, `${name}_low`, `${name}_high`, `${name}_bound`]), "memory_bytes", "capacity_bytes", "fits"];
    const rows = answers.map((own) => [
      own.model, own.hardware, own.precision, own.batch, own.input_tokens, own.output_tokens, own.provenance?.level, own.error,
      ...phases.flatMap((name) => ["seconds", "low", "high", "bound"].map((key) => own.phases?.[name]?.[key])),
      own.memory_bytes?.total, own.memory_bytes?.capacity, own.fits === undefined ? null : String(own.fits)]);
    const words = Object.entries(explained?.phases ?? {}).flatMap(([, phase]) => phase.reasons ?? []);
    return {
      name: fileName("predict", modelTitle(state.model), state.hardware), title: `${modelTitle(state.model)} on ${state.hardware.join(", ")}`, summary: view.summary.textContent, words, version,
      panels: [latency, along, roof], command: command.text(), link: location.href, request: body(), answer: { predict: answers, explain: explained },
      csv: [head, ...rows],
    };
  }
  return view;
}
