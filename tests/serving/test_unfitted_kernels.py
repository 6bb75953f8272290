"""A level speaks of kernels that fitted servers ran, and of no others."""

from __future__ import annotations

from perfmodel.serving.prediction import predict_serving


def test_a_precision_that_no_fitted_server_ran_is_no_device_level() -> None:
    own, four_bit = (
        predict_serving("llama-3.1-8b", "h100-sxm", precision=precision, concurrency=8) for precision in (None, "w4a16")
    )
    assert (own.standing, four_bit.standing) == ("device", "family")
    (note,) = [note for note in four_bit.notes if "fitted" in note]
    assert "gemm.bf16.w4" in note
    assert not [note for note in own.notes if "fitted" in note]
    relative = [answer.latencies["tpot"].high / answer.latencies["tpot"].seconds for answer in (own, four_bit)]
    assert relative[0] < relative[1]
