// Plots and tables of the view Predict: latencies with intervals, the roofline, every op.

import { table } from "./dom.js";
import * as f from "./format.js";
import { clear, colour, ink, logAxis, panel, plain } from "./plots.js";

const ROW = 26; // px of a chip and a phase

const FEW = 2; // answers that are told one by one
const nameOf = (each) => `${each.hardware} · ${each.precision}`;

// The answers in a sentence or two, for the eye and for screen readers: all of a few, the fastest of many.
export function banner(model, answers) {
  const fine = answers.filter((own) => !own.error);
  const phases = [...new Set(fine.flatMap((own) => Object.keys(own.phases)))];
  const told = fine.length > FEW
    ? phases.map((phase) => {
      const best = fine.filter((own) => own.phases[phase]).reduce((a, b) => (b.phases[phase].seconds < a.phases[phase].seconds ? b : a));
      return `Fastest ${f.phaseTitle(phase)}: ${f.timed(best.phases[phase])} on ${best.hardware} in ${best.precision}`;
    })
    : fine.map((own) => `On ${own.hardware} in ${own.precision}: ${Object.entries(own.phases).map(([phase, time]) => `${f.phaseTitle(phase)} ${f.timed(time)}`).join(", ")}`);
  const large = fine.filter((own) => !own.fits).length;
  if (large) told.push(`${large} of ${answers.length} do not fit in memory`);
  if (fine.length < answers.length) told.push(`${answers.length - fine.length} of ${answers.length} are refused`);
  return `${model}. ${told.join(". ")}.`;
}

export function latencyPanel() {
  const own = panel("Latency and its interval", 220);
  own.draw = (answers) => {
    const fine = answers.filter((each) => !each.error);
    const phases = [...new Set(fine.flatMap((each) => Object.keys(each.phases)))];
    own.box.style.height = `${70 + ROW * Math.max(3, fine.length * Math.max(1, phases.length))}px`;
    const build = () => ({
      data: phases.map((phase, place) => {
        const timed = fine.filter((each) => each.phases[phase]);
        const times = timed.map((each) => each.phases[phase]);
        const x = times.map((time) => time.seconds);
        return {
          type: "scatter", mode: "markers", name: f.phaseTitle(phase), x, y: timed.map((each) => plain(nameOf(each))),
          marker: { color: colour(place), size: 9, line: { width: 1.5, color: "white" } },
          error_x: {
            type: "data", symmetric: false, array: times.map((time) => time.high - time.seconds), thickness: 9, width: 0,
            arrayminus: times.map((time) => time.seconds - time.low), color: clear(colour(place), 0.35),
          },
          hovertext: timed.map((each, at) => `${plain(nameOf(each))}<br>${f.phaseTitle(phase)}: ${f.timed(times[at])}<br>bound by ${times[at].bound}; level ${each.provenance.level}`),
          hoverinfo: "text",
        };
      }),
      layout: {
        xaxis: logAxis("time", fine.flatMap((each) => Object.values(each.phases).flatMap((time) => [time.low, time.high])), f.seconds),
        yaxis: { type: "category", range: [fine.length - 0.5, -0.5] }, scattermode: "group", scattergap: 0.3,
      },
    });
    const columns = ["Chip", "Phase", "Time", "Low", "High", "Bound", "Level"].map((title, at) => ({ title, number: at > 1 && at < 5 }));
    const rows = fine.flatMap((each) => Object.entries(each.phases).map(([phase, time]) => [
      nameOf(each), f.phaseTitle(phase), f.seconds(time.seconds), f.seconds(time.low), f.seconds(time.high), time.bound, each.provenance.level]));
    return own.show({ label: banner("Latency", fine), build, columns, rows });
  };
  return own;
}

export function rooflinePanel() {
  const own = panel("Roofline", 360);
  own.draw = (explained) => {
    const { memory_bytes_per_second: bandwidth, roofs, points } = explained.roofline;
    own.rename(`Roofline: ${explained.hardware}, ${explained.precision}`);
    const phases = [...new Set(points.map((point) => point.phase))];
    const ridges = roofs.map((roof) => roof.flops_per_second / bandwidth);
    const intensities = [...points.map((point) => point.flops_per_byte), ...ridges].filter((value) => value > 0);
    const [left, right] = [Math.min(...intensities) / 3, Math.max(...intensities) * 5];
    const build = () => {
      const lines = roofs.map((roof, place) => ({
        type: "scatter", mode: "lines", name: plain(roof.name), x: [left, ridges[place], right], hoverinfo: "skip",
        y: [left * bandwidth, roof.flops_per_second, roof.flops_per_second], line: { color: ink(), width: 1.5, dash: place ? "dot" : "solid" },
      }));
      const dots = phases.map((phase, place) => {
        const those = points.filter((point) => point.phase === phase);
        return {
          type: "scatter", mode: "markers", name: f.phaseTitle(phase), x: those.map((point) => point.flops_per_byte), y: those.map((point) => point.flops_per_second),
          marker: { color: colour(place), opacity: 0.8, line: { width: 1, color: "white" }, size: those.map((point) => 7 + 26 * Math.sqrt(point.share)) },
          hovertext: those.map((point) => `${plain(point.op)}<br>${f.percent(point.share)} of ${f.phaseTitle(phase)}, ${point.bound} bound<br>${f.number(point.flops_per_byte)} FLOP/B, ${f.flopsPerSecond(point.flops_per_second)}`),
          hoverinfo: "text",
        };
      });
      return {
        data: [...lines, ...dots],
        layout: {
          xaxis: { ...logAxis("FLOP per byte", [left, right], f.number), range: [left, right].map(Math.log10) },
          yaxis: logAxis("", [...points.map((point) => point.flops_per_second), ...roofs.map((roof) => roof.flops_per_second)], f.flopsPerSecond),
        },
      };
    };
    const columns = ["Op", "Phase", "Share", "FLOP/B", "FLOP/s", "Bound"].map((title, at) => ({ title, number: at > 1 && at < 5 }));
    const rows = points.map((point) => [
      point.op, f.phaseTitle(point.phase), f.percent(point.share), f.number(point.flops_per_byte), f.flopsPerSecond(point.flops_per_second), point.bound]);
    const label = `Roofline of ${explained.hardware}: ${points.length} ops below ${f.bytesPerSecond(bandwidth)} and ${roofs.map((roof) => `${f.flopsPerSecond(roof.flops_per_second)} (${roof.name})`).join(", ")}`;
    return own.show({ label, build, columns, rows });
  };
  return own;
}

export function opsTable(explained) {
  const columns = ["Op", "Phase", "Times", "Share", "Time", "Interval", "Bound", "Kind"].map((title, at) => ({ title, number: at > 1 && at < 6 }));
  const rows = Object.entries(explained.phases).flatMap(([phase, own]) =>
    (own.ops ?? []).filter((op) => op.seconds > 0 || !op.modelled).map((op) => [
      op.name, f.phaseTitle(phase), f.number(op.repeat), f.percent(op.share), f.seconds(op.seconds), f.interval(op.low, op.high, op.seconds),
      op.modelled ? op.bound : "not modelled", op.kind]));
  return table("Every op that takes time", columns, rows);
}
