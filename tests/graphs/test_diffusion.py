"""Image pipelines and their components from config files: phases, sizes, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.diffusion_configs import (
    CLIP,
    DIT,
    FLUX,
    SD3,
    SD15_UNET,
    SMALL_FLUX_PIPELINE,
    SMALL_PIXART,
    SMALL_SD,
    SMALL_SD3,
    SMALL_T5,
    SMALL_UNET,
    SMALL_VAE,
    T5_XXL,
    VAE,
    VAE_16,
)  # fmt: skip
from graphs.front_ends import assert_predicted
from perfmodel import predict
from perfmodel.catalog import load_hardware
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError, PerfmodelError
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.diffusion import diffusion_model
from perfmodel.graphs.graph_file import read_graph_file, write_graph_file
from perfmodel.memory import memory_need
from perfmodel.types import Model


def model_of(config: Mapping[str, Any], image_size: int = 0) -> Model:
    return diffusion_model(config, name="m", source="a test", image_size=image_size)


def write_pipeline(folder: Path, pipeline: Mapping[str, Any]) -> Path:
    """The folder that diffusers would save: an index of classes, a config in each component's sub-folder."""
    index: dict[str, Any] = {"_class_name": pipeline["_class_name"], "_diffusers_version": "0.35.0"}
    for part, config in pipeline.items():
        if not isinstance(config, dict):
            continue
        library = "transformers" if "model_type" in config else "diffusers"
        index[part] = [library, config.get("_class_name") or config["architectures"][0]]
        (folder / part).mkdir(parents=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / part / name).write_text(json.dumps(config))
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def write_config(folder: Path, config: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


CASES: list[tuple[str, Callable[[Path], Path]]] = [
    ("pipeline", lambda folder: write_pipeline(folder / "tiny-sd", SMALL_SD)),
    ("flux pipeline", lambda folder: write_pipeline(folder / "tiny-flux", SMALL_FLUX_PIPELINE)),
    ("unet", lambda folder: write_config(folder / "unet", SMALL_UNET)),
    ("sd3", lambda folder: write_config(folder / "transformer", SMALL_SD3)),
    ("pixart", lambda folder: write_config(folder / "pixart", SMALL_PIXART)),
    ("vae", lambda folder: write_config(folder / "vae", SMALL_VAE)),
    ("clip text", lambda folder: write_config(folder / "text_encoder", CLIP)),
]


@pytest.mark.parametrize(("name", "write"), CASES, ids=[name for name, _ in CASES])
def test_front_end(name: str, write: Callable[[Path], Path], tmp_path: Path) -> None:
    assert_predicted(str(write(tmp_path)))


# -------------------------------------------------------------------------------------------------- pipelines


def test_parameters_are_those_of_all_components() -> None:
    sd = {"_class_name": "StableDiffusionPipeline", "unet": SD15_UNET, "vae": VAE, "text_encoder": CLIP}
    assert model_of(sd).parameters == 859_520_964 + 83_653_863 + 123_060_480
    flux = {"_class_name": "FluxPipeline", "transformer": FLUX, "vae": VAE_16, "text_encoder": CLIP,
            "text_encoder_2": T5_XXL}  # fmt: skip
    model = model_of(flux)
    assert model.parameters == 11_901_408_320 + 83_819_683 + 123_060_480 + 4_762_310_656
    assert model.facts["denoiser_parameters"] == 11_901_408_320
    assert model.facts["image_size"] == [1024, 1024]
    # the autoencoder's encoder lies in memory though it does not run
    weights = memory_need(model, load_hardware("h100-sxm"), "eager").weight_bytes
    assert weights == 2 * model.parameters


def test_total_is_text_and_steps_and_image() -> None:
    model = model_of(SMALL_SD)
    parts = {name: phase.time.seconds for name, phase in predict(model, "h100-sxm", batch=2).phases.items()}
    assert list(parts) == ["encode_text", "denoise", "decode_image"]
    for steps in (1, 30):
        prediction = predict(model, "h100-sxm", batch=2, steps=steps)
        total = parts["encode_text"] + steps * parts["denoise"] + parts["decode_image"]
        assert prediction.seconds == pytest.approx(total)
        assert prediction.throughput["images"] == pytest.approx(2 / total)
        assert prediction.throughput["denoise_steps"] == pytest.approx(1 / parts["denoise"])
        assert prediction.request.steps == steps
    assert predict(model, "h100-sxm").request.steps == 50


def test_guidance_doubles_the_batch_and_the_prompts() -> None:
    guided, alone = model_of(SMALL_SD), model_of(SMALL_UNET)
    step = cost_graph(guided.phases["denoise"], {"batch": 3}).matrix_flops
    assert step == cost_graph(alone.phases["forward"], {"batch": 6}).matrix_flops
    distilled = SMALL_SD | {"_class_name": "LatentConsistencyModelPipeline",
                            "unet": SMALL_UNET | {"time_cond_proj_dim": 24}}  # fmt: skip
    model = model_of(distilled)
    single = cost_graph(model.phases["denoise"], {"batch": 3})
    assert single.matrix_flops == pytest.approx(step / 2, rel=1e-3)
    texts = [cost_graph(each.phases["encode_text"], {"batch": 3}) for each in (guided, model)]
    assert texts[0].matrix_flops == 2 * texts[1].matrix_flops
    assert texts[0].launches == 2 * texts[1].launches
    assert model.facts["steps"] == 4
    assert not model_of(SMALL_FLUX_PIPELINE).facts["guided"]


def test_image_size_sets_the_latents() -> None:
    small, large = (model_of(SMALL_SD, side) for side in (32, 64))
    assert (small.facts["latent_side"], large.facts["latent_side"]) == (16, 32)
    assert model_of(SMALL_SD).facts["image_size"] == [32, 32]
    flops = [cost_graph(model.phases["decode_image"], {"batch": 1}).matrix_flops for model in (small, large)]
    assert 4 < flops[1] / flops[0] < 16  # convolutions grow by 4, attention by 16
    texts = [cost_graph(model.phases["encode_text"], {"batch": 1}) for model in (small, large)]
    assert texts[0] == texts[1]
    # sides that stages do not halve evenly are rounded up, as a strided convolution does
    odd = model_of(SMALL_SD, 34)
    assert odd.facts["latent_side"] == 17
    check_graph(odd.phases["denoise"])


def test_precision_is_what_a_component_states() -> None:
    assert model_of(SMALL_SD).precision == "fp16"
    flux = SMALL_FLUX_PIPELINE | {"text_encoder": SMALL_FLUX_PIPELINE["text_encoder"] | {"torch_dtype": "bfloat16"}}
    assert model_of(flux).precision == "bf16"
    silent = SMALL_SD | {"text_encoder": {k: v for k, v in SMALL_SD["text_encoder"].items() if k != "torch_dtype"}}
    assert any("state no precision" in note for note in model_of(silent).notes)


def test_steps_and_their_reason_are_told() -> None:
    heun = SMALL_SD | {"scheduler": {"_class_name": "HeunDiscreteScheduler"}}
    lcm = SMALL_SD | {"scheduler": {"_class_name": "LCMScheduler"}}
    assert any("the default of StableDiffusionPipeline" in note for note in model_of(SMALL_SD).notes)
    assert any("twice the steps" in note for note in model_of(heun).notes)
    assert model_of(lcm).facts["steps"] == 4


def test_sd3_does_without_its_third_text_encoder() -> None:
    clip = SMALL_SD["text_encoder"]
    pipeline = {"_class_name": "StableDiffusion3Pipeline", "transformer": SMALL_SD3, "vae": SMALL_VAE,
                "text_encoder": clip, "text_encoder_2": clip}  # fmt: skip
    without, with_t5 = model_of(pipeline), model_of(pipeline | {"text_encoder_3": SMALL_T5})
    assert model_of(pipeline | {"text_encoder_3": [None, None]}).parameters == without.parameters
    assert with_t5.parameters > without.parameters
    assert with_t5.phases["denoise"] == without.phases["denoise"]  # zeros take the place of the text


def test_a_class_condition_needs_no_text() -> None:
    pipeline = {"_class_name": "DiTPipeline", "transformer": DIT, "vae": VAE}
    model = model_of(pipeline)
    assert list(model.phases) == ["denoise", "decode_image"]
    assert model.facts["image_size"] == [256, 256]


def test_folder_is_the_same_as_one_config(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "tiny", SMALL_SD)
    model = load_model(str(folder))
    assert model.name == "tiny"
    assert model.parameters == model_of(SMALL_SD).parameters
    assert load_model(str(folder / "model_index.json")).parameters == model.parameters
    spec = {"id": "mine", "source": "a test", "config": SMALL_SD}
    (tmp_path / "mine.yaml").write_text(json.dumps(spec))
    assert load_model(str(tmp_path / "mine.yaml")).parameters == model.parameters
    assert load_model(str(folder / "unet")).phases.keys() == {"forward"}


def test_graph_file_keeps_the_phases(tmp_path: Path) -> None:
    model = model_of(SMALL_SD)
    write_graph_file(model, tmp_path / "sd.yaml")
    again = read_graph_file(tmp_path / "sd.yaml")
    assert predict(again, "h100-sxm").seconds == pytest.approx(predict(model, "h100-sxm").seconds)


# ------------------------------------------------------------------------------------------------- what is refused


def test_everything_missing_from_a_folder_is_named(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "tiny", SMALL_SD)
    (folder / "unet" / "config.json").unlink()
    (folder / "vae" / "config.json").write_text('{"_class_name": ')
    with pytest.raises(ModelError, match=r"unet/config\.json: no such file[\s\S]*vae/config\.json:1.*cut off"):
        load_model(str(folder))


def test_missing_components_and_keys_all_at_once() -> None:
    broken = {
        "_class_name": "StableDiffusionXLPipeline",
        "unet": {"_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": "four"},
        "text_encoder": {"model_type": "clip_text_model"},
    }
    with pytest.raises(ModelError) as caught:
        model_of(broken)
    for word in ("vae, text_encoder_2", "block_out_channels", "cross_attention_dim", "down_block_types", "in_channels",
                 "vocab_size"):  # fmt: skip
        assert word in str(caught.value), word


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SMALL_UNET | {"_class_name": "UNet3DConditionModel"}, "nearest: .*UNet2DConditionModel|Nearest: .*UNet2D"),
        ({"_class_name": "StableDifusionPipeline"}, "Nearest: StableDiffusionPipeline"),
        (SMALL_SD | {"vae": SMALL_UNET}, "vae is of the class UNet2DConditionModel, not one of AutoencoderKL"),
        (SMALL_SD | {"vae": SMALL_VAE | {"_class_name": "AutoencoderDC"}}, "unknown class 'AutoencoderDC'; nearest"),
        (SMALL_SD | {"text_encoder": {"model_type": "bert"}}, "no text encoder of a pipeline.*Known: clip_text_model"),
        (SMALL_UNET | {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"]}, "'AttnDownBlock2D' is not understood"),
        (SMALL_UNET | {"block_out_channels": [32, 64, 96]}, "must be a list of 3 values"),
        (SMALL_UNET | {"layers_per_block": 10**9}, "layers_per_block must be a whole number from 1 to 64"),
        (SMALL_UNET | {"attention_head_dim": 7}, "must be multiples of the heads"),
        (SMALL_UNET | {"sample_size": None}, "states no sample_size"),
        (SMALL_PIXART | {"cross_attention_dim": 40}, "cross_attention_dim must be the hidden size 48"),
        (SMALL_SD3 | {"dual_attention_layers": "all"}, "dual_attention_layers must be a list"),
    ],
)  # fmt: skip
def test_bad_configs_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model_of(config)


