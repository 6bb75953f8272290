"""Residual networks of convolutions (ResNet, He et al. 2015) from a Hugging Face config -> Model.

    7x7 convolution / 2 ─▶ pool / 2 ─▶ stages of residual blocks, each but the first at half the size ─▶ mean ─▶ classes

Layers, names and order of the ops are those of the library timm (`resnet18` to `resnet152`), where a bottleneck's 3x3
convolution has the stride. Symbol: `batch`. May import: errors, sizes, types, builder, config_fields,
diffusion_blocks, folding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.errors import ModelError
from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.diffusion_blocks import int_dim
from perfmodel.graphs.folding import fold_repeats
from perfmodel.sizes import size
from perfmodel.types import Graph, Model, Tensor

MODEL_TYPE = "resnet"
TRAINED_SIDE = 224  # pixels; the config does not say
LEAST_SIDE = 32  # the last of five halvings leaves one pixel
_BLOCKS = {"basic": "basic", "bottleneck": "bottleneck"}
_FUNCTIONS = {"relu": "relu", "silu": "silu", "gelu": "gelu"}
_STEM, _NORM = 7, ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualNetwork:
    """What a config states.

    Args:
        stem: channels behind the first convolution. widths: channels of each stage; depths: its blocks.
        bottleneck: blocks of three convolutions, the inner ones `reduction` times narrower; else of two.
    """

    channels: int
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    bottleneck: bool
    function: str
    classes: int
    reduction: int = 4


def read_residual_network(fields: Fields) -> ResidualNetwork:
    """The network that a config describes; mistakes are left in the fields."""
    widths = fields.sizes("hidden_sizes", purpose="channels of each stage", high=1 << 20)
    depths = fields.sizes("depths", len(widths), purpose="blocks of each stage", high=MAX_LAYERS)
    kind = fields.choice("layer_type", known=_BLOCKS, default="bottleneck")
    for switch in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if fields.flag(switch):
            fields.wrong(f"{switch} is not understood")
    narrow = [width for width in widths if kind == "bottleneck" and width % 4]
    if narrow:
        fields.wrong(f"hidden_sizes of bottlenecks must be multiples of 4, are {', '.join(map(str, narrow))}")
    labels = fields.get("id2label")
    return ResidualNetwork(
        channels=fields.size("num_channels", default=3),
        stem=fields.size("embedding_size", default=64, high=1 << 20),
        widths=widths,
        depths=depths,
        bottleneck=kind == "bottleneck",
        function=fields.choice("hidden_act", known=_FUNCTIONS, default="relu"),
        classes=fields.size("num_labels", default=len(labels) if isinstance(labels, dict) and labels else 1000),
    )


def residual_model(
    network: ResidualNetwork, dtype: str, *, name: str, source: str, notes: Sequence[str], image_size: int = 0
) -> Model:
    """The model with its phase `forward`.

    Args:
        dtype: of weights and activations. image_size: pixels of an image's side; 0 for 224.

    Raises:
        ModelError: images too small to be halved five times.

    >>> network = ResidualNetwork(channels=3, stem=64, widths=(64, 128, 256, 512), depths=(2, 2, 2, 2),
    ...                           bottleneck=False, function="relu", classes=1000)
    >>> residual_model(network, "fp32", name="resnet-18", source="example", notes=()).parameters
    11689512
    """
    side = image_size or TRAINED_SIDE
    if side < LEAST_SIDE:
        raise ModelError(f"{source}: images must have at least {LEAST_SIDE} pixels a side, not {side}")
    graph = _Layers(name, source, dtype, network).graph(side)
    weights = [each for each in graph.tensors.values() if each.kind == "weight" and "running" not in each.name]
    return Model(
        name=name,
        phases={"forward": graph},
        parameters=sum(map(_elements, weights)),
        precision=dtype,
        source=source,
        facts={
            "layers": sum(network.depths),
            "hidden": network.widths[-1],
            "image_size": (side, side),
        },
        notes=tuple(notes),
    )


def _elements(tensor: Tensor) -> int:
    count = tensor.copies
    for dim in tensor.shape:
        count *= int_dim(dim)
    return count


class _Layers:
    """Puts the ops of one network together."""

    def __init__(self, name: str, source: str, dtype: str, network: ResidualNetwork) -> None:
        self.builder = GraphBuilder(f"{name} forward", source)
        self.network, self.dtype = network, dtype
        self.batch = size("batch")

    def graph(self, side: int) -> Graph:
        """The whole network on images of that side."""
        network = self.network
        x = self.builder.tensor("x", (self.batch, network.channels, side, side), self.dtype, "input")
        x = self.activation("act1", self.convolved("conv1", "bn1", x, network.stem, _STEM, 2))
        x = self.pooled("maxpool", x, "max", 3)
        for stage, (width, depth) in enumerate(zip(network.widths, network.depths, strict=True), 1):
            stride = 1 if stage == 1 else 2
            for place in range(depth):
                x = self.block(f"layer{stage}.{place}", x, width, 1 if place else stride)
        x = self.pooled("global_pool.pool", x, "adaptive_avg", 0)
        return fold_repeats(self.classified(x).graph(("batch",)))

    def block(self, name: str, x: str, width: int, stride: int) -> str:
        """Convolutions around a shortcut, which is a convolution where the shape changes."""
        inner = width // self.network.reduction if self.network.bottleneck else width
        plan = [(1, inner, 1), (3, inner, stride), (1, width, 1)] if self.network.bottleneck else [
            (3, inner, stride), (3, width, 1)]  # fmt: skip
        y = x
        for place, (kernel, channels, step) in enumerate(plan, 1):
            y = self.convolved(f"{name}.conv{place}", f"{name}.bn{place}", y, channels, kernel, step)
            if place < len(plan):
                y = self.activation(f"{name}.act{place}", y)
        if stride > 1 or self.builder.tensors[x].shape[1] != width:
            x = self.convolved(f"{name}.downsample.0", f"{name}.downsample.1", x, width, 1, stride)
        added = self.like(f"{name}.add.out", y)
        self.builder.op(f"{name}.add", "pointwise", (y, x), (added,), {"function": "add"})
        return self.activation(f"{name}.act{len(plan)}", added)

    def convolved(self, name: str, norm: str, x: str, channels: int, kernel: int, stride: int) -> str:
        """A convolution without bias that keeps the size but for its stride, and a batch norm."""
        batch, inputs, *sides = self.builder.tensors[x].shape
        pad = kernel // 2
        shape = (batch, channels, *((int_dim(side) + 2 * pad - kernel) // stride + 1 for side in sides))
        weight = self.weight(f"{name}.weight", (channels, int_dim(inputs), kernel, kernel))
        y = self.builder.tensor(f"{name}.out", shape, self.dtype)
        self.builder.op(
            name, "convolution", (x, weight), (y,),
            {"stride": [stride, stride], "padding": [pad, pad], "dilation": [1, 1], "groups": 1, "transposed": False},
        )  # fmt: skip
        weights = [self.weight(f"{norm}.{part}", (channels,)) for part in _NORM]
        normed = self.like(f"{norm}.out", y)
        self.builder.op(norm, "normalization", (y, *weights), (normed,), {"function": "batch"})
        return normed

    def activation(self, name: str, x: str) -> str:
        """The activation function."""
        y = self.like(f"{name}.out", x)
        self.builder.op(name, "pointwise", (x,), (y,), {"function": self.network.function})
        return y

    def pooled(self, name: str, x: str, function: str, kernel: int) -> str:
        """A pool of stride 2; without a kernel one of the whole image."""
        batch, channels, *sides = self.builder.tensors[x].shape
        window = [kernel] * 2 if kernel else [int_dim(side) for side in sides]
        smaller = tuple((int_dim(side) + 1) // 2 if kernel else 1 for side in sides)
        y = self.builder.tensor(f"{name}.out", (batch, channels, *smaller), self.dtype)
        self.builder.op(name, "pool", (x,), (y,), {"function": function, "kernel": window})
        return y

    def classified(self, x: str) -> GraphBuilder:
        """A linear layer over the means of all channels."""
        builder, classes = self.builder, self.network.classes
        batch, width, *_ = builder.tensors[x].shape
        flat = builder.tensor("fc.view.out", (batch, width), self.dtype)
        builder.op("fc.view", "view", (x,), (flat,), {"function": "reshape"})
        weights = self.weight("fc.weight", (classes, int_dim(width))), self.weight("fc.bias", (classes,))
        y = builder.tensor("fc.out", (batch, classes), self.dtype)
        builder.op("fc", "linear", (flat, *weights), (y,))
        return builder

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        """A weight."""
        return self.builder.tensor(name, shape, self.dtype, "weight")

    def like(self, name: str, x: str) -> str:
        """An activation of the shape of another."""
        return self.builder.tensor(name, self.builder.tensors[x].shape, self.dtype)
