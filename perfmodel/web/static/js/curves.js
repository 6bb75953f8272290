// Predict along one size: how latency grows with the batch or a length, with its interval as a band.

import { post } from "./api.js";
import { h } from "./dom.js";
import * as f from "./format.js";
import { banded, colour, ink, logAxis, panel, verticalLine } from "./plots.js";
import { state } from "./state.js";

const POINTS = 9;
const MOST = 200; // combinations of one request
const SIZES = { batch: ["batch", 1, 512], input_tokens: ["input tokens", 64, 16384], output_tokens: ["output tokens", 16, 4096] };

function placesOf(size) {
  const [, lowest, highest] = SIZES[size];
  const ratio = (highest / lowest) ** (1 / (POINTS - 1));
  return Array.from({ length: POINTS }, (_, place) => Math.round(lowest * ratio ** place));
}

// `chosen` is called when another size or phase is to be shown.
export function curvePanel(chosen) {
  const own = panel("Latency along the batch", 300);
  const kept = new Map();
  let found = null;
  const sizes = h("select", { "aria-label": "Along which size" }, Object.entries(SIZES).map(([value, [title]]) => h("option", { value }, `along ${title}`)));
  const phases = h("select", { "aria-label": "Of which phase" });
  sizes.addEventListener("change", () => choose("along", sizes.value));
  phases.addEventListener("change", () => choose("curve", phases.value));
  own.extra.append(phases, sizes);
  const choose = (name, value) => {
    state[name] = value;
    chosen();
  };

  // The answers for a body at all places of the chosen size; those of before are kept, since a slider comes back.
  own.load = async (body, signal) => {
    const size = body[state.along] === undefined ? "batch" : state.along;
    const { [size]: _, ...rest } = body;
    const key = JSON.stringify([size, rest]);
    if (!kept.has(key)) {
      const lines = (body.hardware?.length ?? 1) * (body.precision?.length ?? 1);
      if (lines * POINTS > MOST) throw new Error("too many lines");
      kept.set(key, await post("/predict", { ...rest, [size]: placesOf(size) }, signal));
      if (kept.size > 20) kept.delete(kept.keys().next().value);
    }
    if (found?.key === key && found.phase === state.curve) return own.mark();
    found = { key, size, phase: state.curve, answers: kept.get(key), now: body[size][0] };
    own.element.hidden = false;
    await draw();
  };
  // Moves the line at what is asked, which is all that changes while the slider of this size moves.
  own.mark = async () => {
    if (!found || !Number.isFinite(state[found.size]) || found.now === state[found.size]) return;
    found.now = state[found.size];
    await own.move(verticalLine(found.now, ink()));
  };

  function draw() {
    const { size, answers } = found;
    const fine = answers.filter((each) => !each.error);
    const names = [...new Set(fine.flatMap((each) => Object.keys(each.phases)))];
    const phase = names.includes(state.curve) ? state.curve : (["decode", "forward", "denoise"].find((name) => names.includes(name)) ?? names[0]);
    phases.replaceChildren(...names.map((name) => h("option", { value: name }, f.phaseTitle(name))));
    phases.value = phase;
    sizes.value = size;
    const title = SIZES[size][0];
    own.rename(`Latency along the ${title}`);
    const lines = Object.entries(Object.groupBy(fine.filter((each) => each.phases[phase]), (each) => `${each.hardware} · ${each.precision}`));
    const build = () => ({
      data: lines.flatMap(([name, those], place) => {
        const times = those.map((each) => each.phases[phase]);
        return banded({
          name, x: those.map((each) => each[size]), y: times.map((time) => time.seconds), low: times.map((time) => time.low), high: times.map((time) => time.high),
          shade: colour(place),
          text: those.map((each, at) => `${name}, ${title} ${f.number(each[size])}: ${f.timed(times[at])}, ${times[at].bound} bound${each.fits ? "" : ", does not fit"}`),
        });
      }),
      layout: {
        xaxis: { type: "log", title: { text: title }, tickvals: lines[0]?.[1].map((each) => each[size]) }, shapes: [verticalLine(found.now, ink())],
        yaxis: logAxis(f.phaseTitle(phase), lines.flatMap(([, those]) => those.map((each) => each.phases[phase].seconds)), f.seconds),
      },
    });
    const columns = ["Chip", title, f.phaseTitle(phase), "Low", "High", "Bound", "Fits"].map((text, at) => ({ title: text, number: at > 0 && at < 5 }));
    const rows = lines.flatMap(([name, those]) => those.map((each) => {
      const time = each.phases[phase];
      return [name, f.number(each[size], 6), f.seconds(time.seconds), f.seconds(time.low), f.seconds(time.high), time.bound, each.fits ? "yes" : "no"];
    }));
    return own.show({ label: `${f.phaseTitle(phase)} along the ${title}, a line for each of ${lines.map(([name]) => name).join(", ")}`, build, columns, rows });
  }
  return own;
}
