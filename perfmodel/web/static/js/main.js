// The page: four views over one address.

import { about } from "./catalog.js";
import { h } from "./dom.js";
import { planView } from "./plan.js";
import { predictView } from "./predict.js";
import { preload } from "./plots.js";
import { scaleView } from "./scale.js";
import { serveView } from "./serve.js";
import { addressOf, readAddress, settleAddress } from "./state.js";
import { copy } from "./view.js";

const views = [predictView(), scaleView(), serveView(), planView()];
const main = document.getElementById("main");
const links = views.map((view) => h("a", { href: `#${view.name}`, onclick: (event) => go(event, view) }, view.title));
let current = null;

function show(view) {
  for (const [place, own] of views.entries()) {
    own.element.hidden = own !== view;
    if (own === view) links[place].setAttribute("aria-current", "page");
    else links[place].removeAttribute("aria-current");
  }
  document.title = `${view.title} – perfmodel`;
  current = view;
  view.open();
}

// Values go along to another view; its address tells them.
function go(event, view) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  settleAddress(current);
  settleAddress(view, true);
  show(view);
  document.getElementById(`title-${view.name}`).focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

document.querySelector("header nav").append(...links);
main.append(...views.map((view) => view.element));
window.addEventListener("popstate", () => show(readAddress(views)));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.querySelector("section:not([hidden]) .answer").scrollIntoView();
  main.focus({ preventScroll: true });
});
const button = document.getElementById("copy-link");
button.addEventListener("click", () => {
  settleAddress(current);
  copy(new URL(addressOf(current), location.href).href, button);
});
about().then((told) => {
  document.getElementById("version").textContent = `perfmodel ${told.version}.`;
}, () => {});
show(readAddress(views));
preload();
