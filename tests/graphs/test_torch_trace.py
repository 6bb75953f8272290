"""What a run leaves in a module: caches are full when it is written down, and nothing of it stays behind."""

from __future__ import annotations

import pytest

from perfmodel.errors import ModelError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from perfmodel.graphs.torch_module import trace_module  # noqa: E402


class Cached(nn.Module):
    """Adds a table that is gathered in the first run and kept, as LeViT's attention does; `keep` says where."""

    def __init__(self, keep):
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.table = nn.Parameter(torch.ones(20, 8))
        self.register_buffer("places", torch.arange(8), persistent=False)
        self.register_buffer("kept", None, persistent=False)
        self.keep, self.cache, self.found, self.runs = keep, {}, None, 0

    def gathered(self):
        if self.keep == "dict":
            if "bias" not in self.cache:
                self.cache["bias"] = self.table[self.places]
            return self.cache["bias"]
        if self.keep == "buffer":
            if self.kept is None:
                self.kept = self.table[self.places]
            return self.kept
        if self.found is None:
            self.found = self.table[self.places]
        return self.found

    def forward(self, x):
        self.runs += 1
        return self.layer(x) + self.gathered()


@pytest.mark.parametrize("keep", ["dict", "buffer", "attribute"])
@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("quick", [True, False])
def test_a_cache_is_full_when_it_counts(keep, device, quick):
    module = nn.Sequential(Cached(keep)).to(device)
    model = trace_module(module, torch.zeros(2, 8, 8), name="m", source="m", quick=quick)
    graph = model.phases["forward"]
    assert [op.kind for op in graph.ops] == ["linear", "pointwise"]
    assert graph.symbols == ("batch",)
    assert model.notes == ()  # the table is used, by the first run


@pytest.mark.parametrize("keep", ["dict", "buffer", "attribute"])
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_nothing_stays_behind(keep, device):
    module = Cached(keep).to(device)
    trace_module(module, torch.zeros(2, 8, 8), name="m", source="m")
    assert (module.cache, module.found, module.kept, module.runs) == ({}, None, None, 0)
    if device == "cpu":
        assert torch.allclose(module(torch.zeros(2, 8, 8))[0, 0] - module.layer.bias, torch.ones(8))


def test_nothing_stays_behind_after_a_failure():
    class Failing(Cached):
        def forward(self, x):
            return super().forward(x) @ x

    module = Failing("dict")
    with pytest.raises(ModelError, match="the forward pass fails in Failing"):
        trace_module(module, torch.zeros(2, 7, 8), name="m", source="m")
    assert (module.cache, module.runs) == ({}, 0)


def test_a_module_that_keeps_nothing_runs_once():
    runs = []

    class Counting(nn.Linear):
        def forward(self, x):
            runs.append(x.shape)
            return super().forward(x)

    trace_module(nn.Sequential(Counting(8, 8)), torch.zeros(2, 8), name="m", source="m", quick=True)
    assert len(runs) == 1


def test_calls_of_modules_go_their_usual_way_afterwards():
    before = nn.Module.__call__
    trace_module(nn.Linear(8, 8), torch.zeros(2, 8), name="m", source="m")
    assert nn.Module.__call__ is before
    with pytest.raises(ModelError):
        trace_module(nn.Linear(8, 8), torch.zeros(2, 9), name="m", source="m")
    assert nn.Module.__call__ is before


def test_hooks_of_the_module_still_run():
    layer = nn.Linear(8, 8)
    layer.register_forward_hook(lambda module, args, result: result.relu())
    graph = trace_module(nn.Sequential(layer), torch.zeros(2, 8), name="m", source="m").phases["forward"]
    assert [(op.name, op.kind) for op in graph.ops] == [("0", "linear"), ("0.relu", "pointwise")]


def test_an_exception_that_a_module_catches_does_not_confuse_the_names():
    class Trying(nn.Module):
        def __init__(self):
            super().__init__()
            self.narrow, self.wide = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8))

        def forward(self, x):
            try:
                return self.narrow(x)
            except RuntimeError:
                return self.wide(x) + 1

    graph = trace_module(nn.Sequential(Trying()), torch.zeros(2, 8), name="m", source="m").phases["forward"]
    assert [op.name for op in graph.ops] == ["0.wide.0", "0.add"]


def test_a_module_that_is_used_twice_is_left_as_it_was() -> None:
    layer = torch.nn.BatchNorm2d(4).eval()
    module = torch.nn.Sequential(layer, torch.nn.ReLU(), layer)
    trace_module(module, torch.zeros(1, 4, 3, 3), name="twice", source="twice")
    assert not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
    assert module(torch.zeros(1, 4, 3, 3)).shape == (1, 4, 3, 3)
