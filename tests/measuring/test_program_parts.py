"""Tensors with content for timing, and without for tracers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from perfmodel.measuring.program_parts import random_tensor, without_content  # noqa: E402

pytestmark = pytest.mark.torch


def test_content_is_random_again_after_tensors_without_any() -> None:
    with without_content():
        blank = random_tensor((4, 8), torch.bfloat16)
    assert (blank.shape, blank.dtype) == ((4, 8), torch.bfloat16)
    filled = random_tensor((64, 64), torch.float32)
    assert float(filled.abs().max()) > 0
    assert float(filled.std()) == pytest.approx(1.0, rel=0.5)


def test_a_large_tensor_without_content_takes_no_memory() -> None:
    resource = pytest.importorskip("resource")
    with without_content():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blank = random_tensor((256 << 20,), torch.float32)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 1000  # of 262,144 pages
    assert blank.numel() == 256 << 20
