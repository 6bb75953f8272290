"""How long the page takes from a slider to the painted plot, in a real Chromium.

    python benchmarks/page_latency.py                # 40 steps of sliders of each view
    python benchmarks/page_latency.py --steps 200

Starts a server and a browser of its own, and ends them. Time is counted from the event of the slider, as the browser
stamped it, to the frame after plotly has drawn the new answer. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys

PAUSE_MS = 250  # between two steps, so that each is measured alone
VIEWS = {
    "predict": ("#predict?hardware=h100-sxm,l40s,l4", "predict-batch"),
    "predict, 6 lines": ("#predict?hardware=h100-sxm,l40s,l4&precision=bf16,fp8", "predict-input_tokens"),
    "scale": ("#scale?phase=decode", "scale-batch"),
    "serve, its load": ("#serve", "serve-concurrency"),
    "serve, its lengths": ("#serve", "serve-input_tokens"),
}
MEASURE = """() => {
  const plot = document.querySelector('section.view:not([hidden]) .js-plotly-plot');
  window.seen = [];
  let begun = null;
  document.addEventListener('input', (event) => { begun ??= event.timeStamp; }, true);
  const drawn = () => {
    if (begun === null) return;
    const from = begun;
    begun = null;
    requestAnimationFrame(() => window.seen.push(performance.now() - from));
  };
  plot.on('plotly_afterplot', drawn);
  plot.on('plotly_relayout', drawn);
}"""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip


def measure(address: str, steps: int) -> None:
    """A line of figures for each view."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for title, (link, slider) in VIEWS.items():
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(f"{address}/{link}")
            page.wait_for_selector("section.view:not([hidden]) .js-plotly-plot .xaxislayer-above", state="attached")
            page.wait_for_load_state("networkidle")
            page.evaluate(MEASURE)
            page.locator(f"#{slider}").focus()
            for _ in range(steps):
                page.keyboard.press("ArrowRight")
                page.wait_for_timeout(PAUSE_MS)
            seen = sorted(page.evaluate("window.seen"))
            p50, p90 = seen[len(seen) // 2], seen[int(0.9 * (len(seen) - 1))]
            print(f"{title:18} {len(seen)} plots: p50 {p50:.0f} ms, p90 {p90:.0f} ms, most {seen[-1]:.0f} ms")
            page.close()
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="of each slider")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "perfmodel", "serve", "--port", "0", "--quiet"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+:\d+", server.stderr.readline())
        assert found, "the server does not start"
        measure(found[0], asked.steps)
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
