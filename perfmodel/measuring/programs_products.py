"""Single programs of products: linear layers in both layouts, batched products, attention, recurrent layers, lookups.

May import: programs, program_parts, torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from perfmodel.measuring.program_parts import Conv1D, Each, Rotation, filled, on_meta, random_tensors
from perfmodel.measuring.programs import Footprints, Made, TimedProgram

# (rows, inputs, outputs, where the weights are)
LINEAR = (
    (1, 800, 3200, "cold"), (1, 2048, 2048, "cold"), (1, 4000, 1024, "cold"), (1, 576, 576, "cold"),
    (1, 1024, 1024, "hot"), (1, 704, 704, "llc"), (1, 640, 48000, "cold"), (1, 1280, 1100, "llc"),
    (1, 3200, 800, "cold"),
    (4, 1024, 2304, "cold"), (4, 896, 896, "llc"),
    (8, 800, 800, "llc"), (8, 800, 3200, "cold"), (8, 2048, 1000, "llc"),
    (16, 512, 2048, "llc"), (16, 2048, 512, "cold"), (16, 704, 704, "hot"), (16, 1024, 4096, "cold"),
    (32, 1024, 1024, "llc"), (32, 288, 4096, "hot"), (32, 1024, 2560, "cold"),
    (64, 800, 3200, "llc"), (64, 704, 704, "llc"), (64, 2048, 1024, "llc"),
    (100, 512, 512, "llc"), (128, 640, 1920, "llc"), (128, 2560, 640, "llc"), (130, 512, 32000, "hot"),
    (197, 352, 1056, "llc"), (197, 1408, 352, "llc"), (256, 704, 704, "llc"), (256, 704, 2816, "llc"),
    (256, 1024, 1024, "hot"), (400, 640, 2560, "llc"), (512, 256, 1024, "llc"), (512, 1024, 512, "llc"),
    (784, 640, 160, "llc"), (1024, 512, 128, "hot"), (1400, 320, 320, "llc"),
    (3000, 80, 320, "hot"), (300, 32, 32, "hot"), (24, 96, 96, "hot"),
)  # fmt: skip
LINEAR_FULL = (
    (1, 1536, 4608, "cold"), (1, 4608, 1536, "cold"), (2, 1024, 1024, "cold"), (2, 640, 2560, "llc"),
    (4, 3072, 1024, "cold"), (8, 1536, 1536, "cold"), (16, 1280, 5120, "cold"), (32, 2048, 2048, "cold"),
    (48, 448, 1792, "llc"), (96, 960, 960, "cold"), (160, 1280, 1280, "llc"), (320, 896, 3584, "llc"),
    (512, 2048, 2048, "hot"), (768, 448, 1344, "llc"), (1024, 1024, 1024, "hot"), (1600, 192, 576, "hot"),
    (2500, 256, 256, "hot"), (4000, 96, 288, "hot"), (6000, 48, 192, "hot"), (12, 160, 640, "hot"),
)  # fmt: skip
TRANSPOSED = (
    (1, 800, 3200, "cold"), (1, 2048, 1024, "cold"), (1, 1024, 1024, "llc"), (1, 640, 640, "hot"),
    (4, 1024, 1024, "cold"), (8, 1024, 2048, "cold"), (8, 512, 512, "llc"), (64, 640, 2560, "llc"),
    (100, 704, 2112, "llc"), (200, 512, 512, "llc"), (300, 2048, 512, "llc"), (128, 800, 3200, "llc"),
)  # fmt: skip
TRANSPOSED_FULL = ((1, 1280, 3840, "cold"), (2, 800, 2400, "cold"), (32, 896, 896, "llc"), (400, 640, 1920, "llc"))
BATCHED = (
    (12, 64, 64, 64), (12, 256, 64, 256), (12, 256, 256, 64), (64, 49, 32, 49), (8, 1, 64, 512), (40, 150, 64, 150),
    (1, 512, 512, 512), (96, 36, 40, 36),
)  # fmt: skip
BATCHED_FULL = ((16, 400, 64, 400), (16, 400, 400, 64), (256, 25, 32, 25), (32, 1, 96, 700), (4, 640, 128, 640))
# (batch, heads, queries, keys, channels, sets of tensors, form)
ATTENTION = (
    (1, 12, 64, 64, 64, 2, ""), (1, 12, 256, 256, 64, 2, ""), (1, 5, 190, 190, 64, 4, ""), (4, 5, 190, 190, 64, 2, ""),
    (1, 10, 130, 130, 64, 2, "causal"), (2, 8, 512, 512, 64, 1, "causal"), (1, 10, 640, 640, 80, 1, "causal"),
    (1, 12, 240, 240, 64, 2, "mask"), (1, 12, 100, 100, 64, 2, "mask"), (64, 3, 49, 49, 32, 2, "mask"),
    (4, 8, 128, 128, 32, 2, ""), (1, 12, 120, 120, 64, 2, "causal 4 kv heads"),
    (1, 10, 1, 512, 64, 12, ""), (8, 8, 1, 520, 64, 8, ""), (1, 16, 1, 1024, 64, 20, ""),
    (1, 12, 1, 560, 64, 6, "mask"),
    (1, 12, 1, 700, 64, 6, "4 kv heads"), (4, 10, 1, 1024, 64, 10, ""),
)  # fmt: skip
ATTENTION_FULL = (
    (1, 8, 1024, 1024, 64, 1, "causal"), (2, 16, 320, 320, 64, 1, ""), (8, 4, 256, 256, 48, 1, ""),
    (1, 20, 1, 640, 128, 8, ""), (1, 24, 1, 512, 64, 8, "8 kv heads"), (2, 12, 384, 384, 64, 1, "mask"),
)  # fmt: skip
LOOKUP = ((30000, 800, 1), (30000, 800, 256), (10000, 256, 512), (48000, 640, 32))
# (cell, batch, steps, inputs, hidden, layers)
RECURRENT = (
    ("LSTM", 1, 16, 256, 256, 1), ("LSTM", 1, 50, 512, 512, 1), ("LSTM", 8, 32, 256, 256, 1),
    ("LSTM", 8, 20, 512, 384, 2), ("LSTM", 4, 40, 128, 640, 1), ("LSTM", 1, 30, 300, 640, 1),
    ("LSTM", 16, 24, 400, 800, 1), ("GRU", 1, 30, 256, 256, 1), ("GRU", 8, 24, 320, 480, 1),
)  # fmt: skip
RECURRENT_FULL = (("LSTM", 32, 20, 512, 512, 2), ("LSTM", 2, 64, 768, 768, 1), ("GRU", 4, 40, 640, 640, 2))


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    return [
        *(linear(*row, footprints) for row in LINEAR + LINEAR_FULL * full),
        *(linear(*row, footprints, transposed=True) for row in TRANSPOSED + TRANSPOSED_FULL * full),
        *(batched(*row) for row in BATCHED + BATCHED_FULL * full),
        *(attention(*row) for row in ATTENTION + ATTENTION_FULL * full),
        *(lookup(*row) for row in LOOKUP),
        *(_recurrent(*row) for row in RECURRENT + RECURRENT_FULL * full),
    ]


def linear(
    rows: int, inputs: int, outputs: int, level: str, footprints: Footprints, transposed: bool = False
) -> TimedProgram:
    """A linear layer whose weights lie at a level: hot, llc or cold; `transposed`: input by output."""
    layer: Callable[..., nn.Module] = Conv1D if transposed else nn.Linear

    def make(dtype: Any) -> Made:
        copies = footprints.copies(inputs * outputs * dtype.itemsize, level)
        module = on_meta(lambda: Rotation(layer(inputs, outputs) for _ in range(copies)))
        return filled(module, dtype), random_tensors(min(copies, 3), (1, rows, inputs), dtype)

    kind = "linear k by n" if transposed else "linear"
    return TimedProgram(f"{kind} {rows}x{inputs} to {outputs} {level}", "single", make)


def batched(batch: int, m: int, k: int, n: int) -> TimedProgram:
    def make(dtype: Any) -> Made:
        a, b = random_tensors(1, (batch, m, k), dtype), random_tensors(1, (batch, k, n), dtype)
        return Each(torch.bmm, 2), (*a, *b)

    return TimedProgram(f"bmm {batch}x{m}x{k}x{n}", "single", make)


def attention(batch: int, heads: int, queries: int, keys: int, channels: int, sets: int, form: str) -> TimedProgram:
    kv_heads = int(form.split()[-3]) if form.endswith("kv heads") else heads
    causal, masked = "causal" in form, form == "mask"

    def attend(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=kv_heads != heads)

    def make(dtype: Any) -> Made:
        (q,) = random_tensors(1, (batch, heads, queries, channels), dtype)
        mask = (torch.zeros(batch, 1, queries, keys, dtype=dtype),) if masked else ()
        inputs: list[Any] = []
        for _ in range(sets):
            inputs += [q, *random_tensors(2, (batch, kv_heads, keys, channels), dtype), *mask]
        return Each(attend, 4 if masked else 3), tuple(inputs)

    shape = f"{batch}x{heads}x{queries}x{keys}x{channels}"
    return TimedProgram(f"attention {shape} over {sets} {form}".rstrip(), "single", make)


def lookup(rows: int, width: int, tokens: int) -> TimedProgram:
    def make(dtype: Any) -> Made:
        table = filled(on_meta(lambda: nn.Embedding(rows, width)), dtype)
        ids = torch.randint(0, rows, (1, tokens), generator=torch.Generator().manual_seed(21))
        return table, (ids,)

    return TimedProgram(f"embedding {rows}x{width} {tokens} tokens", "single", make)


def _recurrent(cell: str, batch: int, steps: int, inputs: int, hidden: int, layers: int) -> TimedProgram:
    def make(dtype: Any) -> Made:
        with torch.device("cpu"):  # its flat weights cannot be moved off meta
            module = getattr(nn, cell)(inputs, hidden, layers, batch_first=True).to(dtype).eval()
        return module.requires_grad_(False), random_tensors(1, (batch, steps, inputs), dtype)

    return TimedProgram(f"{cell.lower()} {batch}x{steps}x{inputs} hidden {hidden} layers {layers}", "single", make)
