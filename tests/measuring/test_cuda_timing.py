"""Timing on a CUDA device: what needs none is tested anywhere, the rest where there is one."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from perfmodel.errors import InputError, UnsupportedError  # noqa: E402
from perfmodel.measuring.cuda_timing import cuda_reference_seconds, fp32_products, time_cuda_calls  # noqa: E402
from perfmodel.measuring.suite_runner import check_device  # noqa: E402
from perfmodel.measuring.timing import Protocol  # noqa: E402

pytestmark = pytest.mark.torch
here = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SHORT = Protocol(budget_seconds=0.02, least_samples=3)


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, perfmodel.measuring.cuda_timing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_products_of_fp32_are_in_tf32_where_that_is_asked_for_and_as_before_afterwards() -> None:
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    for dtype, wanted in (("fp32", False), ("tf32", True), ("bf16", False)):
        with fp32_products(dtype):
            assert (products.allow_tf32, convolutions.allow_tf32) == (wanted, wanted)
        assert (products.allow_tf32, convolutions.allow_tf32) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"no CUDA device here; .*--device cpu"):
        check_device("cuda", ["fp16"])


def test_tf32_is_nothing_for_a_cpu() -> None:
    with pytest.raises(UnsupportedError, match="tf32 on cpu"):
        check_device("cpu", ["fp32", "tf32"])


@here
@pytest.mark.gpu
def test_the_replay_of_small_kernels_is_faster_than_their_host() -> None:
    a = torch.rand(64, 64, device="cuda")

    def chain() -> None:
        b = a
        for _ in range(50):
            b = torch.relu(b)

    with torch.inference_mode():
        eager, alone = time_cuda_calls(chain, SHORT)
    assert alone is not None
    assert 50 * 5e-7 < alone < eager.seconds < 1e-2


@here
@pytest.mark.gpu
def test_large_kernels_take_as_long_either_way() -> None:
    a = torch.rand(4096, 4096, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        eager, alone = time_cuda_calls(lambda: a @ a, SHORT)
    assert alone == pytest.approx(eager.seconds, rel=0.2)


@here
@pytest.mark.gpu
def test_what_waits_for_the_device_is_not_captured_and_leaves_nothing_behind() -> None:
    a = torch.rand(64, 64, device="cuda")
    stream = torch.cuda.current_stream()
    with torch.inference_mode():
        eager, alone = time_cuda_calls(lambda: torch.relu(a).sum().item(), SHORT)
        assert alone is None
        assert torch.cuda.current_stream() == stream
        assert not torch.cuda.is_current_stream_capturing()
        assert torch.cuda.get_sync_debug_mode() == 0
        assert time_cuda_calls(lambda: torch.relu(a), SHORT)[1] is not None
    assert eager.seconds > 0


@here
@pytest.mark.gpu
def test_what_is_put_back_before_each_sample_is_not_timed() -> None:
    a = torch.rand(4096, 4096, device="cuda")
    with torch.inference_mode():
        slow, alone = time_cuda_calls(lambda: torch.relu(a[:8, :8]), SHORT, lambda: [a @ a for _ in range(20)])
    assert alone is None
    assert slow.seconds < 1e-3


@here
@pytest.mark.gpu
def test_the_reference_product_is_steady() -> None:
    first, second = cuda_reference_seconds(), cuda_reference_seconds()
    assert second == pytest.approx(first, rel=0.2)
