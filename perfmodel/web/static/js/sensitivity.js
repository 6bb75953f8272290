// What a plan is sensitive to: how many requests one of its replicas may have in flight, within the limits, when lengths
// or limits are others. Each bar is an answer of the closed form, for means.

import { newest, post } from "./api.js";
import { h, table } from "./dom.js";
import * as f from "./format.js";
import { colour, ink, panel, plain, verticalLine } from "./plots.js";

const CHANGES = [
  ["input_tokens", "prompts", 0.5, 2], ["output_tokens", "answers", 0.5, 2], ["slo_ttft", "TTFT limit", 0.5, 2], ["slo_tpot", "TPOT limit", 0.5, 2],
];

export function sensitivityPanel() {
  const own = panel("What it is sensitive to", 280);
  const hint = h("p", { class: "hint" }, "Requests in flight of one replica, mean latencies within the limits, when one thing is half or twice of what was asked.");
  const changes = h("div", { class: "changes" });
  own.element.append(changes);
  own.element.insertBefore(hint, own.box);

  const work = newest(async ({ plan, asked }, signal) => {
    const base = {
      model: asked.model[0], hardware: plan.hardware, engine: plan.engine, precision: plan.precision, ...plan.layout, input_tokens: asked.input_tokens,
      output_tokens: asked.output_tokens, slo_ttft: asked.ttft, slo_tpot: asked.tpot, points: 2,
    };
    const largest = async (body) => {
      const found = await post("/serving", Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)), signal);
      return found.largest?.largest_load?.concurrency ?? 0;
    };
    try {
      const usual = await largest(base);
      const bars = [];
      for (const [name, title, less, more] of CHANGES.filter(([key]) => base[key] !== undefined)) {
        const at = (factor) => largest({ ...base, [name]: name.endsWith("tokens") ? Math.max(1, Math.round(base[name] * factor)) : base[name] * factor });
        bars.push({ title, less: await at(less), more: await at(more) });
      }
      own.element.hidden = false;
      await draw(usual, bars);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      own.element.hidden = true; // there is nothing to compare with
    }
  });

  function draw(usual, bars) {
    const sides = [["less", "half", 0], ["more", "twice", 1]];
    const build = () => ({
      data: sides.map(([side, title, place]) => ({
        type: "bar", orientation: "h", name: title, y: bars.map((bar) => plain(bar.title)), x: bars.map((bar) => bar[side] - usual), base: bars.map(() => usual), marker: { color: colour(place) },
        hovertext: bars.map((bar) => `${bar.title} ${title}: ${f.count(bar[side])} in flight`), hoverinfo: "text",
      })),
      layout: { barmode: "group", bargap: 0.35, xaxis: { title: { text: "requests in flight of one replica" }, rangemode: "tozero" }, yaxis: { type: "category", autorange: "reversed", ticksuffix: "  " }, shapes: [verticalLine(usual, ink())] },
    });
    const columns = ["Changed", "Half", "As asked", "Twice"].map((title, at) => ({ title, number: at > 0 }));
    const rows = bars.map((bar) => [bar.title, f.count(bar.less), f.count(usual), f.count(bar.more)]);
    return own.show({ label: `Requests in flight of one replica: ${f.count(usual)} as asked; ${bars.map((bar) => `${bar.title} half ${f.count(bar.less)}, twice ${f.count(bar.more)}`).join("; ")}`, build, columns, rows });
  }

  own.load = (plan, asked, told) => {
    changes.replaceChildren(...(told?.length ? [h("h4", {}, "What would change the choice"), changeTable(told)] : []));
    work.ask({ plan, asked });
  };
  return own;
}

// Which assumption would change the choice, as the API tells.
function changeTable(changes) {
  const columns = ["If", "Then the best is", "Devices", "Per hour", "Changes the choice"].map((title, at) => ({ title, number: at === 2 || at === 3 }));
  const rows = changes.map((own) => [
    own.assumption.replace(" x ", " × ").replace(" / ", " ÷ "), own.candidate ? `${f.count(own.replicas)} × ${own.candidate}` : "nothing", f.count(own.gpus), f.usd(own.cost_usd_per_hour), own.flips ? "yes" : "no"]);
  return table("What would change the choice", columns, rows);
}
