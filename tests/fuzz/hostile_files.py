"""Hostile files by name, made here: bombs, lies about lengths, what is no file at all.

Each takes a folder and returns the path of what it wrote there; large files are sparse and take no room.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

HUGE = 5 << 30
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64)


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    """A file with that content."""

    def write(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def sparse(name: str, start: bytes = b"", size: int = HUGE) -> Callable[[Path], Path]:
    """A file of gigabytes of zeros behind its start."""

    def write(folder: Path) -> Path:
        path = written(name, start)(folder)
        os.truncate(path, size)
        return path

    return write


def folder(name: str) -> Callable[[Path], Path]:
    """A folder where a file belongs."""

    def write(where: Path) -> Path:
        (where / name).mkdir(parents=True)
        return where / name

    return write


def pipe(name: str) -> Callable[[Path], Path]:
    """A pipe that nobody writes into."""

    def write(where: Path) -> Path:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(where / name)
        return where / name

    return write


def link(name: str, target: str) -> Callable[[Path], Path]:
    """A symbolic link: to nothing, to itself, to a device."""

    def write(where: Path) -> Path:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).symlink_to(target)
        return where / name

    return write


def anywhere(name: str) -> dict[str, Callable[[Path], Path]]:
    """What may stand in the place of any file of that name."""
    return {
        "empty": written(name, b""),
        "only blanks": written(name, b" \n\t\r\n "),
        "only a byte order mark": written(name, b"\xef\xbb\xbf"),
        "a picture": written(name, PNG),
        "packed": written(name, gzip.compress(b"{}" * 1000, mtime=0)),
        "packed bomb": written(name, gzip.compress(bytes(50_000_000), mtime=0)),
        "zeros": written(name, bytes(100_000)),
        "utf-16": written(name, '{"a": 1}\n'.encode("utf-16")),
        "surrogates": written(name, b'{"a": "\xed\xa0\x80"}'),
        "latin-1": written(name, "größe: 1\n".encode("latin-1")),
        "five gigabytes": sparse(name),
        "brackets": written(name, b"[" * 100_000),
        "closed brackets": written(name, b"[" * 100_000 + b"]" * 100_000),
        "objects": written(name, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "dashes": written(name, b"- " * 100_000 + b"a"),
        "indentation": written(name, b"".join(b" " * depth + b"a:\n" for depth in range(2000))),
        "question marks": written(name, b"? " * 100_000),
        "digits": written(name, b'{"a": ' + b"9" * 1_000_000 + b"}"),
        "many lists": written(name, b"[" + b"[]," * 1_500_000 + b"[]]"),
        "many keys": written(name, b"{" + b",".join(b'"%d":0' % place for place in range(300_000)) + b"}"),
        "unknown keys": written(name, b"{" + b",".join(b'"vendr%d":0' % place for place in range(60_000)) + b"}"),
        "same key": written(name, b"{" + b'"a":0,' * 300_000 + b'"a":0}'),
        "long line": written(name, b"x" * 4_500_000),
        "commas": written(name, b"," * 4_500_000),
        "quotes": written(name, b'"' * 4_500_000),
        "open quote": written(name, b'a,b\n"' + b"x\n" * 2_000_000),
        "lines": written(name, b"a\n" * 2_000_000),
        "folder": folder(name),
        "pipe": pipe(name),
        "broken link": link(name, "nowhere"),
        "link to itself": link(name, Path(name).name),
        "device without end": link(name, "/dev/zero"),
        "device of nothing": link(name, "/dev/null"),
        "memory of a process": link(name, "/proc/self/mem"),
    }  # fmt: skip


def laughs(name: str) -> Callable[[Path], Path]:
    """A billion laughs: nine levels of ten aliases."""
    lines = ['a0: &a0 ["lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol"]']
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]
    return written(name, "\n".join(lines).encode())


YAML: dict[str, Callable[[str], Callable[[Path], Path]]] = {
    "aliases": laughs,
    "alias of itself": lambda name: written(name, b"a: &a [*a, *a]\n"),
    "merge keys": lambda name: written(name, b"a: &a {b: 1}\n<<: [*a, *a]\n"),
    "python": lambda name: written(name, b"!!python/object/apply:os.system ['touch owned']\n"),
    "directive": lambda name: written(name, b"%YAML 99.9\n%TAG ! tag:x,2000:\n--- !x {a: 1}\n"),
    "documents": lambda name: written(name, b"---\n" * 500_000),
    "flow keys": lambda name: written(name, b"{" * 50_000 + b"a: 1"),
    "key without colon": lambda name: written(name, b"a" * 2_000_000 + b": 1\n"),
    "comments": lambda name: written(name, b"#\n" * 2_400_000),
    "block scalar": lambda name: written(name, b"a: |\n" + b"  x\n" * 1_000_000),
    "folded scalar": lambda name: written(name, b"a: " + b"x\n\n  " * 800_000),
    "escapes": lambda name: written(name, b'a: "' + b"\\x00" * 1_000_000 + b'"\n'),
    "tabs": lambda name: written(name, b"a:\n\tb: 1\n"),
}


def gguf(version: int, tensors: int, keys: int, rest: bytes = b"") -> bytes:
    """The start of a GGUF file that claims so many of each."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


