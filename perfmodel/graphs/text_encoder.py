"""Text encoders of image pipelines: a component's config (CLIP's text model, T5's encoder) -> its graph.

May import: errors, types, config_fields, encoder, encoder_decoder, encoder_decoder_configs,
transformer_*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perfmodel.errors import ModelError, nearest_names
from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.encoder import ENCODERS, text_graph
from perfmodel.graphs.encoder_decoder import encode_graph
from perfmodel.graphs.encoder_decoder_configs import ENCODER_DECODERS, EncoderDecoder
from perfmodel.graphs.transformer_block import Precision
from perfmodel.graphs.transformer_layers import group_layers
from perfmodel.graphs.transformer_settings import Encoder, VisionEncoder
from perfmodel.types import Graph

READERS: Mapping[str, Callable[[Fields], Encoder | VisionEncoder | EncoderDecoder]] = {
    "clip_text_model": ENCODERS["clip_text_model"],
    "t5": ENCODER_DECODERS["t5"],
}


def text_encoder_graph(
    config: Mapping[str, Any], precision: Precision, tokens: int, *, name: str, source: str
) -> tuple[Graph, list[str]]:
    """The encoder's graph over prompts of `tokens` tokens, symbol `batch`; and what of its config was not understood.

    Raises:
        ModelError: a model_type that is no text encoder of pipelines, or fields that are missing or make no sense.
    """
    model_type = str(config.get("model_type", ""))
    if model_type not in READERS:
        near = nearest_names(model_type, READERS)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise ModelError(
            f"{source}: model_type '{model_type}' is no text encoder of a pipeline.{hint} Known: {', '.join(READERS)}"
        )
    fields = Fields(config, f"{source} (model_type '{model_type}')")
    settings = READERS[model_type](fields)
    fields.check()
    if isinstance(settings, EncoderDecoder):
        graph = encode_graph(settings, precision, name=name, source=source)
    else:
        assert isinstance(settings, Encoder)
        if tokens > settings.position_rows:
            raise ModelError(f"{source}: prompts of {tokens} tokens are longer than max_position_embeddings "
                             f"({settings.position_rows})")  # fmt: skip
        graph = text_graph(settings, precision, group_layers(settings.layers, None), name, source)
    return graph.bind(tokens=tokens), fields.unread()
