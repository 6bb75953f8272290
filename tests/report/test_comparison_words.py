"""Sentences about two predictions follow the numbers."""

from __future__ import annotations

from typing import Any

from perfmodel.comparison import compare
from perfmodel.report.comparison_words import phase_sentences
from perfmodel.types import OpCost, OpPrediction, PhasePrediction
from report.answering import answer, op, phase, time

WIDE = OpCost(flops={("matrix", "fp16"): 1e9}, read_bytes=3 * 2**30, launches=1)
FILTER = {"kind": "convolution", "variety": "depthwise", "cost": WIDE, "peak_flops_per_second": 1e14}
SMALL = OpCost(flops={("matrix", "bf16"): 2e9}, weight_bytes=2**30, launches=2)


def forward(seconds: float, *ops: OpPrediction, overhead: float = 0.0, **more: Any) -> PhasePrediction:
    own = time(seconds, overhead=overhead)
    return phase("forward", own, *ops, **({"bandwidth_bytes_per_second": 1e12} | more))


def linear(seconds: float, share: float = 1.0, **more: Any) -> OpPrediction:
    return op("linear", seconds, share, **({"peak_flops_per_second": 1e14} | more))


def sentences(a: PhasePrediction, b: PhasePrediction) -> str:
    one, other = answer(a).prediction, answer(b, model="other").prediction
    assert one is not None
    assert other is not None
    comparison = compare(one, other)
    return "\n".join(phase_sentences(comparison, comparison.phases[0]))


def test_the_slower_side_is_named_with_what_it_has_more() -> None:
    slow = forward(0.050, linear(0.020, 0.4), op("filter", 0.030, 0.6, **FILTER))
    fast = forward(0.020, linear(0.020))
    text = sentences(slow, fast)
    assert text.startswith("A takes 2.50 times as long as B (50.0 ms against 20.0 ms), with 1.50 times the FLOPs, ")
    assert sentences(fast, slow).startswith("B takes 2.50 times as long as A (50.0 ms against 20.0 ms), with 1.50 ")
    assert "Depthwise convolutions: +30.0 ms of +30.0 ms (60 % of A's time, B has none)." in text
    assert (
        "There A moves 3.00 GiB for 1.00 GFLOP (0.310 FLOP per byte; to be bound by compute the chip needs 100), "
        "at 0.0 % of the peak and 11 % of the bandwidth." in text
    )
    assert "B spends 100 % of its time on computing; its largest term is linear layers (100 %, at 0.1 %" in text
    assert "overlap" not in text
    assert "Against" not in text


def test_as_much_of_everything() -> None:
    text = sentences(forward(0.020, linear(0.020)), forward(0.010, linear(0.010)))
    assert "with as many FLOPs, as many bytes and as many kernels." in text


def test_nearly_as_long() -> None:
    text = sentences(forward(0.020, linear(0.020)), forward(0.0201, linear(0.0201, cost=SMALL)))
    assert text.startswith("B and A take nearly as long (20.1 ms against 20.0 ms); against A, B has as many FLOPs, ")
    assert "2.00 times the kernels" in text
    assert "Their 80 % intervals overlap, so that the order is not certain." in text


def test_terms_that_lessen_the_difference() -> None:
    norm = {"kind": "normalization", "compute": ""}
    slow = forward(0.050, linear(0.045, 0.9), op("norm", 0.005, 0.1, **norm))
    fast = forward(0.030, linear(0.010, 0.3), op("norm", 0.020, 0.7, **norm))
    assert "Against it: norms -15.0 ms." in sentences(slow, fast)
    assert "Against it: norms +15.0 ms." in sentences(fast, slow)


def test_quantising_and_smaller_weights() -> None:
    wide = linear(0.010, repeat=4, cost=SMALL + SMALL)
    narrow = linear(0.012, repeat=4, cost=SMALL, quantizing=time(0.004, overhead=0.004))
    text = sentences(forward(0.010, wide), forward(0.012, narrow))
    assert "Most bytes are weights: B reads 1.00 GiB of them, 0.500 times the 2.00 GiB of A." in text
    assert "In B a kernel quantises the input of each of 4 linear layers before it runs: 1.00 ms each, " in text
    assert "4.00 ms together (33 %)" in text
    assert "In A" not in text


def test_waiting_for_the_host_is_told_with_the_launches() -> None:
    waiting = forward(0.040, linear(0.010), overhead=0.030)
    text = sentences(waiting, forward(0.010, linear(0.010)))
    assert (
        "Launches and other overhead are 75 % of A's time (1 kernels, 30.0 ms of it waiting for the host) and" in text
    )
    assert "Launches" not in sentences(forward(0.010, linear(0.010)), forward(0.011, linear(0.011)))


def test_other_chips_and_dtypes_have_other_peaks() -> None:
    text = sentences(
        forward(0.040, linear(0.040)),
        forward(0.010, linear(0.010, peak_flops_per_second=4e14), bandwidth_bytes_per_second=2e12),
    )
    assert "The peak FLOP/s of A, averaged over what it computes, is 0.250 times that of B and the memory " in text
    assert "bandwidth of A's chip is 0.500 times that of B's." in text


def test_winograd_is_said_where_the_peak_is_exceeded() -> None:
    fast = op("c", 0.010, 1.0, kind="convolution", variety="3x3", compute="fp32", peak_flops_per_second=1e11)
    assert "200 % of the peak (exceeded by Winograd's algorithm)" in sentences(
        forward(0.010, fast), forward(0.020, linear(0.020))
    )


def test_prediction_without_contractions() -> None:
    copy = op("copy", 0.010, 1.0, kind="copy", cost=OpCost(read_bytes=1e7, launches=1), compute="")
    text = sentences(forward(0.010, copy), forward(0.020, copy, overhead=0.010))
    assert "FLOP" not in text.splitlines()[0]
    assert "as many bytes and as many kernels" in text
