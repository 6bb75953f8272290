"""Reports of what latencies of servers are made of: `explain --engine`, alone or two requests side by side.

May import: latency_parts and below; the tables, words, plots and documents of this room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.report.formats import format_seconds
from perfmodel.report.html_page import Headline, Picture, Report
from perfmodel.report.html_serving import TITLES, served_report
from perfmodel.report.serving_document import ServedAnswer

if TYPE_CHECKING:
    from perfmodel.latency_parts import LatencyComparison
    from perfmodel.report.latency_document import Explained


def explained_report(explained: Explained, *, top: int) -> Report:
    """Of `perfmodel explain --engine`: as of the prediction, with what it is made of in place of its table."""
    from perfmodel.report.latency_document import explained_document
    from perfmodel.report.latency_table import print_explained
    from perfmodel.report.latency_words import made_sentence

    assert isinstance(explained.answer, ServedAnswer)
    whole = served_report([explained.answer])
    made = {name: explained.latencies[name] for name in ("ttft", "tpot")}
    return Report(
        kind="explanation",
        summary=[made_sentence(name, own) for name, own in made.items() if own.parts],
        headlines=whole.headlines,
        pictures=whole.pictures,
        tell=lambda console: print_explained(console, explained, top=top),
        document=explained_document(explained),
        sources=whole.sources,
    )


def compared_report(pair: tuple[Explained, Explained], found: Sequence[LatencyComparison], *, top: int) -> Report:
    """Of `perfmodel explain --compare` of servers."""
    from perfmodel.report.latency_document import compared_document
    from perfmodel.report.latency_plot import draw_steps
    from perfmodel.report.latency_table import print_compared, title_of
    from perfmodel.report.latency_words import compared_sentences

    served = [each.answer for each in pair if isinstance(each.answer, ServedAnswer)]
    return Report(
        kind="comparison",
        title=" against ".join(map(title_of, pair)),
        summary=compared_sentences(found)[:2],
        headlines=[
            Headline(f"{TITLES[name]}, {side}", format_seconds(own.latencies[name].seconds))
            for name in ("ttft", "tpot")
            for side, own in zip("AB", pair, strict=True)
            if name in own.latencies
        ],
        pictures=[Picture("The steps from A to B.", draw_steps(pair, found))],
        tell=lambda console: print_compared(console, pair, found, top=top),
        document=compared_document(pair, found),
        sources=served_report(served).sources if served else (),
    )
