// The view Serve: a server with many users along its load, and its percentiles by simulation.

import { newest, post } from "./api.js";
import { about, chipEntries, engineOptions, hardware, LONGEST, modelEntries, modelTitle, PRECISIONS } from "./catalog.js";
import { assumed, costBody, costBrief, costFields } from "./costs.js";
import { h, table } from "./dom.js";
import * as f from "./format.js";
import { loadPanel } from "./serve_plots.js";
import { simulation } from "./simulate.js";
import { state } from "./state.js";
import { bodyOf, commandBox, commandOf, fileName, makeView } from "./view.js";

const POINTS = 24;
const chips = () => state.hardware.slice(0, 1);
const DEGREES = [1, 2, 4, 8].map((count) => [count, String(count)]);
export const SERVER = ["model", "engine", "tp", "pp", "replicas"];
const ASKED = [...SERVER, "input_tokens", "output_tokens", "slo_ttft", "slo_tpot"];

// What both the closed form and the simulator are asked: one server, its load, its limits.
export function serverBody() {
  const body = bodyOf(ASKED);
  body.hardware = state.hardware[0] ?? "";
  if (state.precision[0]) body.precision = state.precision[0];
  body[state.over] = state[state.over];
  return body;
}

export function serveView() {
  const load = loadPanel();
  const figures = h("div", { class: "panel" });
  const costs = h("div", { class: "panel" });
  const command = commandBox();
  const simulated = simulation(() => view, serverBody);
  let found = null;
  let drawn = "";
  let version = "";
  const groups = [
    { heading: "Server", brief: () => [modelTitle(state.model), `${state.replicas > 1 ? `${state.replicas} × ` : ""}${state.hardware[0] ?? ""}${state.tp > 1 ? ` tp${state.tp}` : ""}`, state.precision[0]].filter(Boolean).join(", "), fields: [
      { kind: "picker", name: "model", label: "Model", entries: modelEntries(), titleOf: modelTitle },
      { kind: "picker", name: "hardware", label: "Chip", entries: chipEntries() },
      { kind: "select", name: "engine", label: "Engine", options: engineOptions() },
      { kind: "select", name: "precision", label: "Precision", options: [["", "the model’s own"], ...PRECISIONS.map((name) => [name, name])] },
      { kind: "select", name: "tp", label: "Devices: tensor parallel", options: DEGREES, number: true, where: ["tp", "ep"] },
      { kind: "number", name: "replicas", label: "Replicas" },
    ] },
    { heading: "Load", brief: () => `${f.count(state[state.over])} ${state.over === "rate" ? "per second" : "in flight"}, ${f.count(state.input_tokens)} in, ${f.count(state.output_tokens)} out`, fields: [
      { kind: "select", name: "over", label: "Load as", options: [["concurrency", "requests in flight"], ["rate", "requests per second"]] },
      { kind: "slider", name: "concurrency", label: "Requests in flight", lowest: 1, highest: 4096 },
      { kind: "slider", name: "rate", label: "Requests per second", lowest: 0.05, highest: 1000, whole: false, suffix: " per second" },
      { kind: "slider", name: "input_tokens", label: "Input tokens", lowest: 1, highest: LONGEST, suffix: " tokens" },
      { kind: "slider", name: "output_tokens", label: "Output tokens", lowest: 1, highest: 1 << 14, suffix: " tokens" },
    ] },
    { heading: "Limits", brief: () => [["TTFT", state.slo_ttft], ["TPOT", state.slo_tpot]].filter(([, own]) => own).map(([title, own]) => `${title} ${f.seconds(own)}`).join(", ") || "none", fields: [
      { kind: "number", name: "slo_ttft", label: "TTFT at most (s)", placeholder: "none" },
      { kind: "number", name: "slo_tpot", label: "TPOT at most (s)", placeholder: "none", hint: "Mean latencies: what the largest load within them is." },
    ] },
    { heading: "Costs", folded: true, brief: () => costBrief(chips()), fields: costFields(chips, hardware()) },
  ];
  const view = makeView({
    name: "serve", title: "Serve", lead: "A server with many users: how long they wait, and what it carries.", groups,
    answer: [figures, costs, load.element, simulated.element, command.element], own: ["pp", ...simulated.fields], changed, opened, exported,
  });

  const main = newest(async (_, signal) => {
    try {
      const asked = { ...serverBody(), ...costBody(chips()) };
      // while only the load and costs move, the curve along it stays as it is
      const { concurrency, rate, prices, electricity, pue, utilisation, ...server } = asked;
      const key = JSON.stringify([server, state.over]);
      const same = key === drawn;
      const answer = await post("/serving", { ...asked, over: state.over, points: same ? 2 : POINTS }, signal);
      found = same ? { ...answer, curve: found.curve } : answer;
      command.show(commandOf("predict", asked));
      figures.replaceChildren(figureTable());
      costs.replaceChildren(...costTable());
      view.succeed(words());
      await (same ? load.mark(state[state.over]) : load.draw(found, state[state.over], state));
      drawn = key;
    } catch (error) {
      view.fail(error);
    }
  });

  function words() {
    const { answer, largest, curve } = found;
    const { concurrency, rate, output_tokens: tokens } = curve.saturation;
    const parts = [];
    if (answer?.phases) {
      const { ttft, tpot } = answer.phases;
      const at = state.over === "rate" ? `${f.count(state.rate)} requests/s` : `${f.count(state.concurrency)} requests in flight`;
      parts.push(`At ${at}: TTFT ${f.timed(ttft)}, TPOT ${f.timed(tpot)}, ${f.number(answer.throughput.output_tokens)} tokens/s${answer.stable ? "" : "; it does not keep up"}.`);
    } else if (answer?.error) parts.push(`${answer.error}.`);
    parts.push(`It carries ${f.number(concurrency)} requests at once, ${f.number(rate)} requests/s, ${f.number(tokens)} tokens/s.`);
    const most = largest?.largest_load;
    if (most) parts.push(`Within the limits: ${f.count(most.concurrency)} in flight (surely ${f.count(most.concurrency_sure)}); then ${most.limit.toUpperCase()} ends it.`);
    else if (largest?.error) parts.push(`${largest.error}.`);
    return parts.join(" ");
  }

  function figureTable() {
    const columns = ["", "In flight", "TTFT", "TPOT", "End to end", "Tokens/s", "Requests/s", "Level"].map((title, place) => ({ title: title || "Load", number: place > 0 && place < 7 }));
    const rows = [["Asked", found.answer], ["Largest within limits", found.largest]].filter(([, own]) => own).map(([title, own]) => {
      if (!own.phases) return [title, "", h("span", { class: "refused" }, own.error), ...Array(5).fill("")];
      const times = ["ttft", "tpot", "e2e"].map((name) => {
        const time = own.phases[name];
        return time?.seconds == null ? "–" : h("span", {}, f.seconds(time.seconds), h("small", {}, ` ${f.interval(time.low, time.high, time.seconds)}`));
      });
      return [title, f.count(own.running + own.waiting), ...times, f.number(own.throughput.output_tokens), f.number(own.throughput.requests), own.provenance.level];
    });
    return table("Figures; intervals hold 80 % of such measurements", columns, rows);
  }

  function costTable() {
    const told = [["Asked", found.answer], ["Largest within limits", found.largest]].filter(([, own]) => own?.economics);
    if (!told.length) return [];
    const columns = ["Load", "Per hour", "Per M output", "Per M tokens", "Chips draw", "Per output token", "Electricity/h"].map((title, place) => ({ title, number: place > 0 }));
    const rows = told.map(([title, { economics: own }]) => [
      title, f.usd(own.usd_per_hour), f.usd(own.usd_per_million_output_tokens), f.usd(own.usd_per_million_tokens),
      own.watts === null ? "–" : h("span", {}, f.watts(own.watts), h("small", {}, ` ${f.number(own.low_watts, 2)}–${f.number(own.high_watts, 2)}`)),
      f.joules(own.joules_per_output_token), f.usd(own.electricity_usd_per_hour)]);
    return [h("h3", {}, "What it costs"), table("Costs and energy", columns, rows), h("p", { class: "hint" }, assumed(told[0][1].economics, state.hardware[0]))];
  }

  function changed(field) {
    if (field === "hardware") view.field("prices").refresh();
    if (field === "over") showLoad();
    simulated.outdate();
    main.ask();
  }

  function showLoad() {
    view.field("concurrency").visible(state.over === "concurrency");
    view.field("rate").visible(state.over === "rate");
  }

  function opened() {
    about().then((told) => { version = told.version; }, () => {});
    showLoad();
    simulated.refresh();
    main.ask();
  }

  function exported() {
    if (!found) return null;
    const { curve } = found;
    const head = [curve.over, ...["ttft", "tpot", "e2e"].flatMap((name) => [`${name}_seconds`, `${name}_low`, `${name}_high`]), "requests_per_second", "output_tokens_per_second", "stable"];
    const rows = curve.loads.map((value, at) => [
      value, ...["ttft", "tpot", "e2e"].flatMap((name) => ["seconds", "low", "high"].map((key) => curve[name][key][at])),
      curve.throughput.requests[at], curve.throughput.output_tokens[at], String(curve.stable[at])]);
    return {
      name: fileName("serve", modelTitle(state.model), state.hardware[0] ?? ""), title: `${modelTitle(state.model)} on ${state.hardware[0]}, ${state.engine}`, summary: view.summary.textContent, words: [], version,
      panels: [load, ...simulated.panels], command: command.text(), link: location.href, request: { ...serverBody(), ...costBody(chips()) },
      answer: { serving: found, simulation: simulated.answer() }, csv: [head, ...rows],
    };
  }
  return view;
}
