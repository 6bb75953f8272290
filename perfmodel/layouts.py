"""How a model is spread over devices: the numbers that name a parallel layout. May import: errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from perfmodel.errors import InputError

MOST_DEVICES = 1 << 16  # of one kind; more is a typing error


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of parallelism of one replica.

    Args:
        tensor: devices that share every attention and dense layer (TP).
        pipeline: stages that follow each other (PP).
        attention_data: groups of `tensor` devices with attention and sequences of their own (attention DP); the experts
            are shared by all of them.
        expert: devices the experts are spread over, whole experts each (EP).
        expert_tensor: devices that share each expert; 0 for what is left: tensor·attention_data/expert.
        sequence: norms and residuals are split over tokens between reduce-scatter and all-gather (sequence parallel).

    >>> Layout(tensor=4, attention_data=2, expert=8).devices, str(Layout(tensor=4, expert=4))
    (8, 'tp4-ep4')
    """

    tensor: int = 1
    pipeline: int = 1
    attention_data: int = 1
    expert: int = 1
    expert_tensor: int = 0
    sequence: bool = False

    def __post_init__(self) -> None:
        for name in ("tensor", "pipeline", "attention_data", "expert"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} parallelism must be at least 1, got {getattr(self, name)}")
        if self.expert_tensor < 0:
            raise InputError(f"devices that share an expert must be at least 1, got {self.expert_tensor}")
        if self.ranks % self.expert or self.experts_split * self.expert != self.ranks:
            shared = f" with {self.expert_tensor} for each" if self.expert_tensor else ""
            raise InputError(
                f"experts over {self.expert} devices{shared} do not come out even on the {self.ranks} of a stage "
                f"({self.tensor} that share layers x {self.attention_data} attention groups)"
            )

    @property
    def ranks(self) -> int:
        """Devices of one pipeline stage."""
        return self.tensor * self.attention_data

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.ranks * self.pipeline

    @property
    def experts_split(self) -> int:
        """Devices that share each expert."""
        return self.expert_tensor or self.ranks // self.expert

    def __str__(self) -> str:
        parts = [
            f"tp{self.tensor}" if self.tensor > 1 or self.devices == 1 else "",
            f"pp{self.pipeline}" if self.pipeline > 1 else "",
            f"dp{self.attention_data}" if self.attention_data > 1 else "",
            f"ep{self.expert}" if self.expert > 1 else "",
            "sp" if self.sequence else "",
        ]
        return "-".join(filter(None, parts)) or "pp1"


ONE_DEVICE = Layout()


def layouts_of(
    tensor: Iterable[int], pipeline: Iterable[int], expert: Iterable[int], attention_data: Iterable[int],
    *, sequence: bool = False,
) -> tuple[tuple[Layout, ...], tuple[str, ...]]:  # fmt: skip
    """(every combination that comes out even, each once; what is wrong with the others).

    Args:
        sequence: sequence parallel, where there are devices to share it.

    Raises:
        InputError: none comes out even.

    >>> layouts, wrong = layouts_of([2, 4], [1], [1, 4], [1])
    >>> [str(each) for each in layouts], len(wrong)
    (['tp2', 'tp4', 'tp4-ep4'], 1)
    """
    layouts: list[Layout] = []
    wrong: list[str] = []
    for shared, stages, experts, groups in product(tensor, pipeline, expert, attention_data):
        split = sequence and shared > 1
        try:
            layouts.append(
                Layout(tensor=shared, pipeline=stages, expert=experts, attention_data=groups, sequence=split)
            )
        except InputError as error:
            wrong.append(str(error))
    if not layouts:
        raise InputError("; ".join(wrong))
    return tuple(dict.fromkeys(layouts)), tuple(wrong)
