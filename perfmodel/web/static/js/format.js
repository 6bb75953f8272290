// Quantities for people, as the command line prints them: three significant digits, a prefix, a unit.

const DECIMAL = [["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3], ["", 1]];
const BINARY = [["Ti", 2 ** 40], ["Gi", 2 ** 30], ["Mi", 2 ** 20], ["Ki", 2 ** 10], ["", 1]];
const SMALL = [["", 1], ["m", 1e-3], ["µ", 1e-6], ["n", 1e-9]];

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value) || value === 0) return String(value);
  const rounded = Number(value.toPrecision(digits));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export const count = (value) => (Number.isInteger(value) ? value.toLocaleString("en-US") : number(value));

function scaleOf(value, prefixes) {
  const size = Math.abs(value) * (1 + 5e-4);
  return prefixes.find(([, factor]) => size >= factor) ?? prefixes.at(-1);
}

function quantity(value, unit, prefixes) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return `0 ${unit}`;
  const [prefix, factor] = scaleOf(value, prefixes);
  return `${number(value / factor)} ${prefix}${unit}`;
}

export const seconds = (value) => quantity(value, "s", SMALL);
export const bytes = (value) => quantity(value, "B", BINARY);
export const flopsPerSecond = (value) => quantity(value, "FLOP/s", DECIMAL);
export const bytesPerSecond = (value) => quantity(value, "B/s", DECIMAL);
export const watts = (value) => quantity(value, "W", DECIMAL);
export const joules = (value) => quantity(value, "J", SMALL);
export const percent = (value, digits = 2) => (value === null || value === undefined ? "–" : `${number(100 * value, digits)} %`);
export const parameters = (value) => quantity(value, "", [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3], ["", 1]]).trim();
export const usd = (value) => (value === null || value === undefined ? "–" : `$${number(value)}`);

// Both ends in the unit of the middle, so that the three compare at a glance.
export function interval(low, high, middle) {
  if (low === null || high === null || low === undefined || high === undefined) return "";
  const [, factor] = scaleOf(middle, SMALL);
  return `${number(low / factor, 2)}–${number(high / factor, 2)}`.replaceAll(",", "");
}

export function timed(time) {
  return time === null || time === undefined || time.seconds === null
    ? "–"
    : `${seconds(time.seconds)} (${interval(time.low, time.high, time.seconds)})`;
}

const PHASES = {
  encode_text: "encode text", denoise: "denoising step", decode_image: "decode image", encode: "encode",
  encode_image: "encode image", forward: "forward", prefill: "prefill", decode: "decode step",
};
export const phaseTitle = (name) => PHASES[name] ?? name;

export function layoutTitle(layout) {
  const named = Object.entries({ tp: "tp", pp: "pp", ep: "ep", attention_dp: "dp" });
  const parts = named.filter(([key]) => (layout?.[key] ?? 1) > 1).map(([key, short]) => `${short}${layout[key]}`);
  return parts.join(" ") || "1 device";
}
