// Models, chips and engines of the server, fetched once; models that were pasted or uploaded have titles of their own.

import { get } from "./api.js";
import { bytes, bytesPerSecond, parameters } from "./format.js";

export const LONGEST = 1 << 17; // tokens of a slider

const once = (path) => {
  let asked = null;
  return () => (asked ??= get(path));
};
export const models = once("/models");
export const hardware = once("/hardware");
export const engines = once("/engines");
export const about = once("/about");

const titles = new Map();
const uploaded = new Map();

// A model that the server now has under `id`.
export function keepUpload(model) {
  uploaded.set(model.id, model);
  titles.set(model.id, model.name);
}

export const modelTitle = (value) => titles.get(value) ?? value;

// What a model is: its phases decide which fields make sense. null where nobody knows.
export async function modelFacts(name) {
  const [base] = name.split(":"); // behind it stand changes of its config, as in llama-3.1-8b:num_hidden_layers=16
  const listed = (await models()).find((own) => own.name === base || own.aliases?.includes(base));
  if (listed) return listed;
  if (uploaded.has(name)) return uploaded.get(name);
  if (!/^upload:[0-9a-f]{32}$/.test(name)) return null;
  const model = await get(`/models/${name}`);
  keepUpload({ ...model, id: name });
  return model;
}

export async function modelEntries() {
  const text = (own) => [own.name, own.title, own.family, own.task, ...(own.aliases ?? [])].join(" ").toLowerCase();
  return (await models()).map((own) => ({
    value: own.name, text: text(own), note: `${parameters(own.parameters)} parameters, ${own.task.replaceAll("-", " ")}`,
  }));
}

export async function chipEntries() {
  const chips = (await hardware()).filter((own) => own.kind !== "fabric");
  return chips.map((own) => ({
    value: own.id, text: [own.id, own.name, own.vendor, own.kind, own.family].join(" ").toLowerCase(),
    note: `${bytes(own.memory_bytes)}, ${bytesPerSecond(own.memory_bandwidth_bytes_per_second)}`,
  }));
}

export const engineOptions = async () => (await engines()).map((own) => [own.id, own.name]);

export async function sizeEntries() {
  const [told, listed] = await Promise.all([about(), modelEntries()]);
  const families = Object.entries(told.families ?? {}).map(([name, members]) => ({
    value: name, text: `${name} family ${members.join(" ")}`, note: `family: ${members.length} models`,
  }));
  return [...families, ...listed];
}

export const PRECISIONS = ["fp32", "tf32", "fp16", "bf16", "fp8", "int8", "w8a16", "w4a16", "nvfp4", "mxfp4"];
