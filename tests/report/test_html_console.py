"""What is printed comes out as HTML, escaped and in its place."""

from __future__ import annotations

from perfmodel.report.html_console import LONG, HtmlConsole, table_html
from perfmodel.report.prediction_table import make_table

HOSTILE = "<script>alert('x')</script>&\""
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;&quot;"


def test_texts_go_where_their_style_says() -> None:
    console = HtmlConsole()
    for text, style in (
        ("Title", "bold"), ("Part", "bold"), ("A sentence.", None), ("Level: device.", None), ("Errors are", "dim"),
        ("Note: assumed", None), ("", None), ("too much", "red"), ("80 % intervals of the means: TTFT", None),
    ):  # fmt: skip
        console.print(text, style=style)
    assert console.title == "Title"
    assert console.body == ["<h3>Part</h3>", "<p>A sentence.</p>", '<p class="warning">too much</p>']
    assert console.standing == [
        f"<p>{text}</p>"
        for text in ("Level: device.", "Errors are", "Note: assumed", "80 % intervals of the means: TTFT")
    ]


def test_commands_are_set_apart() -> None:
    console = HtmlConsole()
    console.print("Best: perfmodel predict m --hardware h")
    console.print("\n      perfmodel simulate m")
    assert console.body == [
        "<p>Best: <code>perfmodel predict m --hardware h</code></p>", "<p><code>perfmodel simulate m</code></p>",
    ]  # fmt: skip


def test_nothing_hostile_survives() -> None:
    console = HtmlConsole()
    table = make_table((HOSTILE, "left"), ("", "right"))
    table.add_row(HOSTILE, HOSTILE, style="dim")
    for style in (None, "dim", "red"):
        console.print(HOSTILE, style=style)
    console.print(table)
    html = "".join([*console.body, *console.standing])
    assert "<script" not in html
    assert html.count(ESCAPED) == 6


def test_tables_keep_header_sides_and_styles() -> None:
    table = make_table(("chip", "left"), ("time", "right"))
    table.add_row("l4", "1 ms", style="bold")
    table.add_row("x" * (LONG + 1), "2 ms")
    html = table_html(table)
    assert '<thead><tr><th scope="col">chip</th><th scope="col" class="right">time</th></tr></thead>' in html
    assert '<tr class="bold"><td>l4</td><td class="right">1 ms</td></tr>' in html
    assert f'<td class="long">{"x" * (LONG + 1)}</td>' in html
    table.show_header = False
    assert "<thead>" not in table_html(table)
