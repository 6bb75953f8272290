// What devices cost and where they stand: fields of a form, what of them is asked, and words about money and energy.

import { h } from "./dom.js";
import * as f from "./format.js";
import { state } from "./state.js";

const FIELDS = ["electricity", "pue", "utilisation"];
const USUAL_UTILISATION = 1;

// Prices are kept as texts `h100-sxm:1.95`, as they stand in the address.
const priceOf = (chip) => state.prices.find((own) => own.startsWith(`${chip}:`))?.slice(chip.length + 1) ?? "";

// A box for each of the chips that are asked about, with the price of its profile behind it.
export function prices({ name, chips, known }, id, changed) {
  const rows = h("div", { class: "prices" });
  let listed = new Map();
  let shown = null;
  const box = (chip, place) => {
    const own = listed.get(chip);
    const usual = own?.price_usd_per_hour ? `${f.number(own.price_usd_per_hour)} (of ${own.price_date})` : "not known";
    const input = h("input", { type: "text", inputmode: "decimal", id: `${id}-${place}`, placeholder: usual, autocomplete: "off", "aria-describedby": `${id}-error` });
    input.value = priceOf(chip);
    input.addEventListener("input", () => {
      const rest = state[name].filter((text) => !text.startsWith(`${chip}:`));
      state[name] = input.value.trim() ? [...rest, `${chip}:${input.value.trim()}`] : rest;
      changed(name, true);
    });
    return h("p", { class: "price" }, h("label", { for: `${id}-${place}` }, chip), input);
  };
  const refresh = () => {
    const now = JSON.stringify([chips(), chips().map(priceOf), listed.size]);
    if (now === shown || rows.contains(document.activeElement)) return; // a box that is typed into stays
    shown = now;
    rows.replaceChildren(...chips().map(box));
  };
  known.then((all) => {
    listed = new Map(all.map((own) => [own.id, own]));
    refresh();
  }, () => {});
  return { content: rows, group: true, refresh };
}

export const costFields = (chips, known) => [
  { kind: "prices", name: "prices", label: "A device per hour (USD)", hint: "Empty: the price of its profile.", chips, known },
  { kind: "slider", name: "utilisation", label: "Busy share of the hours", lowest: 0.05, highest: 1, whole: false },
  { kind: "number", name: "electricity", label: "Electricity (USD per kWh)", placeholder: "0.10" },
  { kind: "number", name: "pue", label: "PUE: power of the site over that of its servers", placeholder: "1.3" },
];

// A number that is typed is taken as it stands: the server tells what is wrong with it.
const typed = (text) => (Number.isNaN(Number(text)) ? text : Number(text));

// The fields of a body, of what is not as usual; prices of the chips that it asks about.
export function costBody(chips) {
  const given = chips.map((chip) => [chip, priceOf(chip)]).filter(([, price]) => price);
  const body = given.length ? { prices: Object.fromEntries(given.map(([chip, price]) => [chip, { usd_per_hour: typed(price) }])) } : {};
  for (const name of FIELDS) {
    if (state[name] === null || (name === "utilisation" && state[name] === USUAL_UTILISATION)) continue;
    body[name] = state[name];
  }
  return body;
}

export function costBrief(chips) {
  const parts = chips.map((chip) => priceOf(chip) && `${chip} $${priceOf(chip)}`).filter(Boolean);
  if (state.utilisation !== USUAL_UTILISATION) parts.push(`${f.percent(state.utilisation)} busy`);
  if (state.electricity !== null) parts.push(`$${state.electricity}/kWh`);
  return parts.join(", ") || "as usual";
}

// What costs and energy rest on, for one chip.
export function assumed({ price, assumed: site }, chip) {
  const told = price ? `${f.usd(price.usd_per_device_hour)} per device and hour (${price.source}, ${price.date || "date unknown"})` : `no price of ${chip} is known: give one under Costs`;
  return `${told[0].toUpperCase()}${told.slice(1)}. Assumed: PUE ${site.pue}, $${site.electricity_usd_per_kwh} per kWh, busy ${f.percent(site.utilisation)} of the hours.`;
}
