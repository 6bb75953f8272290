"""Encoder-decoders against the transformers implementations: parameters, and matrix FLOPs of every phase."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.flops_by_hand import matrix_flops
from graphs.front_ends import assert_loads_or_is_refused, assert_predicted
from perfmodel.calibration.model_times import measured_sizes
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError
from perfmodel.graphs.encoder_decoder_configs import ENCODER_DECODERS
from perfmodel.graphs.huggingface import load_config
from perfmodel.memory import memory_need
from perfmodel.predict import predict
from perfmodel.preparing import prepare
from perfmodel.types import Model

SMALL_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
            "vocab_size": 500}  # fmt: skip
SMALL_BART = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 96, "decoder_ffn_dim": 160, "vocab_size": 500, "max_position_embeddings": 128,
}  # fmt: skip
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}  # as Flan-T5 and mT5
FAMILIES: dict[str, Mapping[str, Any]] = {
    "t5": SMALL_T5,
    "mt5": SMALL_T5 | GATED,
    "umt5": SMALL_T5 | GATED,
    "bart": SMALL_BART,
    "mbart": SMALL_BART,
    "pegasus": SMALL_BART,
    "blenderbot": SMALL_BART,
    "blenderbot-small": SMALL_BART,
    "marian": SMALL_BART | {"pad_token_id": 0, "decoder_vocab_size": 500},
    "m2m_100": SMALL_BART,
}
WHISPER = {key: value for key, value in SMALL_BART.items() if key != "max_position_embeddings"} | {
    "num_mel_bins": 16, "pad_token_id": 0
}  # fmt: skip
BATCH, SOURCE, ANSWER = 2, 24, 2


def load(model_type: str, sizes: Mapping[str, Any]) -> Model:
    return load_config({"model_type": model_type, **sizes}, name=model_type, source="test")


def own_flops(model: Model, phase: str, **sizes: int) -> int:
    graph = model.phases[phase]
    return matrix_flops(graph, **{name: value for name, value in sizes.items() if name in graph.symbols})


def built(model_type: str, sizes: Mapping[str, Any], auto: str) -> Any:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.CONFIG_MAPPING[model_type](**sizes)
    with torch.device("meta"):
        return getattr(transformers, auto).from_config(config, attn_implementation="eager").eval()


def traced(module: Any, **inputs: Any) -> tuple[int, Any]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = module(**inputs, use_cache=True)
    return counter.get_total_flops(), outputs


def ids(tokens: int) -> Any:
    import torch

    return torch.zeros((BATCH, tokens), dtype=torch.long, device="meta")


@pytest.mark.torch
@pytest.mark.parametrize("model_type", FAMILIES)
def test_family_equals_its_trace(model_type: str) -> None:
    sizes = FAMILIES[model_type]
    module = built(model_type, sizes, "AutoModelForSeq2SeqLM")
    model = load_config(module.config.to_dict(), name=model_type, source="test")
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    first, outputs = traced(module, input_ids=ids(SOURCE), decoder_input_ids=ids(1))
    assert (
        own_flops(model, "encode", batch=BATCH, tokens=SOURCE) + own_flops(model, "prefill", batch=BATCH, tokens=SOURCE)
        == first
    )
    step, _ = traced(module, encoder_outputs=(outputs.encoder_last_hidden_state,), decoder_input_ids=ids(1),
                     past_key_values=outputs.past_key_values)  # fmt: skip
    assert own_flops(model, "decode", batch=BATCH, source=SOURCE, answer=ANSWER) == step


@pytest.mark.torch
def test_whisper_equals_its_trace() -> None:
    import torch

    module = built("whisper", WHISPER, "AutoModelForSpeechSeq2Seq")
    model = load_config(module.config.to_dict(), name="whisper", source="test")
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    prompt = 4
    spectrogram = torch.zeros((BATCH, 16, 3000), device="meta")
    first, outputs = traced(module, input_features=spectrogram, decoder_input_ids=ids(prompt))
    all_logits = 2 * BATCH * (prompt - 1) * 64 * 500  # transformers makes those of the whole prompt
    prefill = own_flops(model, "prefill", batch=BATCH, tokens=prompt, context=prompt)
    assert own_flops(model, "encode", batch=BATCH) + prefill == first - all_logits
    step, _ = traced(module, encoder_outputs=(outputs.encoder_last_hidden_state,), decoder_input_ids=ids(1),
                     past_key_values=outputs.past_key_values)  # fmt: skip
    assert own_flops(model, "decode", batch=BATCH, context=prompt + 1) == step


@pytest.mark.torch
def test_switch_transformers_has_the_parameters_of_its_module() -> None:
    """Only parameters: transformers loops over the experts that the tokens of an example were sent to."""
    module = built("switch_transformers", SMALL_T5 | {"num_layers": 4, "num_experts": 4}, "AutoModelForSeq2SeqLM")
    model = load_config(module.config.to_dict(), name="switch", source="test")
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    experts = sum(parameter.numel() for name, parameter in module.named_parameters() if ".experts." in name)
    assert model.facts["active_parameters"] == model.parameters - experts * 3 // 4


def test_every_family_is_compared() -> None:
    assert ENCODER_DECODERS.keys() == FAMILIES.keys() | {"switch_transformers", "whisper"}


@pytest.mark.parametrize("model_type", [*FAMILIES, "whisper"])
def test_caches_are_those_of_answer_and_source(model_type: str) -> None:
    """Keys and values of the source stay; those of the answer grow with it. Fp32 here, hence 4 bytes."""
    sizes = dict(FAMILIES.get(model_type, WHISPER)) | {"torch_dtype": "float32"}
    prepared = prepare(load(model_type, sizes), "h100-sxm")
    layers, width = 3, 64
    source = 1500 if model_type == "whisper" else 7
    answer = 7 + 5 if model_type == "whisper" else 5 + 1  # the prompt and the answer, or a start token and the answer
    values = {"batch": 2, "tokens": 7, "context": 12, "source": 7, "answer": 6}
    need = memory_need(prepared.model, prepared.hardware, "graphs").evaluate(values)
    assert need["cache"] == 2 * layers * 2 * width * 4 * (source + answer)


def test_decode_reads_what_prefill_kept() -> None:
    model = load("t5", SMALL_T5)
    graph = model.phases["decode"]
    layer = 2 * 64 * 2  # bytes of keys and values of a position
    short = cost_graph(graph, {"batch": 1, "source": 100, "answer": 10}).cache_bytes
    assert cost_graph(graph, {"batch": 1, "source": 200, "answer": 10}).cache_bytes - short == 3 * layer * 100
    assert not [name for name in graph.tensors if "key_value.weight" in name]


def test_prediction_has_all_phases_and_counts_each_once() -> None:
    prediction = predict(load("bart", SMALL_BART), "h100-sxm", input_tokens=100, output_tokens=11)
    assert [*prediction.phases] == ["encode", "prefill", "decode"]
    seconds = {name: phase.time.seconds for name, phase in prediction.phases.items()}
    assert prediction.first_token_seconds == pytest.approx(seconds["encode"] + seconds["prefill"])
    assert prediction.seconds == pytest.approx(prediction.first_token_seconds + 10 * seconds["decode"])


def test_whisper_hears_thirty_seconds_whatever_the_prompt() -> None:
    model = load("whisper", WHISPER)
    short, long = (predict(model, "h100-sxm", input_tokens=tokens) for tokens in (4, 200))
    assert short.phases["encode"].time == long.phases["encode"].time
    assert predict(model, "h100-sxm").request.input_tokens == 4
    assert any("1500 positions" in note for note in model.notes)


def test_a_measured_decode_step_has_its_sizes() -> None:
    from perfmodel.calibration.measurements import Measurement

    values = dict.fromkeys(Measurement.__dataclass_fields__, "")
    measurement = Measurement(**values | {"phase": "decode", "batch": 2, "input_tokens": 7, "output_tokens": 10})  # type: ignore[arg-type]
    assert measured_sizes(measurement) == {"batch": 2, "tokens": 1, "context": 12, "source": 7, "answer": 6}


def test_mistakes_are_all_named() -> None:
    with pytest.raises(ModelError, match=r"encoder_layers.*decoder_ffn_dim"):
        load("bart", {key: value for key, value in SMALL_BART.items() if key not in ("encoder_layers",
                                                                                    "decoder_ffn_dim")})  # fmt: skip
    with pytest.raises(ModelError, match="multiple of encoder_attention_heads"):
        load("bart", SMALL_BART | {"encoder_attention_heads": 5})


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_spoilt_configs_load_or_are_refused(data: st.DataObject) -> None:
    families = {**FAMILIES, "whisper": WHISPER, "switch_transformers": SMALL_T5}
    model_type = data.draw(st.sampled_from(sorted(families)))
    more = ("num_experts", "encoder_sparse_step", "num_sparse_encoder_layers", "relative_attention_num_buckets",
            "max_source_positions")  # fmt: skip
    assert_loads_or_is_refused(data, model_type, families[model_type], more=more)


def _source(tmp_path: Path, model_type: str, sizes: Mapping[str, Any]) -> str:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **sizes}))
    return str(tmp_path)


CASES = [
    ("t5", lambda path: _source(path, "t5", SMALL_T5)),
    ("switch", lambda path: _source(path, "switch_transformers", SMALL_T5 | {"num_layers": 4})),
    ("bart", lambda path: _source(path, "bart", SMALL_BART)),
    ("whisper", lambda path: _source(path, "whisper", WHISPER)),
]


@pytest.mark.parametrize(("name", "source"), CASES)
def test_source_is_predicted(name: str, source: Any, tmp_path: Path) -> None:
    assert_predicted(source(tmp_path))
