"""What a model's own files say about quantisation: `quantization_config` of config.json, or hf_quant_config.json.

The result says for every group of weights (by the names their modules have in the checkpoint) how it is stored and in
which type it is multiplied. To add a method: a reader in `_READERS`.

May import: errors, precisions, config_fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.errors import ModelError, shortened


@dataclass(frozen=True, slots=True)
class Storage:
    """How the weights of a matrix multiplication are stored and multiplied.

    Args:
        weight: storage format. compute: dtype of the multiplication, "" for that of the activations (weight-only).
    """

    weight: str
    compute: str = ""


# matching takes time with as high a power of a name's letters as a pattern has repetitions
_LONGEST_PATTERN, _MOST_REPEATS = 300, 5
_REPEAT = re.compile(r"(?<!\\)[*+{]")
_NESTED = re.compile(r"[*+}]\??\)[*+{]|\)[*+{].*\)[*+{]|\([^()]*[*+{|][^()]*\)[*+{]")
_LAYER_NUMBER = re.compile(r"(?:layers|blocks|h)\.(\d+)(.*)")


class ModulePatterns:
    """Names of modules, the way the quantisation tools write them.

    "lm_head" or "gate" is a module of that name anywhere, "model.layers.0.mlp" a module and all below it,
    "model.layers.*.self_attn*" a pattern, "re:.*self_attn.*" a regular expression.
    """

    __slots__ = ("_differ_anyhow", "_names", "_numbered", "_pattern")

    def __init__(self, patterns: Iterable[str]) -> None:
        names, expressions = set(), []
        self._numbered: list[tuple[str, str]] = []
        self._differ_anyhow = False
        for text in patterns:
            pattern = text.replace("language_model.", "")
            if pattern.startswith("re:"):
                expressions.append(pattern[3:])
                self._differ_anyhow |= any(character.isdigit() for character in pattern)
                continue
            numbered = _LAYER_NUMBER.search(pattern)
            if numbered:
                self._numbered.append((numbered[1], numbered[2]))
            if "*" in pattern:
                expressions.append(re.escape(re.sub(r"\*+", "*", pattern)).replace(r"\*", ".*") + r"($|\.)")
            else:
                names.add(pattern)
        self._names = frozenset(names)
        _check_patterns(expressions)
        try:
            self._pattern = re.compile("|".join(f"(?:{text})" for text in expressions)) if expressions else None
        except re.error as error:
            raise ModelError(
                f"the quantisation config holds a pattern that is no regular expression: {error}"
            ) from None

    def match(self, module: str) -> bool:
        """Whether a module is named, by itself, by a module above it, or by a pattern."""
        if self._pattern and self._pattern.match(module):
            return True
        if not self._names:
            return False
        parts = module.split(".")
        prefix = ""
        for index, part in enumerate(parts):
            prefix = f"{prefix}.{part}" if prefix else part
            if prefix in self._names or part in self._names or ".".join(parts[index:]) in self._names:
                return True
        return False

    def by_layer(self, count: int) -> list[Hashable]:
        """What the patterns say of each layer by its number; layers with equal answers need not be told apart."""
        said: list[list[str]] = [[] for _ in range(count)]
        for digits, rest in self._numbered:
            if rest.startswith("*"):  # layers.6* speaks of 6 and of 60 to 69
                for index in range(count):
                    if str(index).startswith(digits):
                        said[index].append(rest)
            elif int(digits) < count:
                said[int(digits)].append(rest)
        return [(index if self._differ_anyhow else 0, *sorted(rests)) for index, rests in enumerate(said)]


def _check_patterns(expressions: Iterable[str]) -> None:
    """Refuse patterns that may take for ever: of nested repetitions, or of many.

    Raises:
        ModelError: naming the first.
    """
    for text in expressions:
        if len(text) > _LONGEST_PATTERN or len(_REPEAT.findall(text)) > _MOST_REPEATS or _NESTED.search(text):
            raise ModelError(
                f"the quantisation config holds a pattern that may take for ever: {shortened(text, 80)!r}; "
                "name the modules instead"
            )


@dataclass(frozen=True, slots=True)
class Quantization:
    """How a checkpoint is quantised.

    Args:
        method: as the file names it. precision: the nearest precision name.
        groups: modules and their storage, the first that matches counts. ignored: modules left as they are.
        cache: storage format of the KV cache, "" if the file does not say.
        experts_only: nothing but the experts is quantised.
        notes: what was taken for something near.
    """

    method: str
    precision: str
    groups: tuple[tuple[ModulePatterns | None, Storage], ...]
    ignored: ModulePatterns
    cache: str = ""
    experts_only: bool = False
    notes: tuple[str, ...] = ()

    def storage_of(self, modules: Iterable[str], *, experts: bool = False) -> Storage | None:
        """The storage of weights that the checkpoint keeps under any of these names; None if not quantised."""
        names = tuple(modules)
        if (self.experts_only and not experts) or any(self.ignored.match(name) for name in names):
            return None
        for targets, storage in self.groups:
            if targets is None or any(targets.match(name) for name in names):
                return storage
        return None

    def by_layer(self, count: int) -> list[Hashable]:
        """One answer per layer; layers with equal answers are quantised alike."""
        patterns = [self.ignored, *(targets for targets, _ in self.groups if targets)]
        return list(zip(*(pattern.by_layer(count) for pattern in patterns), strict=True))


def read_quantization(config: Any, hf_quant_config: Mapping[str, Any] | None = None) -> Quantization | None:
    """The quantisation of a checkpoint, None if it has none.

    Args:
        config: the value of `quantization_config` in config.json.
        hf_quant_config: the contents of hf_quant_config.json (NVIDIA ModelOpt), which counts if both are there.

    Raises:
        ModelError: a method or format that is not understood.

    >>> read_quantization({"quant_method": "fp8", "weight_block_size": [128, 128]}).groups[0][1]
    Storage(weight='fp8_block', compute='fp8')
    """
    if hf_quant_config:
        inner = hf_quant_config.get("quantization", hf_quant_config)
        return _modelopt(_object(inner, "hf_quant_config.json"))
    if not config:
        return None
    values = _object(config, "quantization_config")
    method = str(values.get("quant_method", "")).lower().replace("_", "-")
    if not method and ("load_in_8bit" in values or "load_in_4bit" in values):
        method = "bitsandbytes"
    if not method and "quant_algo" in values:
        method = "modelopt"
    if method not in _READERS:
        raise ModelError(
            f"quantization_config: quant_method '{method}' is not understood; known: {', '.join(_READERS)}. "
            "Remove quantization_config and give --precision to predict the model unquantised"
        )
    return _READERS[method](values)


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ModelError(f"{what} must be an object, is {type(value).__name__}")
    return value


def _whole(method: str, precision: str, storage: Storage, ignored: Any, **more: Any) -> Quantization:
    """One storage for everything that is not ignored."""
    return Quantization(method, precision, ((None, storage),), ModulePatterns(_names(ignored)), **more)


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ModelError(f"the quantisation config's list of modules must hold names, is {value!r}")
    return tuple(value)


def _number(values: Mapping[str, Any], *names: str, default: int) -> int:
    value = next((values[name] for name in names if values.get(name) is not None), default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelError(f"quantization_config: {names[0]} must be a whole number, is {value!r}")
    return value


def _integer_weight(bits: int, group: int) -> tuple[str, tuple[str, ...]]:
    """The storage format of integer weights of some bits in groups, and a note if it is only the nearest one."""
    if bits == 8:
        return "int8", ()
    if bits == 4 and group <= 0:
        return "int4", ()
    known = {(4, 32): "int4_g32", (4, 128): "int4_g128", (3, 128): "int3_g128", (2, 128): "int2_g128"}
    if (bits, group) in known:
        return known[bits, group], ()
    if bits not in (2, 3, 4):
        raise ModelError(f"quantization_config: weights of {bits} bits are not understood; known: 2, 3, 4 and 8")
    nearest = "int4_g32" if bits == 4 and group < 64 else f"int{bits}_g128"
    return nearest, (f"weights of {bits} bits in groups of {group} are stored as {nearest}, the nearest format",)


def _gptq(values: Mapping[str, Any]) -> Quantization:
    bits = _number(values, "bits", "w_bit", default=4)
    weight, notes = _integer_weight(bits, _number(values, "group_size", "q_group_size", default=128))
    precision = "w8a16" if bits == 8 else "w4a16"
    method = str(values.get("quant_method", "gptq"))
    ignored = values.get("modules_to_not_convert")
    return _whole(method, precision, Storage(weight), ignored, notes=notes)


def _bitsandbytes(values: Mapping[str, Any]) -> Quantization:
    ignored = values.get("llm_int8_skip_modules")
    if values.get("load_in_4bit"):
        kind = values.get("bnb_4bit_quant_type", "fp4")
        notes = () if kind == "nf4" else (f"bitsandbytes {kind} weights are stored as nf4, which takes the same bytes",)
        return _whole("bitsandbytes", "w4a16", Storage("nf4"), ignored, notes=notes)
    return _whole("bitsandbytes", "int8", Storage("int8", "int8"), ignored)


def _fp8(values: Mapping[str, Any]) -> Quantization:
    block = values.get("weight_block_size")
    notes: tuple[str, ...] = ()
    if block and block != [128, 128]:
        notes = (f"fp8 blocks of {str(block)[:40]} are stored as blocks of [128, 128], the nearest format",)
    weight = "fp8_block" if block else "fp8"
    return _whole("fp8", "fp8", Storage(weight, "fp8"), values.get("modules_to_not_convert"), notes=notes)


def _fbgemm_fp8(values: Mapping[str, Any]) -> Quantization:
    return _whole("fbgemm-fp8", "fp8", Storage("fp8_channel", "fp8"), values.get("modules_to_not_convert"))


def _mxfp4(values: Mapping[str, Any]) -> Quantization:
    """Experts alone are stored in mxfp4, and multiplied with activations of 16 bits."""
    return _whole("mxfp4", "mxfp4", Storage("mxfp4"), values.get("modules_to_not_convert"), experts_only=True)


_MODELOPT = {
    "FP8": ("fp8", Storage("fp8", "fp8")),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", Storage("fp8_channel", "fp8")),
    "FP8_PB_WO": ("fp8", Storage("fp8_block", "fp8")),
    "NVFP4": ("nvfp4", Storage("nvfp4", "fp4")),
    "W4A8_NVFP4_FP8": ("nvfp4", Storage("nvfp4", "fp8")),
    "NVFP4_AWQ": ("nvfp4", Storage("nvfp4", "fp4")),
    "W4A16_AWQ": ("w4a16", Storage("int4_g128")),
    "W4A8_AWQ": ("w4a16", Storage("int4_g128", "fp8")),
    "W8A16": ("w8a16", Storage("int8")),
    "W8A8_SQ_PER_CHANNEL": ("int8", Storage("int8", "int8")),
    "MXFP4": ("mxfp4", Storage("mxfp4", "fp4")),
    "MXFP8": ("fp8", Storage("mxfp8", "fp8")),
}


def _modelopt(values: Mapping[str, Any]) -> Quantization | None:
    ignored = ModulePatterns(_names(values.get("exclude_modules") or values.get("ignore")))
    algorithm = values.get("quant_algo")
    cache = _cache_format(values.get("kv_cache_quant_algo"))
    layers = values.get("quantized_layers")
    if algorithm is None and not layers:
        return None
    if layers:
        by_algorithm: dict[str, list[str]] = {}
        for module, entry in _object(layers, "quantized_layers").items():
            by_algorithm.setdefault(str(_object(entry, module).get("quant_algo")), []).append(module)
        found = {name: _modelopt_storage(name) for name in by_algorithm}
        groups = tuple((ModulePatterns(modules), found[name][1]) for name, modules in by_algorithm.items())
        largest = max(by_algorithm, key=lambda name: len(by_algorithm[name]))
        return Quantization("modelopt", found[largest][0], groups, ignored, cache)
    precision, storage = _modelopt_storage(str(algorithm))
    return Quantization("modelopt", precision, ((None, storage),), ignored, cache)


def _modelopt_storage(algorithm: str) -> tuple[str, Storage]:
    try:
        return _MODELOPT[algorithm.upper()]
    except KeyError:
        raise ModelError(f"quant_algo '{algorithm}' is not understood; known: {', '.join(_MODELOPT)}") from None


def _cache_format(name: Any) -> str:
    if name is None:
        return ""
    if str(name).upper() != "FP8":
        raise ModelError(f"kv_cache_quant_algo '{name}' is not understood; known: FP8")
    return "fp8"


def _compressed_tensors(values: Mapping[str, Any]) -> Quantization:
    groups: list[tuple[ModulePatterns | None, Storage]] = []
    precisions: list[str] = []
    notes: list[str] = []
    for entry in _object(values.get("config_groups") or {}, "config_groups").values():
        group = _object(entry, "config_groups")
        precision, storage, note = _scheme(group, str(group.get("format") or values.get("format") or ""))
        targets = _names(group.get("targets"))
        everything = not targets or "Linear" in targets
        groups.append((None if everything else ModulePatterns(targets), storage))
        precisions.append(precision)
        notes.extend(note)
    if not groups:
        raise ModelError("quantization_config: compressed-tensors needs config_groups, which are missing")
    cache = "fp8" if _is_eight_bit_float(values.get("kv_cache_scheme")) else ""
    ignored = ModulePatterns(_names(values.get("ignore")))
    groups.sort(key=lambda pair: pair[0] is None)  # named modules before "every linear layer"
    return Quantization("compressed-tensors", precisions[0], tuple(groups), ignored, cache, notes=tuple(notes))


def _is_eight_bit_float(scheme: Any) -> bool:
    return isinstance(scheme, Mapping) and scheme.get("num_bits") == 8 and scheme.get("type") == "float"


def _scheme(group: Mapping[str, Any], format_name: str) -> tuple[str, Storage, tuple[str, ...]]:
    """Precision name, storage and notes of one group of compressed-tensors."""
    weights = _object(group.get("weights"), "config_groups: weights")
    bits, kind = _number(weights, "num_bits", default=8), str(weights.get("type", "int"))
    inputs = group.get("input_activations")
    strategy = weights.get("strategy")
    if kind == "float" and bits == 4:
        name = "mxfp4" if "mx" in format_name else "nvfp4"
        input_bits = _number(_object(inputs, "input_activations"), "num_bits", default=4) if inputs else 16
        return name, Storage(name, {4: "fp4", 8: "fp8"}.get(input_bits, "")), ()
    if kind == "float" and bits == 8:
        weight = {"block": "fp8_block", "channel": "fp8_channel", "group": "mxfp8"}.get(str(strategy), "fp8")
        return ("fp8", Storage(weight, "fp8"), ()) if inputs else ("w8a16", Storage(weight), ())
    if kind == "int":
        group_size = 0 if strategy in ("channel", "tensor") else _number(weights, "group_size", default=0)
        weight, notes = _integer_weight(bits, group_size)
        if inputs:
            compute = "fp8" if _is_eight_bit_float(inputs) else "int8"
            return ("int8" if bits == 8 else "w4a16"), Storage(weight, compute), notes
        return ("w8a16" if bits == 8 else "w4a16"), Storage(weight), notes
    raise ModelError(f"quantization_config: weights of type {kind} with {bits} bits are not understood")


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Quantization | None]] = {
    "fp8": _fp8,
    "fbgemm-fp8": _fbgemm_fp8,
    "gptq": _gptq,
    "awq": _gptq,
    "auto-round": _gptq,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
}
