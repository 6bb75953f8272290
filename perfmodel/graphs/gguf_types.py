"""Numbers that GGUF files use for tensor types and for whole mixtures of them, and what they stand for here.

May import: precisions. To add a type: its format in perfmodel.precisions and a line in `GGML_TYPES`.
"""

from __future__ import annotations

from perfmodel.precisions import FORMATS

_NUMBERS = {
    0: "fp32", 1: "fp16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1", 10: "q2_k", 11: "q3_k",
    12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s",
    20: "iq4_nl", 21: "iq3_s", 22: "iq2_s", 23: "iq4_xs", 24: "uint8", 25: "int16", 26: "int32", 27: "int64",
    28: "fp64", 29: "iq1_m", 30: "bf16", 34: "tq1_0", 35: "tq2_0", 39: "mxfp4", 40: "nvfp4", 41: "q1_0",
}  # fmt: skip
# ggml's enum ggml_type -> storage format
GGML_TYPES = {number: FORMATS[name] for number, name in _NUMBERS.items()}
_REMOVED = "support for it was removed from ggml; quantise the model anew"
REMOVED_TYPES = {4: _REMOVED, 5: _REMOVED} | dict.fromkeys((31, 32, 33, 36, 37, 38), _REMOVED)

# llama.h's enum llama_ftype, in general.file_type: the recipe a file was quantised by
FILE_TYPES = {
    0: "fp32", 1: "fp16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s",
    12: "q3_k_m", 13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs",
    20: "iq2_xs", 21: "q2_k_s", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m",
    28: "iq2_s", 29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 32: "bf16", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4_moe",
    39: "nvfp4", 40: "q1_0",
}  # fmt: skip
