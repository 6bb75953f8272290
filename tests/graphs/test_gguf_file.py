"""GGUF files as models: weights byte for byte, mixtures layer by layer, parts, other precisions, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.running import run
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.front_ends import assert_predicted
from graphs.gguf_writer import (
    BF16,
    F16,
    F32,
    Q4_0,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_0,
    Tensor,
    all_in,
    data_bytes,
    experts_shapes,
    gguf_bytes,
    llama_tensors,
    metadata_of,
    q4_k_m,
)
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError, PerfmodelError, UnknownNameError
from perfmodel.graphs import load_model, model_spec
from perfmodel.precisions import FORMATS
from perfmodel.predict import explain, predict
from perfmodel.types import Model

CONFIG = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 8,
          "num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 4096}  # fmt: skip
LLAMA_8B = model_spec("llama-3.1-8b")["config"]


def write(path: Path, tensors: list[Tensor], config: dict[str, Any] = CONFIG, **more: Any) -> str:
    path.write_bytes(gguf_bytes(metadata_of("llama", config) | more, tensors))
    return str(path)


def small(path: Path) -> str:
    return write(path / "small.gguf", llama_tensors(CONFIG, q4_k_m(8)), **{"general.file_type": 15})


def mixture(path: Path) -> str:
    size = {**CONFIG, "num_experts": 8, "num_experts_per_tok": 2}
    layer = [("attn_norm.weight", (512,)), ("ffn_norm.weight", (512,)), ("attn_q.weight", (512, 512)),
             ("attn_k.weight", (128, 512)), ("attn_v.weight", (128, 512)), ("attn_output.weight", (512, 512)),
             *experts_shapes(512, 8, 1024)]  # fmt: skip
    return write(path / "mixture.gguf", llama_tensors(size, all_in(Q8_0), layer=layer), size)


# name -> a function that makes a source in a folder; each must pass what all front-ends must
CASES = [("gguf", small), ("gguf mixture of experts", mixture)]


@pytest.mark.parametrize(("name", "make"), CASES)
def test_what_every_front_end_must_do(name: str, make: Any, tmp_path: Path) -> None:
    assert_predicted(make(tmp_path))


def weights_of(model: Model) -> float:
    return predict(model, "rtx-4090").memory_bytes["weights"]


def dtypes(model: Model, weight: str) -> list[tuple[str, int, str]]:
    """(name, copies, dtype) of the tensors behind a weight of the layers."""
    tensors = model.phases["decode"].tensors.values()
    return [(own.name, own.copies, own.dtype) for own in tensors if f".{weight}.weight" in own.name]


def test_llama_8b_in_q4_k_m_takes_what_its_file_takes(tmp_path: Path) -> None:
    """4.92 GB, as the files that are handed around have; rope_freqs is read by no op and counted all the same."""
    tensors = [*llama_tensors(LLAMA_8B, q4_k_m(32)), ("rope_freqs.weight", (64,), F32)]
    model = load_model(write(tmp_path / "x.gguf", tensors, LLAMA_8B, **{"general.file_type": 15}))
    assert weights_of(model) == data_bytes(tensors) == pytest.approx(4.92e9, rel=0.002)
    assert model.precision == predict(model, "rtx-4090").request.precision == "gguf:q4_k_m"
    assert model.parameters == 8030261248
    assert any("rope_freqs.weight" in note for note in model.notes)


def test_layers_that_differ_are_blocks_of_their_own(tmp_path: Path) -> None:
    model = load_model(small(tmp_path))
    assert {name: (copies, dtype) for name, copies, dtype in dtypes(model, "mlp.down")} == {
        "layer.mlp.down.weight": (4, "q6_k"), "layer_2.mlp.down.weight": (4, "q4_k"),
    }  # fmt: skip
    assert [dtype for *_, dtype in dtypes(model, "attention.qkv")] == ["q4_k", "q6_k", "q4_k"]
    shapes = [model.phases["decode"].tensors[name].shape for name, *_ in dtypes(model, "attention.qkv")]
    assert shapes == [(640, 512), (128, 512), (768, 512)]


def test_weights_are_unpacked_and_multiplied_in_sixteen_bits(tmp_path: Path) -> None:
    ops = explain(load_model(small(tmp_path)), "rtx-4090").phases["decode"].ops
    assert {op.compute for op in ops if op.kind == "linear"} == {"fp16"}


def test_fewer_bytes_are_faster_at_batch_one(tmp_path: Path) -> None:
    seconds = [
        predict(write(tmp_path / f"{kind}.gguf", llama_tensors(LLAMA_8B, all_in(kind)), LLAMA_8B), "rtx-4090")
        .phases["decode"]
        .time.seconds
        for kind in (Q4_K, Q5_K, Q6_K, Q8_0, F16)
    ]
    assert seconds == sorted(seconds)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_mixture_takes_its_bytes_and_the_same_flops(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = [name for name, *_ in llama_tensors({**CONFIG, "num_hidden_layers": 3}, all_in(F32))]
    kinds = st.sampled_from((F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q5_K, Q6_K))
    chosen = data.draw(st.fixed_dictionaries({name: kinds for name in names if "norm" not in name}))
    config = {**CONFIG, "num_hidden_layers": 3}
    tensors = llama_tensors(config, lambda name: chosen.get(name, F32))
    model = load_model(write(tmp_path_factory.mktemp("any") / "x.gguf", tensors, config))
    assert weights_of(model) == data_bytes(tensors)
    plain = load_model(write(tmp_path_factory.mktemp("plain") / "x.gguf", llama_tensors(config, all_in(F16)), config))
    sizes = {"batch": 3, "tokens": 5, "context": 9}
    for phase, graph in model.phases.items():
        own, theirs = (cost_graph(each, sizes) for each in (graph, plain.phases[phase]))
        assert own.matrix_flops == theirs.matrix_flops
        assert own.weight_bytes <= data_bytes(tensors)
    assert model.parameters == plain.parameters


@pytest.mark.parametrize(
    ("kind", "stated", "precision"),
    [(F32, 0, "fp32"), (F16, 1, "fp16"), (BF16, 32, "bf16"), (Q8_0, 7, "gguf:q8_0"), (Q4_K, 14, "gguf:q4_k_s"),
     (Q4_K, None, "gguf:q4_k"), (Q4_K, 999, "gguf:q4_k"), (Q4_K, 1, "gguf:q4_k")],
)  # fmt: skip
def test_names_of_precisions(kind: int, stated: int | None, precision: str, tmp_path: Path) -> None:
    more = {} if stated is None else {"general.file_type": stated}
    model = load_model(write(tmp_path / "x.gguf", llama_tensors(CONFIG, all_in(kind)), **more))
    assert model.precision == precision
    assert model.phases["decode"].tensors["embedding.out"].dtype in FORMATS


@pytest.mark.parametrize("precision", ["bf16", "fp8", "w4a16"])
def test_another_precision_rewrites_the_file(precision: str, tmp_path: Path) -> None:
    tensors = llama_tensors(LLAMA_8B, q4_k_m(32))
    model = load_model(write(tmp_path / "x.gguf", tensors, LLAMA_8B))
    own, original = (predict(each, "h100-sxm", precision=precision) for each in (model, "llama-3.1-8b"))
    assert own.memory_bytes["weights"] == pytest.approx(original.memory_bytes["weights"], rel=1e-3)
    assert own.seconds == pytest.approx(original.seconds, rel=1e-2)


def test_a_files_mixture_cannot_be_asked_of_another_model() -> None:
    with pytest.raises(UnknownNameError, match="of no other model"):
        predict("llama-3.1-8b", "h100-sxm", precision="gguf:q4_k_m")


# ---------------------------------------------------------------------------------------------- parts, contents


def test_a_file_in_parts_is_read_from_all_of_them(tmp_path: Path) -> None:
    tensors = llama_tensors(CONFIG, q4_k_m(8))
    for place in range(3):
        split = {"split.no": place, "split.count": 3, "split.tensors.count": len(tensors)}
        metadata = metadata_of("llama", CONFIG) | split if place == 0 else split
        (tmp_path / f"x-{place + 1:05}-of-00003.gguf").write_bytes(gguf_bytes(metadata, tensors[place::3]))
    first = tmp_path / "x-00001-of-00003.gguf"
    assert weights_of(load_model(str(first))) == data_bytes(tensors)
    with pytest.raises(ModelError, match="is part 2 of 3; give the first part"):
        load_model(str(tmp_path / "x-00002-of-00003.gguf"))
    (tmp_path / "x-00003-of-00003.gguf").unlink()
    with pytest.raises(ModelError, match=r"missing beside it: x-00003-of-00003\.gguf"):
        load_model(str(first))
    renamed = first.rename(tmp_path / "x.gguf")
    with pytest.raises(ModelError, match="its name must end in -00001-of-00003"):
        load_model(str(renamed))


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    path = Path(small(tmp_path)).rename(tmp_path / "sha256-abc")  # as ollama keeps them
    assert load_model(str(path)).precision == "gguf:q4_k_m"


def test_a_file_that_is_cut_in_its_data_is_noted(tmp_path: Path) -> None:
    content = gguf_bytes(metadata_of("llama", CONFIG), llama_tensors(CONFIG, all_in(Q8_0)), data=True)
    path = tmp_path / "x.gguf"
    path.write_bytes(content[:-1000])
    assert any("the file is cut" in note for note in load_model(str(path)).notes)
    path.write_bytes(content)
    assert not any("the file is cut" in note for note in load_model(str(path)).notes)


def test_tensors_that_contradict_the_metadata(tmp_path: Path) -> None:
    tensors = llama_tensors(CONFIG, all_in(Q8_0))
    wide = {**CONFIG, "intermediate_size": 2048}
    with pytest.raises(
        ModelError, match=r"x\.gguf: .*ffn_gate\.weight \[1024, 512\].*mlp\.gate_up\.weight \[4096, 512\]"
    ):
        load_model(write(tmp_path / "x.gguf", tensors, wide))
    fewer = [own for own in tensors if "attn_output" not in own[0] and "ffn_down" not in own[0]]
    with pytest.raises(ModelError, match=r"lacks the tensors of .*attention\.output\.weight, .*mlp\.down\.weight"):
        load_model(write(tmp_path / "x.gguf", fewer))
    with pytest.raises(ModelError, match="holds no tensors"):
        load_model(write(tmp_path / "x.gguf", []))
    (tmp_path / "x.gguf").write_bytes(gguf_bytes(metadata_of("lama", CONFIG), tensors))
    with pytest.raises(ModelError, match="unknown architecture 'lama'"):
        load_model(str(tmp_path / "x.gguf"))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model(str(tmp_path / "nowhere.gguf"))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 2500), byte=st.integers(0, 255), cut=st.one_of(st.none(), st.integers(0, 2500)))
def test_damage_is_refused_or_harmless(
    place: int, byte: int, cut: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = {**CONFIG, "num_hidden_layers": 2}
    content = bytearray(gguf_bytes(metadata_of("llama", config), llama_tensors(config, all_in(Q8_0)))[:cut])
    if place < len(content):
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(content)
    try:
        assert load_model(str(path)).parameters > 0
    except PerfmodelError as error:
        assert "damaged.gguf" in str(error)  # noqa: PT017 - both outcomes are right


# --------------------------------------------------------------------------------------------- the command line


def test_command_line(tmp_path: Path) -> None:
    file = small(tmp_path)
    predicted = json.loads(run("predict", file, "--hardware", "rtx-4090", "--json").stdout)
    assert predicted[0]["precision"] == "gguf:q4_k_m"
    assert predicted[0]["memory_bytes"]["weights"] == data_bytes(llama_tensors(CONFIG, q4_k_m(8)))
    shown = json.loads(run("models", "show", file, "--json").stdout)
    assert shown["weight_bytes"]["gguf:q4_k_m"] == predicted[0]["memory_bytes"]["weights"]
    assert shown["facts"]["weight_formats"].startswith("q4_k")
    text = run("predict", file, "--hardware", "rtx-4090", "--precision", "gguf:q4_k_m")
    assert text.exit_code == 2
    assert "without a precision" in text.stderr
