// What is asked, in the address of the page: #predict?model=llama-3.1-8b&hardware=h100-sxm,l4. A link is an answer.
//
// All views share the values, so that a model and its chips go with the reader from one view to the next; an address
// holds those of its view that are not the usual ones.

export const USUAL = {
  model: "llama-3.1-8b", hardware: ["h100-sxm", "l40s"], precision: [], batch: 1, input_tokens: 1024, output_tokens: 128,
  image_size: null, steps: null, tp: 1, pp: 1, level: 0.8, along: "batch", curve: "", why: "",
  sizes: ["llama"], phase: "",
  engine: "vllm", replicas: 1, over: "concurrency", concurrency: 64, rate: 8, slo_ttft: null, slo_tpot: null,
  requests: 2000, length_spread: null, seed: 0,
  engines: ["vllm"], degrees: [1, 2, 4, 8], demand: "rate", plan_rate: 10, plan_users: 100, ttft: 1, tpot: 0.05,
  percentile: "95", max_gpus: null, order: "gpus",
  prices: [], electricity: null, pue: null, utilisation: 1,
};
const WAIT = 250; // ms: browsers limit how often an address may change

export const state = structuredClone(USUAL);
let writing = 0;

export function readAddress(views) {
  const [, name, query] = location.hash.match(/^#([a-z]+)\??(.*)$/) ?? [];
  const view = views.find((own) => own.name === name) ?? views[0];
  const given = new URLSearchParams(query ?? "");
  for (const field of view.fields) {
    state[field] = given.has(field) ? parsed(given.get(field), USUAL[field]) : structuredClone(USUAL[field]);
  }
  return view;
}

// Text stays text where a number is wanted but not given: the server then says what is wrong with it.
function parsed(text, usual) {
  const value = (part, like) => (typeof like === "string" || part.trim() === "" || Number.isNaN(Number(part)) ? part : Number(part));
  if (Array.isArray(usual)) return text === "" ? [] : text.split(",").map((part) => value(part, usual[0] ?? ""));
  return text === "" && typeof usual !== "string" ? null : value(text, usual);
}

export function addressOf(view) {
  const given = new URLSearchParams();
  for (const field of view.fields) {
    const value = state[field];
    if (JSON.stringify(value) !== JSON.stringify(USUAL[field])) given.set(field, Array.isArray(value) ? value.join(",") : (value ?? ""));
  }
  const query = given.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return `#${view.name}${query ? `?${query}` : ""}`;
}

export function writeAddress(view) {
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", addressOf(view)), WAIT);
}

// A link that is taken, or shown beside a new view, must not wait.
export function settleAddress(view, push = false) {
  clearTimeout(writing);
  history[push ? "pushState" : "replaceState"](null, "", addressOf(view));
}
