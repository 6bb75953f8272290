// The view Plan: a load and limits on latency, to chips, engines, layouts and replicas, the best first.

import { about, chipEntries, engines as listEngines, hardware, modelEntries, modelTitle, PRECISIONS } from "./catalog.js";
import { costBody, costBrief, costFields } from "./costs.js";
import { h, say } from "./dom.js";
import * as f from "./format.js";
import { runJob } from "./job.js";
import { chanceOf, nameOf, paretoPanel, planTable, rejectedTable } from "./plan_plots.js";
import { sensitivityPanel } from "./sensitivity.js";
import { state } from "./state.js";
import { bodyOf, commandBox, fileName, makeView } from "./view.js";

const DEGREES = [1, 2, 4, 8].map((count) => [count, String(count)]);

export function planView() {
  const table = h("div", { class: "panel" });
  const pareto = paretoPanel();
  const sensitive = sensitivityPanel();
  const chosen = h("div", { class: "panel", hidden: true });
  const commands = [commandBox(), commandBox(), commandBox()];
  const rejected = h("details", { class: "panel", hidden: true }, h("summary", {}, "What makes no plan, and why"));
  const start = h("button", { type: "submit", class: "main" }, "Plan");
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.cancel() }, "Cancel");
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the plan", hidden: true });
  const note = h("p", { class: "note", role: "status" });
  let found = null;
  let asked = null;
  let picked = 0;
  let running = null;
  let version = "";

  const groups = [
    { heading: "Model", brief: () => modelTitle(state.model), fields: [{ kind: "picker", name: "model", label: "Model", entries: modelEntries(), titleOf: modelTitle }] },
    { heading: "Load", brief: () => `${f.count(state.demand === "rate" ? state.plan_rate : state.plan_users)} ${state.demand === "rate" ? "per second" : "users"}, ${f.count(state.input_tokens)} in, ${f.count(state.output_tokens)} out`, fields: [
      { kind: "select", name: "demand", label: "Load as", options: [["rate", "requests per second"], ["concurrency", "users at once"]] },
      { kind: "slider", name: "plan_rate", where: ["rate"], label: "Requests per second", lowest: 0.1, highest: 1000, whole: false, suffix: " per second" },
      { kind: "slider", name: "plan_users", where: ["concurrency"], label: "Users at once", lowest: 1, highest: 10_000 },
      { kind: "slider", name: "input_tokens", label: "Input tokens", lowest: 1, highest: 1 << 15, suffix: " tokens" },
      { kind: "slider", name: "output_tokens", label: "Output tokens", lowest: 1, highest: 1 << 13, suffix: " tokens" },
    ] },
    { heading: "Limits", brief: () => [["TTFT", state.ttft], ["TPOT", state.tpot]].filter(([, own]) => own).map(([title, own]) => `${title} ${f.seconds(own)}`).join(", ") || "none", fields: [
      { kind: "number", name: "ttft", label: "TTFT at most (s)", placeholder: "none" },
      { kind: "number", name: "tpot", label: "TPOT at most (s)", placeholder: "none" },
      { kind: "select", name: "percentile", label: "Kept by", options: [["mean", "the mean"], ["50", "50 % of requests"], ["90", "90 % of requests"], ["95", "95 % of requests"], ["99", "99 % of requests"]] },
      { kind: "number", name: "max_gpus", label: "Devices at most", placeholder: "no limit" },
      { kind: "select", name: "order", label: "Best is", options: [["gpus", "the fewest devices"], ["cost", "the cheapest"], ["energy", "the least energy per token"]] },
    ] },
    { heading: "Choice", brief: () => [state.hardware.join(", "), state.engines.join(", "), state.precision.join(", ")].filter(Boolean).join("; "), fields: [
      { kind: "picker", several: true, name: "hardware", label: "Chips", entries: chipEntries() },
      { kind: "picker", several: true, name: "engines", where: ["engine"], label: "Engines", entries: engineEntries() },
      { kind: "checks", name: "precision", label: "Precision", options: PRECISIONS.map((name) => [name, name]), hint: "None: the model’s own." },
      { kind: "checks", name: "degrees", where: ["tp"], label: "Devices of a replica", options: DEGREES },
    ] },
    { heading: "Costs", folded: true, brief: () => costBrief(state.hardware), fields: costFields(() => state.hardware, hardware()) },
  ];
  const view = makeView({
    name: "plan", title: "Plan", lead: "From a load and limits on latency to what to buy.", groups, more: [h("div", { class: "actions" }, start, stop, bar), note],
    answer: [table, chosen, pareto.element, sensitive.element, rejected], changed, opened, exported,
  });
  chosen.append(h("h3", {}, "The chosen plan"), ...commands.map((own) => own.element));
  pareto.element.hidden = sensitive.element.hidden = true;
  view.form.addEventListener("submit", run);

  function body() {
    const own = { model: [state.model], hardware: state.hardware, ...bodyOf(["precision", "input_tokens", "output_tokens", "ttft", "tpot", "max_gpus", "order"]) };
    if (state.engines.length) own.engine = state.engines;
    if (state.degrees.length) own.tp = state.degrees;
    Object.assign(own, costBody(state.hardware));
    own.percentile = Number.isNaN(Number(state.percentile)) ? state.percentile : Number(state.percentile);
    own[state.demand] = state.demand === "rate" ? state.plan_rate : state.plan_users;
    return own;
  }

  async function run() {
    running?.cancel();
    const mine = (running = runJob("/plans", body(), follow));
    const began = performance.now();
    busy(true);
    try {
      const job = await mine.ended;
      if (running !== mine) return; // another one is under way
      if (job.state === "done") {
        [found, asked, picked] = [job.result, mine.body, 0];
        note.textContent = `Done in ${f.seconds((performance.now() - began) / 1000)}.`;
        show();
      } else note.textContent = "Cancelled.";
    } catch (error) {
      if (running !== mine) return;
      note.textContent = "";
      view.fail(error);
    }
    running = null;
    busy(false);
  }

  function follow(job) {
    if (running === null || (running.id && running.id !== job.id)) return;
    bar.value = job.progress;
    const stage = job.stage && `${job.stage[0].toUpperCase()}${job.stage.slice(1)}`;
    note.textContent = job.state === "waiting" ? "Waiting for a place …" : `${stage || "Reading"} …`;
  }

  function busy(is) {
    stop.hidden = bar.hidden = !is;
    if (is) {
      bar.value = 0;
      note.textContent = "Asking …";
      view.form.setAttribute("aria-busy", "true");
    } else view.form.removeAttribute("aria-busy");
  }

  function show() {
    const plans = found.feasible;
    const best = plans[0];
    view.succeed(best
      ? `${plans.length} ${plans.length === 1 ? "plan keeps" : "plans keep"} the limits. The best: ${nameOf(best)}, ${f.count(best.gpus)} ${best.gpus === 1 ? "device" : "devices"}${best.cost_usd_per_hour ? `, ${f.usd(best.cost_usd_per_hour)} per hour` : ""}; the limits are kept with a chance of ${chanceOf(best)}.`
      : `Nothing keeps the limits: ${found.rejected.length} combinations were looked at.`);
    rejected.hidden = found.rejected.length === 0;
    rejected.replaceChildren(rejected.firstChild, rejectedTable(found.rejected));
    chosen.hidden = pareto.element.hidden = sensitive.element.hidden = plans.length === 0;
    const unpriced = [...new Set(plans.filter((plan) => !plan.cost_usd_per_hour).map((plan) => plan.hardware))];
    const missing = unpriced.length ? [h("p", { class: "hint" }, `No price of ${unpriced.join(", ")} is known: give one under Costs.`)] : [];
    table.replaceChildren(...(best ? [planTable(plans, picked, pick), ...missing] : []));
    if (best) pick(0);
  }

  function pick(place) {
    picked = place;
    const plan = found.feasible[place];
    chosen.firstChild.textContent = `The chosen plan: ${nameOf(plan)}`;
    const launch = plan.launch ?? {};
    for (const [own, [title, text]] of commands.map((box, at) => [box, [["How to start it", launch.command], ["Its means in a terminal", plan.command], ["Its simulation in a terminal", plan.simulation?.command]][at]])) {
      own.element.querySelector("h3").textContent = title;
      own.show(text ?? "");
    }
    pareto.draw(found.feasible, picked);
    sensitive.load(plan, asked, found.changes);
    say(`Chosen: ${nameOf(plan)}`);
  }

  function showLoad() {
    view.field("plan_rate").visible(state.demand === "rate");
    view.field("plan_users").visible(state.demand === "concurrency");
  }

  function changed(field) {
    if (field === "hardware") view.field("prices").refresh();
    if (field === "demand") showLoad();
    if (found) table.parentElement.classList.add("stale");
  }

  function opened() {
    about().then((told) => { version = told.version; }, () => {});
    showLoad();
    view.summary.textContent ||= "A plan takes some seconds: it looks at every combination of chips, engines, precisions and layouts.";
    // a link is an answer: what it asks is computed
    if (location.hash.includes("?") && !found) run();
  }

  function exported() {
    if (!found) return null;
    const keys = ["model", "hardware", "engine", "precision", "replicas", "gpus", "cost_usd_per_hour", "cost_usd_per_million_tokens", "ttft_seconds", "tpot_seconds", "confidence", "binding", "headroom", "level", "command"];
    return {
      name: fileName("plan", modelTitle(state.model)), title: `Plan for ${modelTitle(state.model)}`, summary: view.summary.textContent, words: [], version, panels: [pareto, sensitive], command: found.feasible[picked]?.command ?? "",
      link: location.href, request: asked, answer: found, csv: [keys, ...found.feasible.map((plan) => keys.map((key) => plan[key]))],
    };
  }
  return view;
}

async function engineEntries() {
  return (await listEngines()).map((own) => ({ value: own.id, text: `${own.id} ${own.name}`.toLowerCase(), note: own.name }));
}