GGUF: dict[str, Callable[[Path], Path]] = {
    "tensors": written("m.gguf", gguf(3, 2**63, 0)),
    "keys": written("m.gguf", gguf(3, 0, 2**64 - 1)),
    "key length": written("m.gguf", gguf(3, 0, 1, struct.pack("<Q", 2**63))),
    "text length": written("m.gguf", gguf(3, 0, 1, _text(b"a") + struct.pack("<IQ", 8, 2**63))),
    "array length": written("m.gguf", gguf(3, 0, 1, _text(b"a") + struct.pack("<IIQ", 9, 4, 2**62))),
    "array of arrays": written("m.gguf", gguf(3, 0, 1, _text(b"a") + struct.pack("<IIQ", 9, 9, 2**62))),
    "keys of zeros": sparse("m.gguf", gguf(3, 0, 65_536)),
    "tensors of zeros": sparse("m.gguf", gguf(3, 65_536, 0)),
    "texts of zeros": sparse("m.gguf", gguf(3, 0, 1, _text(b"a") + struct.pack("<IIQ", 9, 8, 4_000_000))),
    "long texts": sparse(
        "m.gguf", gguf(3, 0, 1000, b"".join(_text(b"%d" % place) + struct.pack("<IQ", 8, 65_536) + bytes(65_536)
                                           for place in range(1000)))
    ),
    "long arrays": sparse(
        "m.gguf", gguf(3, 0, 4000, b"".join(_text(b"%d" % place) + struct.pack("<IIQ", 9, 10, 4096) + b"\xff" * 32_768
                                           for place in range(4000)))
    ),
    "dimensions": written("m.gguf", gguf(3, 1, 0, _text(b"a") + struct.pack("<I4QIQ", 4, *[2**62] * 4, 0, 0))),
    "rank": written("m.gguf", gguf(3, 1, 0, _text(b"a") + struct.pack("<I", 2**32 - 1))),
    "layers": written("m.gguf", gguf(3, 0, 2, _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama")
                                     + _text(b"llama.block_count") + struct.pack("<IQ", 10, 10**9))),
}  # fmt: skip


