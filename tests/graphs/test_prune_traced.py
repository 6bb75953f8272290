"""Pruned channels of traced torch networks, against traces of thinner torch networks."""

import pytest

from perfmodel.costs import cost_graph
from perfmodel.errors import UnsupportedError
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.prune import prune_channels, prune_heads, prune_layers

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from perfmodel.graphs.torch_module import trace_module  # noqa: E402


class Separable(nn.Module):
    """A stem, a residual block with inner channels, one with depthwise convolutions and squeeze-excitation."""

    def __init__(self, inner: int, expanded: int, squeezed: int, hidden: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.narrow = nn.Sequential(
            nn.Conv2d(32, inner, 1), nn.BatchNorm2d(inner), nn.ReLU(), nn.Conv2d(inner, inner, 3, padding=1), nn.ReLU(),
            nn.Conv2d(inner, 32, 1),
        )  # fmt: skip
        self.expand = nn.Sequential(nn.Conv2d(32, expanded, 1), nn.SiLU())
        self.depthwise = nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(expanded, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, expanded, 1),
            nn.Sigmoid(),
        )  # fmt: skip
        self.project = nn.Conv2d(expanded, 32, 1)
        self.classify = nn.Sequential(nn.Linear(32, hidden), nn.GELU(), nn.Linear(hidden, 10))

    def forward(self, x):  # type: ignore[no-untyped-def]
        x = self.stem(x)
        x = x + self.narrow(x)
        y = self.depthwise(self.expand(x))
        x = x + self.project(y * self.squeeze(y))
        return self.classify(x.mean((2, 3)))


def plain(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.Flatten(),
        nn.Linear(2 * width * 64, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


def traced(module: nn.Module):  # type: ignore[no-untyped-def]
    model = trace_module(module.eval(), (torch.zeros(2, 3, 16, 16),), name="m", source="m")
    return model.phases["forward"]


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75])
def test_a_plain_network_becomes_the_thinner_one(keep: float) -> None:
    pruned, thin = prune_channels(traced(plain(32, 64)), keep), traced(plain(int(32 * keep), int(64 * keep)))
    check_graph(pruned)
    assert (pruned.ops, dict(pruned.tensors)) == (thin.ops, dict(thin.tensors))


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75])
def test_inner_channels_depthwise_ones_and_gates_become_the_thinner_ones(keep: float) -> None:
    pruned = prune_channels(traced(Separable(16, 64, 8, 64)), keep)
    thin = traced(Separable(*(int(width * keep) for width in (16, 64, 8, 64))))
    check_graph(pruned)
    assert {name: tensor.shape for name, tensor in pruned.tensors.items()} == {
        name: tensor.shape for name, tensor in thin.tensors.items()
    }
    assert cost_graph(pruned.bind(batch=4)) == cost_graph(thin.bind(batch=4))


def test_networks_without_attention_or_equal_layers_say_so() -> None:
    graph = traced(plain(32, 64))
    with pytest.raises(UnsupportedError, match="no attention"):
        prune_heads(graph, 0.5)
    with pytest.raises(UnsupportedError, match="no stack of equal layers"):
        prune_layers(graph, 0.5)
