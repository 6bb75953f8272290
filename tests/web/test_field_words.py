"""Messages in the words of the API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cli import main
from perfmodel.web.field_words import in_fields, where_of

OPTIONS = sorted({name for own in main.commands.values() for param in own.params for name in param.opts})
LONG = [name for name in OPTIONS if name.startswith("--")]
WORDS = ["give", "one of", "(like 2)", "a--b", "x-y", "1 - 2", "--", "'--1'"]


@given(words=st.lists(st.sampled_from([*LONG, *WORDS])))
def test_options_become_fields_and_all_else_stays(words: list[str]) -> None:
    fields = [word[2:].replace("-", "_") if word in LONG else word for word in words]
    assert in_fields(" ".join(words)) == " ".join(fields)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("say how requests arrive: --rate R, --concurrency N", "say how requests arrive: rate R, concurrency N"),
        ("Give --image-size N. Or '--image-size'", "Give image_size N. Or 'image_size'"),
        ("has no steps: leave out steps (--steps)", "has no steps: leave out steps"),
        (
            "unknown model 'm'. `perfmodel models list` shows all; a path to a config.json works too",
            "unknown model 'm'. GET /api/v1/models shows all, POST /api/v1/models/config takes a config.json",
        ),
        (
            "unknown chip 'h'. `perfmodel hardware list` shows all; a path to a YAML file works too",
            "unknown chip 'h'. GET /api/v1/hardware shows all",
        ),
    ],
)
def test_in_fields(text: str, told: str) -> None:
    assert in_fields(text) == told


def test_a_mistake_is_of_the_first_field_that_the_body_has() -> None:
    fields = ("rate", "input_tokens")
    assert where_of("--trace has lengths of its own: leave out --input-tokens, --rate", fields) == "input_tokens"
    assert where_of("rate is not an option here", fields) == "body"
