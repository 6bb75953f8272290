// TTFT, TPOT and throughput of a server along its load, one above the other.

import * as f from "./format.js";
import { banded, colour, ink, panel, verticalLine } from "./plots.js";

const ROWS = [["ttft", "TTFT", "y", [0.7, 1]], ["tpot", "TPOT", "y2", [0.36, 0.64]], ["throughput", "tokens/s", "y3", [0, 0.3]]];

export function loadPanel() {
  const own = panel("Along the load", 520);
  let at = null; // the load that is asked about
  own.mark = (now) => {
    at = now;
    return own.move(verticalLine(at, ink()));
  };
  own.draw = ({ curve }, now, limits) => {
    at = now;
    const perSecond = curve.over === "rate";
    const title = perSecond ? "requests per second" : "requests in flight";
    const saturated = perSecond ? curve.saturation.rate : curve.saturation.concurrency;
    const build = () => {
      const lines = ROWS.slice(0, 2).flatMap(([name, short, axis], place) => banded({
        name: short, x: curve.loads, y: curve[name].seconds, low: curve[name].low, high: curve[name].high, shade: colour(place), axes: { yaxis: axis },
        text: curve.loads.map((load, at) => `${short} at ${f.number(load)} ${title}: ${f.timed({ seconds: curve[name].seconds[at], low: curve[name].low[at], high: curve[name].high[at] })}${curve.stable[at] ? "" : ", not stable"}`),
      }));
      const tokens = {
        x: curve.loads, y: curve.throughput.output_tokens, yaxis: "y3", mode: "lines+markers", name: "tokens/s", line: { color: colour(2), width: 2 }, marker: { size: 5 },
        hovertext: curve.loads.map((load, at) => `${f.number(curve.throughput.output_tokens[at])} tokens/s, ${f.number(curve.throughput.requests[at])} requests/s at ${f.number(load)} ${title}`), hoverinfo: "text",
      };
      const limit = (value, axis) => ({ type: "line", xref: "paper", x0: 0, x1: 1, yref: axis, y0: value, y1: value, line: { color: colour(3), width: 1.5, dash: "dot" } });
      const range = (name) => {
        const most = Math.max(...curve[name].seconds.filter((value, at) => value !== null && curve.loads[at] <= saturated), 0);
        const wanted = limits[`slo_${name}`];
        return most > 0 ? [0, 1.6 * Math.max(most, Number.isFinite(wanted) ? Math.min(wanted, 4 * most) : 0)] : undefined;
      };
      const annotation = { x: saturated, xref: "x", yref: "paper", y: 1, yanchor: "bottom", showarrow: false, text: "saturation", font: { size: 11, color: colour(3) } };
      return {
        data: [...lines, tokens],
        layout: {
          showlegend: false, margin: { l: 8, r: 12, t: 22, b: 8 },
          xaxis: { title: { text: title }, anchor: "y3", type: "linear", rangemode: "tozero" },
          yaxis: { title: { text: "TTFT (s)" }, domain: ROWS[0][3], range: range("ttft") },
          yaxis2: { title: { text: "TPOT (s)" }, domain: ROWS[1][3], range: range("tpot") },
          yaxis3: { title: { text: "tokens/s" }, domain: ROWS[2][3], rangemode: "tozero" },
          shapes: [
            verticalLine(Number.isFinite(at) ? at : null, ink()), ...(saturated ? [verticalLine(saturated, colour(3), "dash")] : []),
            ...(Number.isFinite(limits.slo_ttft) && limits.slo_ttft ? [limit(limits.slo_ttft, "y")] : []),
            ...(Number.isFinite(limits.slo_tpot) && limits.slo_tpot ? [limit(limits.slo_tpot, "y2")] : []),
          ],
          annotations: saturated ? [annotation] : [],
        },
      };
    };
    const columns = [title, "TTFT", "interval", "TPOT", "interval", "Tokens/s", "Requests/s", "Stable"].map((text, at) => ({ title: text, number: at < 7 }));
    const rows = curve.loads.map((load, at) => {
      const pair = (name) => [f.seconds(curve[name].seconds[at]), f.interval(curve[name].low[at], curve[name].high[at], curve[name].seconds[at])];
      return [f.number(load), ...pair("ttft"), ...pair("tpot"), f.number(curve.throughput.output_tokens[at]), f.number(curve.throughput.requests[at]), curve.stable[at] ? "yes" : "no"];
    });
    return own.show({ label: `TTFT, TPOT and tokens per second along ${title}; saturation at ${f.number(saturated)}; level ${curve.level}`, build, columns, rows });
  };
  return own;
}