@pytest.mark.parametrize(("config", "side", "unit"), [(SMALL_SD, 33, 2), (SD3, 1000, 16), (VAE, 100, 8)])
def test_image_size_must_fill_the_latents(config: dict[str, Any], side: int, unit: int) -> None:
    with pytest.raises(ModelError, match=rf"multiple of {unit} pixels"):
        model_of(config, side)


def test_variants_that_are_not_built_are_noted() -> None:
    notes = model_of(SMALL_UNET | {"class_embed_type": "timestep", "resnet_time_scale_shift": "scale_shift"}).notes
    assert any("class_embed_type" in note and "resnet_time_scale_shift" in note for note in notes)


def test_steps_are_refused_where_nothing_is_denoised() -> None:
    for model in ("bert-base", model_of(SMALL_UNET)):
        with pytest.raises(PerfmodelError, match="no denoising steps"):
            predict(model, "h100-sxm", steps=30)
    with pytest.raises(PerfmodelError, match="steps must be a whole number of at least 1"):
        predict(model_of(SMALL_SD), "h100-sxm", steps=0)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), st.text(max_size=5),
    st.lists(st.integers(-1, 9), max_size=3), st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)  # fmt: skip
COMPONENTS = {part: config for part, config in SMALL_SD.items() if isinstance(config, dict)} | {
    "transformer": SMALL_SD3
}
PLACES = [(part, key) for part, config in COMPONENTS.items() for key in config]


@given(place=st.sampled_from(PLACES), junk=JUNK, whole=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_value_is_read_or_refused(place: tuple[str, str], junk: Any, whole: bool) -> None:
    part, key = place
    pipeline = SMALL_SD if part != "transformer" else SMALL_SD | {
        "_class_name": "StableDiffusion3Pipeline", "transformer": SMALL_SD3, "text_encoder_2": SMALL_SD["text_encoder"],
    }  # fmt: skip
    broken = pipeline | {part: junk if whole else {**pipeline[part], key: junk}}
    try:
        model = model_of(broken)
    except PerfmodelError:
        return
    for graph in model.phases.values():
        check_graph(graph)
