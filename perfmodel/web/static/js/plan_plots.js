// Plans as a ranked table and as a plot of what costs what.

import { h, table } from "./dom.js";
import * as f from "./format.js";
import { colour, ink, panel, plain } from "./plots.js";

function deviceName(plan) {
  const layout = f.layoutTitle(plan.layout);
  return `${plan.replicas} × ${plan.hardware}${layout === "1 device" ? "" : ` ${layout}`}`;
}

export const nameOf = (plan) => `${deviceName(plan)}, ${plan.precision}, ${plan.engine}`;

// the chance that the limits hold: of the simulated percentiles where there are any, of the means in brackets
export function chanceOf(plan) {
  const chance = plan.simulation ? plan.simulation.confidence : plan.confidence;
  const words = chance > 0.99 ? "> 99 %" : f.percent(chance); // no interval is known that well
  return plan.simulation ? words : `(${words})`;
}

export function planTable(plans, picked, pick) {
  const columns = ["Rank", "Plan", "Devices", "Per hour", "TTFT", "TPOT", "Chance", "Headroom"].map((title, at) => ({ title, number: at > 1 }));
  const time = (plan, name) => {
    const seconds = plan[`${name}_seconds`];
    const own = plan.intervals[name];
    return seconds === undefined ? "–" : h("span", {}, f.seconds(seconds), h("small", {}, own ? ` ${f.interval(own.low, own.high, seconds)}` : ""));
  };
  const cost = (plan) => (plan.cost_usd_per_hour
    ? h("span", { class: "cost" }, f.usd(plan.cost_usd_per_hour), h("small", {}, `${f.usd(plan.cost_usd_per_million_tokens)} per M tokens`))
    : "–");
  const rows = plans.map((plan, place) => {
    const radio = h("input", { type: "radio", name: "plan", "aria-label": `Choose ${nameOf(plan)}`, onchange: () => pick(place) });
    radio.checked = place === picked;
    return [
      h("label", { class: "rank" }, radio, String(place + 1)), h("span", { class: "plan" }, deviceName(plan), h("small", {}, ` ${plan.precision} · ${plan.engine} · level ${plan.level}`)), f.count(plan.gpus), cost(plan), time(plan, "ttft"), time(plan, "tpot"),
      chanceOf(plan), h("span", { class: "cost" }, `${f.number(plan.headroom, 2)} ×`, h("small", {}, `then ${String(plan.binding).toUpperCase()}`))];
  });
  return table("Plans, the best first", columns, rows);
}

export function rejectedTable(rejected) {
  return table("What makes no plan", [{ title: "Candidate" }, { title: "Reason" }], rejected.map((own) => [own.candidate, own.reason]));
}

// Plans that no other beats in both.
export function front(plans, cost) {
  const ordered = [...plans].sort((a, b) => cost(a) - cost(b) || a.tpot_seconds - b.tpot_seconds);
  let best = Infinity;
  return ordered.filter((plan) => plan.tpot_seconds < best && ((best = plan.tpot_seconds), true));
}

export function paretoPanel() {
  const own = panel("What speed costs", 360);
  own.draw = (plans, picked) => {
    const priced = plans.every((plan) => plan.cost_usd_per_hour);
    const cost = (plan) => (priced ? plan.cost_usd_per_hour : plan.gpus);
    const best = front(plans, cost);
    const chips = [...new Set(plans.map((plan) => plan.hardware))];
    const hover = (plan) => `${plain(nameOf(plan))}<br>${priced ? `${f.usd(plan.cost_usd_per_hour)} per hour, ` : ""}${f.count(plan.gpus)} devices<br>TPOT ${f.seconds(plan.tpot_seconds)}, chance ${chanceOf(plan)}`;
    const build = () => ({
      data: [
        { x: best.map(cost), y: best.map((plan) => plan.tpot_seconds), mode: "lines", line: { color: ink(), width: 1.5, dash: "dot", shape: "hv" }, name: "no plan is better in both", hoverinfo: "skip" },
        ...chips.map((chip, place) => {
          const those = plans.filter((plan) => plan.hardware === chip);
          return {
            x: those.map(cost), y: those.map((plan) => plan.tpot_seconds), mode: "markers", name: plain(chip), hovertext: those.map(hover), hoverinfo: "text",
            marker: { color: colour(place), size: those.map((plan) => (plan === plans[picked] ? 16 : 9)), line: { width: 1.5, color: "white" } },
            error_y: {
              type: "data", symmetric: false, array: those.map((plan) => (plan.intervals.tpot?.high ?? plan.tpot_seconds) - plan.tpot_seconds), thickness: 1, width: 0,
              arrayminus: those.map((plan) => plan.tpot_seconds - (plan.intervals.tpot?.low ?? plan.tpot_seconds)), color: colour(place),
            },
          };
        }),
      ],
      layout: {
        xaxis: { title: { text: priced ? "USD per hour" : "devices" }, rangemode: "tozero" },
        yaxis: { title: { text: "TPOT (s)" }, rangemode: "tozero" },
      },
    });
    const columns = ["Plan", priced ? "USD per hour" : "Devices", "TPOT", "Low", "High", "Best for its cost"].map((title, at) => ({ title, number: at > 0 && at < 5 }));
    const rows = plans.map((plan) => [nameOf(plan), f.number(cost(plan)), f.seconds(plan.tpot_seconds), f.seconds(plan.intervals.tpot?.low), f.seconds(plan.intervals.tpot?.high), best.includes(plan) ? "yes" : "no"]);
    return own.show({ label: `TPOT of ${plans.length} plans along their cost; ${best.length} are not beaten in both`, build, columns, rows });
  };
  return own;
}
