// Light, dark, or what the system says. A classic script in the head, so that no page flashes in the other colours.
(() => {
  const ORDER = ["auto", "light", "dark"];
  const root = document.documentElement;
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") ?? "auto";
  } catch {
    // storage may be forbidden; then the choice lasts as long as the page
  }
  const apply = () => {
    if (chosen === "auto") delete root.dataset.theme;
    else root.dataset.theme = chosen;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${chosen}`;
    document.dispatchEvent(new Event("themechange"));
  };
  const next = () => {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // as above
    }
    apply();
  };
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", next);
    apply();
  });
})();
