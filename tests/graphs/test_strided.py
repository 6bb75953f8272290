"""Views and copies as torch has them, for random shapes, orders of axes and targets."""

from __future__ import annotations

from math import prod

import torch
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.graphs.strided import DTYPES, StridedTensor, contiguous

FP32 = DTYPES["fp32"]
SIZES = st.sampled_from([1, 2, 3, 4])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[torch.Tensor, StridedTensor]:
    """The same view of the same storage, torch's and ours."""
    shape = draw(st.lists(SIZES, min_size=1, max_size=4))
    theirs, own = torch.empty(shape, device="meta"), contiguous(shape, FP32)
    order = draw(st.permutations(range(len(shape))))
    theirs, own = theirs.permute(order), own.permute(order)
    if draw(st.booleans()):
        axis = draw(st.integers(0, len(shape) - 1))
        start = draw(st.integers(0, theirs.shape[axis] - 1))
        theirs = theirs.narrow(axis, start, theirs.shape[axis] - start)
        own = own.cut(axis, start, own.shape[axis] - start)
    if draw(st.booleans()):
        wide = (2, *(3 if size == 1 else size for size in theirs.shape))
        theirs, own = theirs.expand(wide), own.expand(wide)
    return theirs, own


@given(pair=pairs(), parts=st.lists(SIZES, max_size=4))
def test_a_reshape_is_a_view_where_torch_has_one(pair: tuple[torch.Tensor, StridedTensor], parts: list[int]) -> None:
    theirs, own = pair
    assert (own.stride(), own.storage_offset()) == (theirs.stride(), theirs.storage_offset())
    while prod(parts) and theirs.numel() % prod(parts):
        parts.pop()
    target = (*parts, theirs.numel() // prod(parts))
    try:
        expected = theirs.view(target)
    except RuntimeError:
        expected = None
    found = own.reshape(target)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        used = [axis for axis, size in enumerate(target) if size > 1]  # torch chooses any stride for the others
        assert [found.strides[axis] for axis in used] == [expected.stride(axis) for axis in used]
        assert found.storage is own.storage


@given(pair=pairs())
def test_elementwise_results_lie_as_torch_writes_them(pair: tuple[torch.Tensor, StridedTensor]) -> None:
    theirs, own = pair
    if 0 in theirs.stride() or 1 in theirs.shape:
        return
    result = own.like()
    assert result.strides == torch.relu(theirs).stride()
    assert result.storage is not own.storage


def test_views_of_nothing() -> None:
    assert contiguous((2, 0, 4), FP32).reshape((0, 8)) is not None
