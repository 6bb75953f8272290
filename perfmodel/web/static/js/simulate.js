// Percentiles of a server by the simulator: a job with progress that can be cancelled.

import { h, say, table } from "./dom.js";
import { makeField } from "./fields.js";
import * as f from "./format.js";
import { runJob } from "./job.js";
import { colour, logAxis, panel } from "./plots.js";
import { state, writeAddress } from "./state.js";

const SPECS = [
  { kind: "slider", name: "requests", label: "Requests", lowest: 100, highest: 1_000_000 },
  { kind: "number", name: "length_spread", label: "Spread of lengths", placeholder: "0.2: coefficient of variation" },
  { kind: "number", name: "seed", label: "Seed" },
];
const SHARES = ["mean", "p50", "p90", "p95", "p99", "p999"];
const LATENCIES = [["ttft", "TTFT"], ["tpot", "TPOT"], ["e2e", "End to end"], ["queue", "Queue"]];

export function simulation(viewOf, serverBody) {
  const fields = SPECS.map((spec) => makeField(spec, "simulate", () => { outdate(); writeAddress(viewOf()); }));
  const start = h("button", { type: "button", class: "main", onclick: run }, "Simulate");
  const stop = h("button", { type: "button", onclick: () => running?.cancel(), hidden: true }, "Cancel");
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the simulation", hidden: true });
  const note = h("p", { class: "note", role: "status" });
  const wrong = h("p", { class: "error", role: "alert", hidden: true });
  const percentiles = h("div");
  const spread = panel("How latencies spread", 300);
  const timeline = panel("Along the time", 260);
  const drawn = h("div", { hidden: true }, percentiles, spread.element, timeline.element);
  const element = h(
    "section", { class: "panel simulate", "aria-label": "Percentiles by simulation" }, h("h3", {}, "Percentiles by simulation"),
    h("p", { class: "hint" }, "The curves above are means in steady state. The simulator follows each request."),
    h("div", { class: "row" }, fields.map((field) => field.element)), h("div", { class: "actions" }, start, stop, bar), note, wrong, drawn,
  );
  let running = null;
  let last = null;

  function fail(error) {
    const rest = [];
    fields.forEach((field) => field.fail(""));
    for (const mistake of error.mistakes ?? [{ where: "", error: error.message }]) {
      const field = fields.find((own) => own.name === mistake.where);
      if (field) field.fail(mistake.error);
      else rest.push(mistake.error);
    }
    wrong.textContent = rest.join("\n");
    wrong.hidden = rest.length === 0;
  }

  function busy(is) {
    stop.hidden = bar.hidden = !is;
    start.disabled = is;
    element.setAttribute("aria-busy", String(is));
  }

  async function run() {
    fail({ mistakes: [] });
    const body = { ...serverBody(), requests: state.requests, seed: state.seed ?? 0 };
    if (state.length_spread !== null) body.length_spread = state.length_spread;
    busy(true);
    bar.value = 0;
    note.textContent = "Simulating …";
    stop.focus();
    running = runJob("/simulate", body, (job) => {
      bar.value = job.progress;
      note.textContent = `${job.state === "waiting" ? "Waiting for a place" : "Simulating"}: ${f.percent(job.progress)}`;
    });
    try {
      ended(await running.ended);
    } catch (error) {
      note.textContent = "";
      fail(error);
    }
    running = null;
    busy(false);
    start.focus();
  }

  function ended(job) {
    if (job.state === "cancelled") {
      note.textContent = "Cancelled.";
      return;
    }
    last = job;
    drawn.hidden = false;
    drawn.classList.remove("stale");
    show(job);
  }

  function show({ result, distribution, timeline: line }) {
    const { intervals } = result;
    const told = `${f.number(result.requests)} requests in ${f.seconds(result.wall_seconds)}: TTFT p95 ${f.seconds(result.ttft?.p95)}, TPOT p95 ${f.seconds(result.tpot?.p95)}; ${result.stable ? "it keeps up" : "it does not keep up"}, ${f.percent(result.utilisation)} utilised.`;
    note.textContent = told;
    say(told);
    const columns = ["", ...SHARES, "Interval of the mean"].map((title, at) => ({ title: title || "Latency", number: at > 0 }));
    const rows = LATENCIES.filter(([name]) => result[name]).map(([name, title]) => [
      title, ...SHARES.map((share) => f.seconds(result[name][share])), intervals?.[name] ? f.interval(intervals[name].low, intervals[name].high, result[name].mean) : "–"]);
    percentiles.replaceChildren(table(`Percentiles; level ${intervals?.level ?? "unknown"}, intervals ${f.percent(intervals?.interval)}`, columns, rows));
    const metrics = LATENCIES.filter(([name]) => name !== "queue" && distribution[name]);
    spread.show({
      label: `Share of requests along their latency: ${metrics.map(([name, title]) => `${title} median ${f.seconds(result[name].p50)}`).join(", ")}`,
      build: () => ({
        data: metrics.map(([name, title], place) => ({
          x: distribution[name], y: distribution.shares.map((share) => 100 * share), mode: "lines", name: title, line: { color: colour(place), width: 2, shape: "hv" },
          hovertext: distribution.shares.map((share, at) => `${f.percent(share, 3)} within ${f.seconds(distribution[name][at])} (${title})`), hoverinfo: "text",
        })),
        layout: { xaxis: logAxis("time", metrics.flatMap(([name]) => [distribution[name][0], distribution[name].at(-1)]), f.seconds), yaxis: { title: { text: "% of requests" }, range: [0, 101] } },
      }),
      columns: ["Share", ...metrics.map(([, title]) => title)].map((title) => ({ title, number: true })),
      rows: distribution.shares.map((share, at) => [f.percent(share, 3), ...metrics.map(([name]) => f.seconds(distribution[name][at]))]),
    });
    timeline.show({
      label: "Requests that run and wait along the time",
      build: () => ({
        data: [["running", "running"], ["waiting", "waiting"]].map(([name, title], place) => ({ x: line.seconds, y: line[name], mode: "lines", name: title, line: { color: colour(place), width: 1.5, shape: "hv" } })),
        layout: { xaxis: { title: { text: "seconds" } }, yaxis: { title: { text: "requests" }, rangemode: "tozero" } },
      }),
      columns: ["Seconds", "Running", "Waiting", "Cache"].map((title) => ({ title, number: true })),
      rows: line.seconds.map((at, place) => [f.number(at), f.number(line.running[place]), f.number(line.waiting[place]), f.percent(line.cache_share[place])]),
    });
  }

  function outdate() {
    if (last) drawn.classList.add("stale");
  }

  return {
    element, outdate, fields: SPECS.map((spec) => spec.name), panels: [spread, timeline],
    refresh: () => fields.forEach((field) => field.refresh()), answer: () => last,
  };
}
