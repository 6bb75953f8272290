"""Whole models with random weights: their phases are timed and labelled, and what cannot be is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from perfmodel.calibration.sources import read_measurements  # noqa: E402
from perfmodel.calibration.validation import validate  # noqa: E402
from perfmodel.errors import InputError, ModelError, UnsupportedError  # noqa: E402
from perfmodel.machine.detection import detect_machine  # noqa: E402
from perfmodel.machine.profile import starting_profile  # noqa: E402
from perfmodel.machine.profile_files import save_profile  # noqa: E402
from perfmodel.measuring.model_builders import Sizes  # noqa: E402
from perfmodel.measuring.run_files import open_runs, read_runs  # noqa: E402
from perfmodel.measuring.suite_runner import measuring_mode, new_header  # noqa: E402
from perfmodel.measuring.timing import Protocol  # noqa: E402
from perfmodel.measuring.validation_models import VALIDATION_MODELS, validation_cases  # noqa: E402
from perfmodel.measuring.whole_models import Case, build, check_memory, measure_models, read_case  # noqa: E402

pytestmark = pytest.mark.torch
SHORT = Protocol(budget_seconds=0.02, least_samples=2, warm_up=1)

LLAMA = {
    "model_type": "llama", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "torch_dtype": "float32",
}  # fmt: skip
BERT = {
    "model_type": "bert", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128, "torch_dtype": "float32",
}  # fmt: skip
VIT = {
    "model_type": "vit", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "image_size": 64,
    "num_attention_heads": 4, "patch_size": 16, "num_channels": 3, "torch_dtype": "float32",
}  # fmt: skip
FACTORY = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU()), torch.rand(3, 8)
"""


