"""Programs for int8: linear layers, and blocks of them, that are quantised on the fly when they are timed.

May import: programs, program_parts, program_blocks, programs_products, programs_blocks, torch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from perfmodel.measuring.program_blocks import EncoderLayer, Mlp, SelfAttention
from perfmodel.measuring.programs import Footprints, TimedProgram
from perfmodel.measuring.programs_blocks import stacked
from perfmodel.measuring.programs_products import linear

LINEAR = (
    (1, 800, 3200, "cold"), (1, 2048, 2048, "cold"), (1, 1024, 1024, "hot"), (1, 704, 704, "llc"),
    (4, 1024, 2304, "cold"), (8, 800, 800, "llc"), (16, 2048, 512, "cold"), (32, 1024, 1024, "llc"),
    (64, 800, 3200, "llc"), (128, 640, 1920, "llc"), (256, 704, 2816, "llc"), (256, 1024, 1024, "hot"),
    (512, 1024, 512, "llc"), (1400, 320, 320, "llc"), (2048, 64, 64, "hot"), (24, 96, 96, "hot"),
)  # fmt: skip
LINEAR_FULL = ((2, 1024, 1024, "cold"), (48, 448, 1792, "llc"), (320, 896, 3584, "llc"), (1024, 1024, 1024, "hot"))
# (batch, tokens, width, heads, hidden, blocks)
ENCODER = ((1, 70, 640, 10, 2560, 3), (4, 100, 320, 5, 1280, 3), (1, 1, 512, 8, 2048, 4))


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    found = [linear(*row, footprints) for row in LINEAR + LINEAR_FULL * full]
    for batch, tokens, width, heads, hidden, blocks in ENCODER:
        shape = (batch, tokens, width)
        size = f"{batch}x{tokens}x{width}"
        encoder = partial(EncoderLayer, width, heads, hidden)
        found += [
            stacked(f"mlp {size} {hidden}", "block", partial(Mlp, width, hidden), blocks, shape),
            stacked(f"attention {size} {heads}", "block", partial(SelfAttention, width, heads), blocks, shape),
            stacked(f"encoder layer {size} heads {heads} {hidden}", "deep", encoder, 4 * blocks, shape),
        ]
    return [replace(program, quantized=True) for program in found]
