"""What a transformer is made of, in one vocabulary whatever its config calls it: filled by readers, built by builders.

Letters: D hidden size, H query heads, K key/value heads, F feed-forward size, E experts, V vocabulary.

May import: nothing of perfmodel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Attention over keys and values of every head (multi-head, grouped-query, multi-query).

    Args:
        query_key_norm: "" none, "head" a norm per head with its weights shared by heads, "full" one weight per channel,
            "bare" a norm without weights.
        rotary: positions enter by rotating queries and keys.
        window: keys a query sees at most; 0 for all of them. chunked: the window is a fixed chunk, not a sliding one.
        sinks: a learned logit per head that takes part in the softmax.
        gated: a sigmoid gate on the output, from as many further channels of the query projection.
        source: positions of an image whose keys and values are attended to, in place of the tokens' own; 0 for those.
        scaled: the output is multiplied by a learned number.
        piece: tokens of the pieces that a sequence is cut into and that attend within themselves; 0 for no cut.
    """

    heads: int
    kv_heads: int
    head_size: int
    qkv_bias: bool = False
    output_bias: bool = False
    query_key_norm: str = ""
    rotary: bool = True
    window: int = 0
    chunked: bool = False
    sinks: bool = False
    gated: bool = False
    piece: int = 0
    source: int = 0
    scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexer:
    """Picks the `count` keys a query attends to, with small heads of its own over all keys (sparse attention).

    Args:
        shared: the layer has none of its own and takes what the layer before picked.
    """

    heads: int
    head_size: int
    count: int
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention: keys and values of all heads are expanded from one latent per token.

    Args:
        query_rank: size of the query's latent, 0 if queries are projected directly.
        latent_size: channels of the cached latent. rotary_size: channels of the cached rotary key, shared by heads.
        plain_size: channels of a query and key head that carry no position. value_size: channels of a value head.
    """

    heads: int
    query_rank: int
    latent_size: int
    rotary_size: int
    plain_size: int
    value_size: int
    bias: bool = False
    indexer: Indexer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRule:
    """Linear attention by the gated delta rule: a matrix per value head instead of a cache of keys and values."""

    key_heads: int
    value_heads: int
    key_size: int
    value_size: int
    kernel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveScan:
    """Mamba (arXiv 2312.00752): every channel has `state` states whose rates, inputs and outputs depend on the token.

    Args:
        inner: channels. rank: of the projection to steps. kernel: tokens of the short convolution.
        bias, conv_bias: of the outer projections, and of the convolution.
        norms: of steps, inputs and outputs: "" none, "bare" without weights, "weighted".
        late_step_norm: the step's norm comes after its projection to all channels.
    """

    inner: int
    state: int
    rank: int
    kernel: int
    bias: bool = False
    conv_bias: bool = True
    norms: str = ""
    late_step_norm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpace:
    """Mamba-2 (arXiv 2405.21060): a matrix of states per head, one rate per head.

    Args:
        groups: of heads that share inputs and outputs. chunk: tokens that are worked on as matrices.
        gated_norm: the gated output is normalised.
    """

    heads: int
    head_size: int
    state: int
    groups: int
    kernel: int
    chunk: int
    bias: bool = False
    conv_bias: bool = True
    output_bias: bool = False
    gated_norm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Attention and a state-space layer over the same input, their outputs added."""

    attention: Attention
    state_space: StateSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """Two matrices around an activation function.

    Args:
        gated: the first one makes a gate as well. scaled: the output is multiplied by a learned number.
    """

    size: int
    gated: bool
    function: str
    bias: bool = False
    scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A mixture of experts.

    Args:
        per_token: experts a token is sent to. size: F of one expert.
        shared_size: F of the feed-forward that every token takes as well; 0 for none.
        shared_gate: the shared one's output is scaled by a sigmoid of its own projection to one channel.
        latent_size: channels that the routed experts work in, between two projections; 0 for D.
    """

    experts: int
    per_token: int
    size: int
    gated: bool
    function: str
    bias: bool = False
    router_bias: bool = False
    shared_size: int = 0
    shared_gate: bool = False
    latent_size: int = 0


Mixer: TypeAlias = Attention | LatentAttention | DeltaRule | SelectiveScan | StateSpace | SideBySide
Channels: TypeAlias = FeedForward | Mixture


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what mixes tokens and what mixes channels; None where a layer has only one of them."""

    mixer: Mixer | None
    channels: Channels | None


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalisation over the last dimension: function rms or layer, and which parameters it has."""

    function: str = "rms"
    weight: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """How the branches of a layer join the residual stream.

    Args:
        placement: of the norms: "before" a branch, "around" it, on its "output" before the addition, or "after" the
            addition.
        parallel: both branches start from the same input: with one norm for both (1), with one each (2), or not (0).
        scaled: each branch is multiplied by a learned factor per channel (with norms before the branches).
    """

    norm: Norm = Norm()
    placement: str = "before"
    parallel: int = 0
    scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A decoder-only language model.

    Args:
        layers: every layer, first to last.
        position_rows: rows of a learned position table, 0 if there is none.
        extra_rows: of the token embedding, for tokens that are never answered.
        embedding_size: width of the token embedding where it is not D (then projections lead to D and back).
        tied: the logits use the token embedding's matrix.
        final_norm, embedding_norm: a norm after the last layer, and after the embedding.
    """

    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    structure: Structure
    tied: bool
    head_bias: bool = False
    position_rows: int = 0
    extra_rows: int = 0
    embedding_size: int = 0
    final_norm: bool = True
    embedding_norm: bool = False
    max_context: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A text encoder: every token sees every other one (BERT and its kin), or the earlier ones (CLIP).

    Args:
        type_rows: rows of the token-type table, 0 for none.
        pooler: a dense layer on the first token.
        causal: a token sees no later one. embedding_norm, final_norm: a norm after the embedding, after the last layer.
        projection: outputs of a linear layer on one token (without bias), 0 for none.
    """

    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    structure: Structure
    position_rows: int
    type_rows: int
    pooler: bool
    max_context: int = 0
    causal: bool = False
    embedding_norm: bool = True
    final_norm: bool = False
    projection: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionEncoder:
    """A vision transformer: an image cut into patches, a class token in front.

    Args:
        image: height and width in pixels. patch: height and width of a patch. channels: of a pixel.
        position_rows: of the learned table, 0 without one.
        extra_tokens: class (and distillation) tokens in front of the patches.
        classes: outputs of the classifier on the first token, 0 for none. pooler_size: outputs of a pooler, 0 for none.
        frames: pictures that a patch spans in time; a still image is repeated. flat: patches come as rows, and are
            embedded by a linear layer. patch_bias: the embedding of patches has a bias.
        first_norm: a norm before the first layer. final_norm: "all" after the last one, "first" of the first token
            only, "" for none. pooling: attention of one learned query over all tokens, then a feed-forward.
        unused: elements of weights that no step reads.
    """

    hidden: int
    layers: tuple[Layer, ...]
    structure: Structure
    image: tuple[int, int]
    patch: tuple[int, int]
    channels: int
    position_rows: int
    extra_tokens: int = 1
    classes: int = 0
    pooler_size: int = 0
    frames: int = 1
    flat: bool = False
    patch_bias: bool = True
    first_norm: bool = False
    final_norm: str = "all"
    pooling: bool = False
    unused: int = 0

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image[0] // self.patch[0], self.image[1] // self.patch[1]

    @property
    def tokens(self) -> int:
        """Patches and extra tokens."""
        rows, columns = self.grid
        return rows * columns + self.extra_tokens
