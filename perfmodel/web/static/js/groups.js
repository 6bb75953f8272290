// Groups of a form, which fold. On a wide window all are open but those that say otherwise. On a narrow one the form
// stays above the answer as a bar of closed groups, each telling in short what it holds, of which one at a time opens.

import { h } from "./dom.js";

const narrow = matchMedia("(max-width: 60rem)");

// A group of the form of a view, from {heading, brief, folded, inside}: `brief()` is what it holds, in a few words.
export function makeGroup(view, { heading, brief, folded = false, inside }) {
  const short = h("span", { class: "brief", "aria-hidden": "true" });
  const summary = h("summary", {}, h("h3", {}, heading), short);
  const element = h("details", { class: "group" }, summary, h("div", { class: "inside" }, inside));
  const fit = () => {
    if (narrow.matches) element.setAttribute("name", `groups-of-${view}`); // of those of one name, one is open
    else element.removeAttribute("name");
    element.open = !narrow.matches && !folded;
  };
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !narrow.matches || event.defaultPrevented || !element.open) return;
    element.open = false;
    summary.focus();
  });
  // the bar moves up to where it stays, for the answer below to be seen
  element.addEventListener("toggle", () => {
    if (!narrow.matches || !element.open || !element.offsetParent) return;
    const top = element.closest(".columns").getBoundingClientRect().top;
    if (top > 0) window.scrollBy(0, top);
  });
  narrow.addEventListener("change", fit);
  fit();
  return {
    element,
    refresh: () => {
      short.textContent = brief();
    },
    // what is wrong must be seen; on a narrow window the first of several
    show: () => {
      if (!narrow.matches || !element.parentElement.querySelector(":scope > .group[open] .error:not([hidden])")) element.open = true;
    },
  };
}