def _framed(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


SAFETENSORS: dict[str, Callable[[Path], Path]] = {
    **{f"length {length}": written("m.safetensors", _framed(b"{}", length))
       for length in (0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)},
    "header of zeros": sparse("m.safetensors", _framed(b"{", 30 << 20)),
    "header of gigabytes": sparse("m.safetensors", _framed(b"{", 4 << 30)),
    "many lists": sparse("m.safetensors", _framed(b"[" + b"[]," * 10_000_000 + b"[]]")),
    "many objects": sparse("m.safetensors", _framed(b'{"a":[' + b'{"":0},' * 4_000_000 + b"0]}")),
    "deep": written("m.safetensors", _framed(b'{"a":' * 100_000)),
    "dimensions": written(
        "m.safetensors", _framed(b'{"a":{"dtype":"F32","shape":[' + b",".join([b"9007199254740992"] * 16)
                                 + b'],"data_offsets":[0,1]}}')),
    "rank": written("m.safetensors", _framed(b'{"a":{"dtype":"F32","shape":[' + b",".join([b"1"] * 100_000)
                                             + b'],"data_offsets":[0,4]}}')),
    "offsets": written("m.safetensors", _framed(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[1e400,NaN]}}')),
    "shards": written("m-00001-of-99999.safetensors", _framed(b"{}")),
    "no shards": written("m-00001-of-00000.safetensors", _framed(b"{}")),
    "index outside": written("m.safetensors.index.json",
                             b'{"weight_map": {"a": "../../../etc/passwd", "b": "/etc/passwd"}}'),
    "index of itself": written("m.safetensors.index.json", b'{"weight_map": {"a": "m.safetensors.index.json"}}'),
    "index of nothing": written("m.safetensors.index.json", b'{"weight_map": {"a": "", "b": ".", "c": ".."}}'),
}  # fmt: skip

LLAMA = (b'{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": %s, '
         b'"num_attention_heads": %s, "vocab_size": %s, "torch_dtype": "bfloat16"%s}')  # fmt: skip


def config(layers: str = "2", heads: str = "32", words: str = "32000", more: str = "") -> Callable[[Path], Path]:
    """A config.json with such sizes."""
    return written("config.json", LLAMA % (layers.encode(), heads.encode(), words.encode(), more.encode()))


CONFIGS: dict[str, Callable[[Path], Path]] = {
    **{f"layers {count[:12]}": config(layers=count)
       for count in ("1000000000", "1e9", "1e400", "NaN", "-1", "0", "true", '"32"', "null", "[32]", "9" * 5000)},
    **{f"heads {count}": config(heads=count) for count in ("0", "-32", "1000000000", "3", "0.5", "false")},
    "words": config(words="10000000000000"),
    "layer types": config("10000", more=', "layer_types": [' + ",".join(['"full_attention"'] * 500_000) + "]"),
    "layer types in turn": config("10000", more=', "sliding_window": 16, "layer_types": ['
                                  + ",".join(['"full_attention", "sliding_attention"'] * 5000) + "]"),
    "no convert": config(more=', "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ['
                         + ",".join(f'"layers.{place}"' for place in range(100_000)) + "]}"),
    "patterns": config(more=', "quantization_config": {"quant_method": "compressed-tensors", "format": "x", '
                       '"ignore": ["re:'
                       + "(a+)+" * 20 + '$"], "config_groups": {"g": {"targets": ["re:(.*)*x"], "weights": '
                       '{"num_bits": 8, "type": "int"}}}}'),
    "text of text": written("config.json", b'{"model_type": "x", "text_config": ' * 60 + b"{}" + b"}" * 60),
    "nested vision": config(more=', "vision_config": {"vision_config": {"hidden_size": 1e400}}'),
    "depths": written("config.json", b'{"model_type": "resnet", "depths": [' + b",".join([b"1000000"] * 1000)
                      + b'], "hidden_sizes": [' + b",".join([b"64"] * 1000) + b"]}"),
}  # fmt: skip


def graph(lines: str) -> Callable[[Path], Path]:
    """A graph file."""
    return written("graph.yaml", lines.encode())


def _chain(count: int) -> str:
    tensors = "\n".join(f"  t{place}: {{shape: [batch, 8]}}" for place in range(count + 1))
    ops = "\n".join(
        f"  - {{name: o{place}, kind: elementwise, inputs: [t{place}], outputs: [t{place + 1}]}}"
        for place in range(count)
    )
    return f"symbols: [batch]\ntensors:\n{tensors}\nops:\n{ops}\n"


_SIZES = (
    "symbols: [a, b, c, d]\ntensors:\n  x: {{shape: [{}], kind: input}}\n  y: {{shape: [1]}}\nops:\n  - {{name: o, "
)
_ONE_OP = _SIZES + "kind: elementwise, inputs: [x], outputs: [y]}}\n"
GRAPHS: dict[str, Callable[[Path], Path]] = {
    "circle": graph("tensors:\n  x: {shape: [8]}\n  y: {shape: [8]}\nops:\n"
                    "  - {name: a, kind: elementwise, inputs: [y], outputs: [x]}\n"
                    "  - {name: b, kind: elementwise, inputs: [x], outputs: [y]}\n"),
    "op of itself": graph("tensors: {x: {shape: [8]}}\nops: "
                          "[{name: a, kind: elementwise, inputs: [x], outputs: [x]}]\n"),
    "long chain": graph(_chain(4000)),
    "power": graph(_ONE_OP.format('"(a+b+c+d)**16"')),
    "powers": graph(_ONE_OP.format('"((((a+b)**9)**9)**9)**9"')),
    "product": graph(_ONE_OP.format('"' + "*".join(["(a+b+c+d)"] * 12) + '"')),
    "sum": graph(_ONE_OP.format('"' + "+".join(["a*b*c"] * 300) + '"')),
    "brackets": graph(_ONE_OP.format('"' + "(" * 900 + "a" + ")" * 900 + '"')),
    "minus": graph(_ONE_OP.format('"' + "-" * 1900 + 'a"')),
    "huge number": graph(_ONE_OP.format('"' + "9" * 1900 + '"')),
    "large products": graph(_ONE_OP.format('"' + "*".join(["99999999999999999999"] * 90) + '"')),
    "code": graph(_ONE_OP.format('"__import__(\'os\').system(\'touch owned\')"')),
    "negative": graph(_ONE_OP.format("-8")),
    "zero": graph(_ONE_OP.format("0")),
    "many dimensions": graph(_ONE_OP.format(", ".join(["2"] * 5000))),
    "huge dimensions": graph(_ONE_OP.format(", ".join(["99999999999"] * 30))),
    "repeat": graph("tensors: {x: {shape: [8], kind: input}, y: {shape: [8]}}\n"
                    "ops: [{name: a, kind: elementwise, inputs: [x], outputs: [y], repeat: 99999999999999999999}]\n"),
    "many sizes": graph("symbols: [" + ", ".join(f"s{place}" for place in range(3000)) + "]\ntensors:\n  x: {shape: ["
                        + ", ".join(f"s{place}" for place in range(3000)) + "], kind: input}\nops: []\n"),
}  # fmt: skip


def parquet(
    columns: Callable[[Any], dict[str, Any]], name: str = "table.parquet", **options: Any
) -> Callable[[Path], Path]:
    """A Parquet file of such columns; `columns` is given pyarrow."""

    def write(where: Path) -> Path:
        import pyarrow as arrow
        import pyarrow.parquet as files

        path = where / name
        files.write_table(arrow.table(columns(arrow)), path, **{"compression": "zstd", **options})
        return path

    return write


def many_rows(rows: int, name: str = "table.parquet", piece: int = 1 << 24) -> Callable[[Path], Path]:
    """A small file of so many rows, all the same."""

    def write(where: Path) -> Path:
        import numpy as np
        import pyarrow as arrow
        import pyarrow.parquet as files

        path = where / name
        kind = arrow.schema([("m", arrow.int8()), ("n", arrow.int8())])
        with files.ParquetWriter(path, kind, compression="zstd") as writer:
            zeros = arrow.array(np.zeros(piece, dtype=np.int8))
            table = arrow.table({"m": zeros, "n": zeros})
            for _ in range(rows // piece):
                writer.write_table(table)
        return path

    return write


def _long_text(arrow: Any, rows: int = 100_000) -> Any:
    return arrow.DictionaryArray.from_arrays(arrow.array([0] * rows, arrow.int32()), ["x" * 500_000])


PARQUET: dict[str, Callable[[Path], Path]] = {
    "rows": many_rows(1 << 27),
    "long text in every row": parquet(lambda arrow: {"device": _long_text(arrow), "m": [1] * 100_000}),
    "long texts": parquet(lambda arrow: {"device": ["x" * 500_000] * 500, "m": [1] * 500}, use_dictionary=False),
    "long list": parquet(lambda arrow: {"m": arrow.array([[0] * 20_000_000], arrow.list_(arrow.int8()))}),
    "lists of lists": parquet(lambda arrow: {"m": [[[[[1]]]]] * 10, "n": [{"a": {"b": 1}}] * 10}),
    "nulls": parquet(lambda arrow: {"m": arrow.nulls(8_000_000), "n": arrow.nulls(8_000_000)}),
    "columns": parquet(lambda arrow: {f"c{place}": [1] for place in range(12_000)}),
    "no columns": parquet(lambda arrow: {}),
    "no rows": parquet(lambda arrow: {"m": arrow.array([], arrow.int8())}),
    "only the magic": written("table.parquet", b"PAR1PAR1"),
    "footer length": written("table.parquet", b"PAR1" + bytes(100) + struct.pack("<I", 2**32 - 1) + b"PAR1"),
    "footer of zeros": written("table.parquet", b"PAR1" + bytes(100) + struct.pack("<I", 90) + b"PAR1"),
    "sparse": sparse("table.parquet", b"PAR1"),
}  # fmt: skip


def onnx_model(
    nodes: str = "", weights: dict[str, list[int]] | None = None, functions: int = 0
) -> Callable[[Path], Path]:
    """An ONNX file in onnx's text syntax; `functions`: of which each calls the one before ten times."""

    def write(where: Path) -> Path:
        import onnx.parser

        head = '<ir_version: 9, opset_import: ["" : 18, "f" : 1]>\n'
        calls = "".join(
            f'<domain: "f", opset_import: ["" : 18, "f" : 1]> f{level} (a) => (b) {{ '
            + " ".join(f"t{place} = f.f{level - 1}({'a' if not place else f't{place - 1}'})" for place in range(10))
            + " b = Identity(t9) }\n"
            for level in range(1, functions)
        )
        first = '<domain: "f", opset_import: ["" : 18]> f0 (a) => (b) { b = Relu(a) }\n' if functions else ""
        model = onnx.parser.parse_model(head + nodes + "\n" + first + calls)
        for name, dims in (weights or {}).items():
            tensor = model.graph.initializer.add()
            tensor.name, tensor.data_type, tensor.data_location = name, 1, 1
            tensor.dims.extend(dims)
            tensor.external_data.add(key="location", value="../../../../../etc/passwd")
            tensor.external_data.add(key="length", value=str(2**63))
        path = where / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def circle_of_functions(where: Path) -> Path:
    """Two local functions that call each other."""
    import onnx
    import onnx.parser

    path = onnx_model("g (float[1] x) => (float[1] y) { y = f.f1(x) }", functions=2)(where)
    model = onnx.ModelProto.FromString(path.read_bytes())
    model.functions[0].node[0].op_type, model.functions[0].node[0].domain = "f1", "f"
    model.functions[0].opset_import.add(domain="f", version=1)
    path.write_bytes(model.SerializeToString())
    return path


def deep_branches(where: Path, depth: int = 30) -> Path:
    """An If within an If within an If ..."""
    from onnx import helper

    inner = [helper.make_node("Relu", ["x"], ["y"])]
    for level in range(depth):
        end = helper.make_tensor_value_info("y", 1, [1])
        branch = helper.make_graph(inner, f"g{level}", [], [end])
        inner = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)] if level < 1 else [
            helper.make_node("If", ["c"], ["y"], then_branch=branch)
        ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    condition = helper.make_tensor("c", 9, [1], [True])
    model = helper.make_model(helper.make_graph(inner, "g", ends[:1], ends[1:], [condition]))
    path = where / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


_MATMUL = "g (float[n, 8] x{}) => (float[n, m] y) {{ y = MatMul(x, w) }}"
ONNX: dict[str, Callable[[Path], Path]] = {
    "weights elsewhere": onnx_model(_MATMUL.format(""), {"w": [8, 16]}),
    "huge weights": onnx_model(_MATMUL.format(""), {"w": [8, 2**62]}),
    "endless weights": onnx_model(_MATMUL.format(""), {"w": [2**62] * 60}),
    "huge constant of shape": onnx_model("g (float[1] x) => (float[a] y) <int64[1] s = {4611686018427387904}> "
                                         "{ c = ConstantOfShape(s) y = Add(x, c) }"),
    "gigabytes of shape": onnx_model("g (float[1] x) => (float[a] y) <int64[1] s = {4000000000}> "
                                     "{ c = ConstantOfShape(s) n = NonZero(c) y = Add(x, c) }"),
    "range": onnx_model("g (float[1] x) => (int64[a] y) <int64 b = {0}, int64 e = {4611686018427387904}, "
                        "int64 d = {1}> { y = Range(b, e, d) }"),
    "expand": onnx_model("g (float[1] x) => (float[a, b] y) <int64[2] s = {4000000000, 4000000000}> "
                         "{ y = Expand(x, s) }"),
    "tile": onnx_model("g (float[1] x) => (int64[a] y) <int64[1] v = {1}, int64[1] t = {4000000000}> "
                       "{ a = Tile(v, t) y = Cast<to=7>(a) }"),
    "pad": onnx_model("g (float[1] x) => (float[a] y) <float[1] v = {1}, int64[2] p = {4000000000, 4000000000}> "
                      "{ y = Pad(v, p) }"),
    "many functions": onnx_model("g (float[1] x) => (float[1] y) { y = f.f11(x) }", functions=12),
    "circle of functions": circle_of_functions,
    "deep branches": deep_branches,
    "sparse": sparse("model.onnx", b"\x08\x09"),
    "deep groups": written("model.onnx", b"\x3a\xff\xff\xff\x7f" * 100_000),
    "text": written("model.onnx", b"<ir_version: 9> agraph (float[N] x) => (float[N] y) {}"),
}  # fmt: skip
