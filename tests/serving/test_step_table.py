"""Step tables: exact at the knots, linear between, and monotone where work is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.serving.step_table import StepTable, bilinear, interpolate, piece_of, step_seconds
from serving.deployments import flat_table, random_table

SEEDS = st.integers(0, 1000)
SIZES = st.floats(1, 30_000)


@given(SEEDS)
def test_knots_are_met_exactly(seed: int) -> None:
    table = random_table(seed)
    # on the last knot of an axis the piece before it ends: the same value but for rounding
    np.testing.assert_allclose(interpolate(table.tokens, table.token_seconds, table.tokens), table.token_seconds)
    b, t = np.meshgrid(table.decode_batch, table.decode_context, indexing="ij")
    np.testing.assert_allclose(
        bilinear(table.decode_batch, table.decode_context, table.decode_seconds, b, t), table.decode_seconds
    )


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_pieces_are_linear(seed: int, share: float, other: float) -> None:
    table = random_table(seed)
    (x0, x1), (y0, y1) = table.tokens[2:4], table.token_seconds[2:4]
    assert interpolate(table.tokens, table.token_seconds, x0 + share * (x1 - x0)) == pytest.approx(
        y0 + share * (y1 - y0)
    )
    (b0, b1), (t0, t1) = table.decode_batch[1:3], table.decode_context[1:3]
    corners = table.decode_seconds[1:3, 1:3]
    weights = np.outer([1 - share, share], [1 - other, other])
    found = bilinear(
        table.decode_batch, table.decode_context, table.decode_seconds, b0 + share * (b1 - b0), t0 + other * (t1 - t0)
    )
    assert found == pytest.approx(float((corners * weights).sum()))


def test_outside_the_knots() -> None:
    knots, values = np.array([10.0, 20.0]), np.array([1.0, 3.0])
    # below the first knot a kernel takes what its smallest takes; above the last one it goes on growing
    assert interpolate(knots, values, [0.0, 5.0, 30.0]).tolist() == [1.0, 1.0, 5.0]
    place, share = piece_of(knots, np.array([5.0, 15.0, 40.0]))
    assert (place.tolist(), share.tolist()) == ([0, 0, 0], [0.0, 0.5, 3.0])


@given(SEEDS, SIZES, SIZES, SIZES, st.floats(1.0, 3.0), st.booleans())
def test_more_work_takes_no_less_time(seed: int, b: float, t: float, p: float, more: float, mixed: bool) -> None:
    table = random_table(seed, mixed=mixed)
    sizes = {"sequences": b, "context": t, "prefill_tokens": p, "prefill_context": t}
    base = step_seconds(table, **sizes)
    for name in sizes:
        assert step_seconds(table, **(sizes | {name: sizes[name] * more})) >= base * (1 - 1e-12)
    assert step_seconds(table, **sizes, drafted_tokens=b * (more - 1)) >= base * (1 - 1e-12)


def test_a_step_is_the_sum_of_its_parts() -> None:
    table = random_table(3)
    alone = step_seconds(table, sequences=0, context=0, prefill_tokens=100, prefill_context=400)
    chunk = bilinear(table.prefill_tokens, table.prefill_context, table.prefill_seconds, 100.0, 400.0)
    tokens = interpolate(table.tokens, table.token_seconds, 100.0)
    assert alone == pytest.approx(float(tokens + chunk) + table.fixed_seconds)
    both = step_seconds(table, sequences=8, context=900, prefill_tokens=100, prefill_context=400)
    running = bilinear(table.decode_batch, table.decode_context, table.decode_seconds, 8.0, 900.0)
    tokens = interpolate(table.tokens, table.token_seconds, 108.0)
    assert both == pytest.approx(float(tokens + running + chunk) + table.fixed_seconds + 8 * table.sequence_seconds)
    # a whole prompt sees at least its own tokens
    assert step_seconds(table, sequences=0, context=0, prefill_tokens=800) == step_seconds(
        table, sequences=0, context=0, prefill_tokens=800, prefill_context=800
    )


def test_attention_of_several_prompts_is_that_of_each() -> None:
    table = random_table(5)
    bare = StepTable(
        **{name: getattr(table, name) for name in StepTable.__dataclass_fields__}
        | {"token_seconds": np.zeros_like(table.tokens), "fixed_seconds": 0.0}
    )
    one = step_seconds(bare, sequences=0, context=0, prefill_tokens=700, prefill_context=700)
    three = step_seconds(bare, sequences=0, context=0, prefill_tokens=2100, prefill_context=700, prompts=3)
    assert three == pytest.approx(3 * float(one))


def test_drafts_are_tokens_without_keys_of_their_own() -> None:
    table = random_table(7)
    plain, drafted = (step_seconds(table, sequences=8, context=500, drafted_tokens=d) for d in (0, 24))
    tokens = interpolate(table.tokens, table.token_seconds, [8.0, 32.0])
    assert drafted - plain == pytest.approx(float(tokens[1] - tokens[0]) + 24 * table.sequence_seconds)


@given(SEEDS, st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=8))
def test_arrays_are_loops_of_single_steps(seed: int, rows: list[tuple[float, float, float]]) -> None:
    table = random_table(seed)
    b, t, p = np.array(rows).T
    together = step_seconds(table, sequences=b, context=t, prefill_tokens=p, prefill_context=t)
    single = [
        float(step_seconds(table, sequences=x, context=y, prefill_tokens=z, prefill_context=y)) for x, y, z in rows
    ]
    np.testing.assert_array_equal(together, single)


def test_nothing_to_do_takes_what_an_empty_step_takes() -> None:
    assert step_seconds(flat_table(0.01), sequences=0, context=0) == 0.01
