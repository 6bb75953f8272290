"""Names and numbers of parallel layouts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.layouts import ONE_DEVICE, Layout, layouts_of

degrees = st.integers(1, 64)


@given(degrees, degrees, degrees)
def test_devices(tensor: int, pipeline: int, data: int) -> None:
    layout = Layout(tensor=tensor, pipeline=pipeline, attention_data=data)
    assert layout.devices == tensor * pipeline * data == layout.ranks * pipeline
    assert layout.experts_split == layout.ranks
    assert Layout(tensor=tensor, attention_data=data, expert=layout.ranks).experts_split == 1


@pytest.mark.parametrize(("layout", "name"), [
    (ONE_DEVICE, "tp1"), (Layout(tensor=8), "tp8"), (Layout(pipeline=2), "pp2"), (Layout(attention_data=4), "dp4"),
    (Layout(tensor=2, pipeline=3, attention_data=4, expert=8, sequence=True), "tp2-pp3-dp4-ep8-sp"),
])  # fmt: skip
def test_names(layout: Layout, name: str) -> None:
    assert str(layout) == name


@pytest.mark.parametrize(("degrees", "message"), [
    ({"tensor": 0}, "tensor parallelism must be at least 1, got 0"),
    ({"tensor": 4, "expert": 3}, "experts over 3 devices do not come out even on the 4 of a stage"),
    ({"tensor": 4, "expert": 2, "expert_tensor": 4}, "experts over 2 devices with 4 for each do not come out even"),
    ({"expert_tensor": -1}, "must be at least 1, got -1"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(degrees: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Layout(**degrees)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from([1, 2, 3, 4, 8]), min_size=1, max_size=3), st.sampled_from([1, 2, 3]), st.booleans())
def test_every_combination_is_a_layout_or_told(tensor: list[int], expert: int, sequence: bool) -> None:
    if all(own % expert for own in tensor):
        with pytest.raises(InputError, match="do not come out even"):
            layouts_of(tensor, [1], [expert], [1], sequence=sequence)
        return
    layouts, wrong = layouts_of(tensor, [1], [expert], [1], sequence=sequence)
    assert [own.tensor for own in layouts] == [own for own in dict.fromkeys(tensor) if own % expert == 0]
    assert all(own.sequence == (sequence and own.tensor > 1) for own in layouts)
    assert len(wrong) == sum(own % expert > 0 for own in tensor)