def needs_timm() -> None:
    if find_spec("timm") is None:
        pytest.skip("needs timm")


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Writes a config.json and returns its path."""

    def write(fields: dict[str, Any]) -> str:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(fields))
        return str(path)

    return write


def case_of(source: str, precision: str = "fp32", runtime: str = "eager", **sizes: int) -> Case:
    return read_case(source, Sizes(**sizes), precision=precision, threads=1, runtime=runtime)


def measured(path: Path, *cases: Case) -> list[dict[str, Any]]:
    """The points of some cases, without what was measured."""
    with open_runs(path, new_header("cpu", "models")) as runs:
        measure_models(cases, runs, SHORT, force=True)
    points = [dict(point) for point in read_runs(path).points]
    assert all(0 < point["minimum_seconds"] <= point["seconds"] < 1 for point in points)
    names = ("phase", "dtype", "runtime", "batch", "input_tokens", "output_tokens", "image_size")
    return [{name: point[name] for name in names if name in point} for point in points]


def test_a_decoder_has_prefill_and_decode(config: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    case = case_of(config(LLAMA), "bf16", batch=2, input_tokens=32, output_tokens=8)
    path = tmp_path / "runs.jsonl"
    common = {"dtype": "bf16", "runtime": "eager", "batch": 2, "input_tokens": 32}
    assert measured(path, case) == [
        {"phase": "prefill", **common},
        {"phase": "decode", **common, "output_tokens": 8},
    ]
    before = path.read_bytes()
    measured(path, case)  # nothing is measured again
    assert path.read_bytes() == before


WINDOWED = {**LLAMA, "model_type": "mistral", "sliding_window": 200}


@pytest.mark.parametrize("fields", [LLAMA, WINDOWED], ids=["cut back", "copied"])
def test_decode_steps_run_at_the_mean_context(fields: dict[str, Any], config: Any) -> None:
    """A cache is filled around input + output/2, and is the same before each sample."""
    pytest.importorskip("transformers")
    lengths: list[int] = []
    case = case_of(config(fields), input_tokens=64, output_tokens=40)
    with measuring_mode():
        phase = build(case)["decode"]
        original = torch.nn.functional.scaled_dot_product_attention

        def noted(query: Any, key: Any, *arguments: Any, **options: Any) -> Any:
            lengths.append(key.shape[-2])
            return original(query, key, *arguments, **options)

        torch.nn.functional.scaled_dot_product_attention = noted
        assert phase.before is not None
        try:
            for _ in range(2):
                phase.before()
                phase.call()
        finally:
            torch.nn.functional.scaled_dot_product_attention = original
    assert phase.steps == 16
    assert lengths[: len(lengths) // 2] == lengths[len(lengths) // 2 :]
    assert sum(lengths) / len(lengths) == pytest.approx(64 + 40 / 2, abs=1)


def test_an_encoder_and_a_factory_have_one_phase(config: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    file = tmp_path / "model.py"
    file.write_text(FACTORY)
    encoder = case_of(config(BERT), "amp-bf16", input_tokens=16)
    module = case_of(f"torch:{file}:make")
    quantised = replace(module, precision="int8")
    assert measured(tmp_path / "runs.jsonl", encoder, module, quantised) == [
        {"phase": "forward", "dtype": "amp-bf16", "runtime": "eager", "batch": 1, "input_tokens": 16},
        {"phase": "forward", "dtype": "fp32", "runtime": "eager", "batch": 3},
        {"phase": "forward", "dtype": "int8", "runtime": "eager", "batch": 3},
    ]


def test_an_image_model_takes_an_image_size(tmp_path: Path) -> None:
    needs_timm()
    case = case_of("timm:resnet10t", batch=2, image_size=64)
    assert measured(tmp_path / "runs.jsonl", case) == [
        {"phase": "forward", "dtype": "fp32", "runtime": "eager", "batch": 2, "image_size": 64}
    ]


def test_a_vision_config_is_called_with_images(config: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    common = {"phase": "forward", "dtype": "fp32", "runtime": "eager", "batch": 1}
    assert measured(tmp_path / "runs.jsonl", case_of(config(VIT)), case_of(config(VIT), image_size=96)) == [
        {**common, "image_size": 64},
        {**common, "image_size": 96},
    ]


def test_weights_are_random_in_the_dtype_and_results_finite(config: Any) -> None:
    pytest.importorskip("transformers")
    with measuring_mode():
        result = build(case_of(config(BERT), "bf16", input_tokens=16))["forward"].call()
    assert result.last_hidden_state.dtype == torch.bfloat16  # type: ignore[attr-defined]
    assert torch.isfinite(result.last_hidden_state).all()  # type: ignore[attr-defined]
    assert result.last_hidden_state.std() > 0.1  # type: ignore[attr-defined]


def test_precisions_and_runtimes_that_torch_lacks_are_refused(config: Any) -> None:
    path = config(LLAMA)
    with pytest.raises(UnsupportedError, match=r"fp8 here; it can time fp32, bf16"):
        case_of(path, "fp8")
    with pytest.raises(UnsupportedError, match="eager and compiled"):
        case_of(path, runtime="graphs")


def test_sizes_that_mean_nothing_are_refused(config: Any, tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(FACTORY)
    with pytest.raises(InputError, match="leave out --input-tokens"):
        case_of(f"torch:{file}:make", input_tokens=4)
    with pytest.raises(InputError, match="leave out --batch"):
        case_of(f"torch:{file}:make", batch=4)
    with pytest.raises(InputError, match="leave out --output-tokens"):
        case_of(config(BERT), input_tokens=16, output_tokens=4)
    with pytest.raises(UnsupportedError, match="encode, prefill, decode"):
        case_of("t5-small")


def test_a_model_larger_than_memory_is_refused_before_it_is_built() -> None:
    with pytest.raises(InputError, match=r"needs about \d+\.\d GiB of memory"):
        check_memory(case_of("llama-3.1-405b", "bf16"))


def test_what_torch_raises_becomes_an_error_that_says_where(config: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    case = case_of(config(BERT), input_tokens=500)  # more positions than it has
    with open_runs(tmp_path / "runs.jsonl", new_header("cpu", "models")) as runs:
        with pytest.raises(ModelError, match="cannot be run in fp32 with batch 1, input_tokens 500: "):
            measure_models([case], runs, SHORT, force=True)
        assert not runs.done


def test_the_models_for_validation_are_many_and_apart_from_the_anchors() -> None:
    needs_timm()
    checked = {model.name for model in VALIDATION_MODELS if not model.anchor}
    anchors = {model.name for model in VALIDATION_MODELS if model.anchor}
    assert sum(not model.anchor for model in VALIDATION_MODELS) >= 12
    assert len(anchors) == 3
    assert not checked & anchors
    cases = validation_cases(["fp32"], [1], anchors_only=True)
    assert {case.name: case.phases for case in cases} == {
        "resnet34": ("forward",),
        "small-encoder": ("forward",),
        "small-decoder": ("prefill", "decode"),
    }


@pytest.mark.slow
def test_compiled_and_eager_models_are_told_apart(tmp_path: Path) -> None:
    import shutil

    if not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler")
    file = tmp_path / "model.py"
    file.write_text(FACTORY)
    cases = [case_of(f"torch:{file}:make", runtime=runtime) for runtime in ("eager", "compiled")]
    found = measured(tmp_path / "runs.jsonl", *cases)
    assert [point["runtime"] for point in found] == ["eager", "compiled"]


def test_without_a_compiler_compiling_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config as inductor

    file = tmp_path / "model.py"
    file.write_text(FACTORY.replace("16", "24"))
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    case = case_of(f"torch:{file}:make", runtime="compiled")
    refusal = r"torch\.compile fails here .* C\+\+ compiler .*--runtime eager"
    with (
        open_runs(tmp_path / "runs.jsonl", new_header("cpu", "models")) as runs,
        pytest.raises(UnsupportedError, match=refusal),
    ):
        measure_models([case], runs, SHORT, force=True)


def test_what_is_measured_here_is_of_the_profile_made_here(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "home"))
    machine = detect_machine()
    save_profile(starting_profile(machine))
    path = tmp_path / "runs.jsonl"
    source = config(LLAMA)
    with open_runs(path, new_header("cpu", "models")) as runs:
        measure_models([case_of(source, input_tokens=32, output_tokens=8)], runs, SHORT, force=True)
    path.write_text(path.read_text().replace('"contaminated": true', '"contaminated": false'))
    facts = read_measurements(path).measurements
    assert [(fact.model, fact.phase) for fact in facts] == [(source, "prefill"), (source, "decode")]
    assert {fact.hardware for fact in facts} == {"local" if machine.cores_usable == 1 else "local-1-threads"}
    assert facts[0].version == torch.__version__.partition("+")[0]
    assert validate(path).predicted == 2
