// A model of one's own: a config.json that is pasted, or an ONNX file.

import { ask, post, Refused } from "./api.js";
import { about, keepUpload } from "./catalog.js";
import { h, say } from "./dom.js";
import { bytes } from "./format.js";

const ONLY_JSON = "this is not JSON";

export function uploader(use) {
  const text = h("textarea", { id: "pasted", rows: 5, spellcheck: "false", "aria-describedby": "pasted-error" });
  const file = h("input", { type: "file", id: "onnx", accept: ".onnx", "aria-describedby": "onnx-error" });
  const name = h("input", { type: "text", id: "pasted-name", value: "pasted", autocomplete: "off", "aria-describedby": "pasted-name-error" });
  const errors = Object.fromEntries(["pasted", "onnx", "pasted-name"].map((id) => [id, h("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true })]));
  const controls = { pasted: text, onnx: file, "pasted-name": name };

  const fail = (id, message) => {
    errors[id].textContent = message;
    errors[id].hidden = !message;
    if (message) controls[id].setAttribute("aria-invalid", "true");
    else controls[id].removeAttribute("aria-invalid");
  };
  const take = async (id, send) => {
    Object.keys(errors).forEach((each) => fail(each, ""));
    try {
      const model = await send();
      keepUpload(model);
      say(`${model.name} is read`);
      element.open = false;
      use(model);
    } catch (error) {
      const nameIsWrong = error instanceof Refused && error.mistakes[0].where === "name";
      fail(nameIsWrong ? "pasted-name" : id, error.message);
    }
  };
  const paste = () => take("pasted", async () => {
    let config;
    try {
      config = JSON.parse(text.value);
    } catch (error) {
      throw new Error(`${ONLY_JSON}: ${error.message}`);
    }
    return post("/models/config", { config, name: name.value });
  });
  const upload = () => take("onnx", async () => {
    const [chosen] = file.files;
    const { limits } = await about();
    if (chosen.size > limits.onnx_bytes) throw new Error(`${bytes(chosen.size)} are more than the ${bytes(limits.onnx_bytes)} that this server reads: weights may be left out of the file`);
    return ask("POST", "/models/onnx", new Blob([chosen]));
  });
  file.addEventListener("change", () => file.files.length && upload());

  const element = h(
    "details", { class: "own" }, h("summary", {}, "A model of your own"),
    h("div", { class: "field" }, h("label", { for: "pasted" }, "Paste a Hugging Face config.json"), text, errors.pasted),
    h("div", { class: "field" }, h("label", { for: "pasted-name" }, "Call it"), name, errors["pasted-name"]),
    h("button", { type: "button", onclick: paste }, "Use this config"),
    h("div", { class: "field" }, h("label", { for: "onnx" }, "Or upload an ONNX file"), file, errors.onnx),
  );
  return element;
}
