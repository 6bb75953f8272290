"""Every reader of something from outside: how a hostile case of it is made, and how it is read.

A case is a few files in a folder, the first of which is handed to the reader; a case of a text (a unit, a name, a
command line) is a file that holds it. To add a reader: a function that makes cases, one that reads, a line in READERS.
"""

from __future__ import annotations

import atexit
import csv
import io
import json
import random as randoms
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from tests.fuzz import seeds
from tests.fuzz.mutations import NASTY_NUMBERS, NASTY_TEXTS, damage_bytes, damage_text, damage_tree
from tests.fuzz.protobufs import damage_message

Case: TypeAlias = Mapping[str, bytes]  # path in the folder -> content; the first one is read
Make: TypeAlias = Callable[[randoms.Random], Case]
Read: TypeAlias = Callable[[Path], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A reader under test.

    Args:
        make: a case of it. read: the library's own reader, called with the path of the case's first file.
        names_file: whether a refusal has to name the file (not of texts and command lines).
        seconds: of processor time that a case may take; commands compute something.
        works: what is read is also done, and may start processes.
    """

    name: str
    make: Make
    read: Read
    names_file: bool = True
    seconds: float = 2.0
    works: bool = False


# ---------------------------------------------------------------------------------------------------- making


def of_data(file: str, texts: Sequence[bytes], trees: Sequence[Any]) -> Make:
    """Cases of YAML and JSON: damaged as data or as text."""

    def make(random: randoms.Random) -> Case:
        how = random.random()
        if how < 0.6 or not texts:
            content = _dumped(random, damage_tree(random, random.choice(trees), trees))
            if how > 0.5 or (not texts and how > 0.8):
                content = damage_text(random, content)
        else:
            content = damage_text(random, random.choice(texts), texts)
        return {file: content if random.random() > 0.03 else damage_bytes(random, content)}

    return make


def _dumped(random: randoms.Random, tree: Any) -> bytes:
    text = json.dumps(tree, ensure_ascii=random.random() < 0.8, indent=random.choice((None, None, 1)), default=str)
    return text.encode("utf-8", "surrogatepass")


def of_yaml(file: str, pattern: str) -> Make:
    """Cases of shipped YAML files."""

    def make(random: randoms.Random) -> Case:
        texts, trees = seeds.specs(pattern)
        place = random.randrange(len(texts))
        # a file is called by its id, or it is refused for that
        name = f"{trees[place]['id']}.yaml" if "id" in trees[place] else file
        content = of_data(file, texts[place : place + 1], trees[place : place + 1])(random)[file]
        return {name: content}

    return make


def of_json(file: str, pattern: str) -> Make:
    """Cases of shipped files of coefficients."""

    def make(random: randoms.Random) -> Case:
        tree = random.choice(seeds.coefficients(pattern))
        content = _dumped(random, damage_tree(random, tree))
        return {file: damage_text(random, content if random.random() < 0.2 else _dumped(random, tree))
                if random.random() < 0.5 else content}  # fmt: skip

    return make


def of_text(texts: Sequence[str], most: int = 4) -> Make:
    """Cases of a text that is no file."""

    def make(random: randoms.Random) -> Case:
        text = random.choice(texts)
        for _ in range(random.randint(1, most)):
            place = random.randint(0, len(text))
            piece = random.choice((*NASTY_NUMBERS, *NASTY_TEXTS, random.choice(texts), *"*/+-()=:,|<>.e 09\"'`"))
            text = random.choice(
                (text[:place] + piece + text[place:], text[:place], text[place:], text[:place] + piece,
                 text[:place] + text[place + 1 :], text * 2, piece)
            )  # fmt: skip
        return {"case.txt": text.encode("utf-8", "surrogatepass")}

    return make


def _text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _config_case(random: randoms.Random) -> Case:
    configs = seeds.configs()
    case = of_data("model/config.json", (), configs)(random)
    if random.random() < 0.1:
        beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
        case = {**case, "model/hf_quant_config.json": _dumped(random, damage_tree(random, beside))}
    return case


def _pipeline_case(random: randoms.Random) -> Case:
    files = dict(random.choice(seeds.pipelines()))
    name = random.choice(list(files))
    case = {own: _dumped(random, content) for own, content in files.items()}
    if random.random() < 0.1:
        del case[name]
    elif random.random() < 0.3:
        case[name] = damage_text(random, case[name])
    else:
        case[name] = _dumped(random, damage_tree(random, files[name], list(files.values())))
    if "model_index.json" not in case:
        case = {"model_index.json": b"{}", **case}
    return case


def _gguf_case(random: randoms.Random) -> Case:
    if random.random() < 0.5:
        return {"model.gguf": damage_bytes(random, random.choice(seeds.gguf_files()), seeds.gguf_files())}
    config = dict(seeds.SMALL) | {
        random.choice(("hidden_size", "num_attention_heads", "vocab_size", "num_hidden_layers", "intermediate_size")): (
            random.choice((0, 1, 3, 7, 64, 1000))
        )
    } if random.random() < 0.3 else seeds.SMALL  # fmt: skip
    damaged = damage_tree(random, dict(seeds.GGUF_METADATA))
    return {"model.gguf": seeds.gguf_of(damaged if isinstance(damaged, dict) else {}, _writable(config))}


def _writable(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config if config["num_attention_heads"] else {**config, "head_dim": 8}


def _safetensors_case(random: randoms.Random) -> Case:
    (header,) = seeds.safetensors_headers()
    text = _dumped(random, damage_tree(random, header) if random.random() < 0.6 else header)
    if random.random() < 0.3:
        text = damage_text(random, text)
    length = len(text)
    if random.random() < 0.15:
        length = random.choice((0, 1, length - 1, length + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1))
    content = struct.pack("<Q", length % 2**64) + text
    content = damage_bytes(random, content) if random.random() < 0.2 else content
    case = {"model/model.safetensors": content}
    if random.random() < 0.5:
        case["model/config.json"] = _dumped(random, seeds.SMALL)
    if random.random() < 0.2:
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(header, "model.safetensors")}
        damaged = _dumped(random, damage_tree(random, index))
        case = {"model/model.safetensors.index.json": damaged, **case}
    return case


def _onnx_case(random: randoms.Random) -> Case:
    seed = random.choice(seeds.onnx_files())
    if random.random() < 0.65:
        import onnx

        message = onnx.ModelProto.FromString(seed)
        damage_message(random, message)
        return {"model.onnx": message.SerializeToString()}
    return {"model.onnx": damage_bytes(random, seed, seeds.onnx_files())}


TIMM_TABLE = "benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv"
VIDUR_TABLE = "compute/a100/llama/mlp.csv"


def _table_file(rows: Sequence[seeds.Row]) -> str:
    first = rows[0]
    return TIMM_TABLE if "infer_img_size" in first else VIDUR_TABLE if "n_embd" in first else "table.csv"


def _csv_text(random: randoms.Random, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV, cells of which are damaged."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines: list[list[Any]] = [names, *([row.get(name, "") for name in names] for row in rows)]
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        line = random.choice(lines)
        if not line:
            continue
        place = random.randrange(len(line))
        how = random.randrange(8)
        if how < 5:
            line[place] = random.choice((*NASTY_NUMBERS, *NASTY_TEXTS, "[[", "1;2", "0.5", "-3"))
        elif how == 5:
            del line[place]
        elif how == 6:
            line.insert(place, line[place])
        else:
            lines.append(list(line))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=random.choice(("\n", "\r\n")), escapechar="\\").writerows(lines)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _damaged_csv(random: randoms.Random, rows: Sequence[Mapping[str, Any]]) -> bytes:
    content = _csv_text(random, rows)
    return damage_text(random, content) if random.random() < 0.35 else content


def _measured_csv_case(random: randoms.Random) -> Case:
    rows = random.choice(seeds.tables())
    return {_table_file(rows): _damaged_csv(random, rows)}


def parquet_bytes(random: randoms.Random, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as Parquet, some columns in types that nobody expects."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, Any] = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        try:
            columns[name] = arrow.array(cells)
        except arrow.ArrowException:
            columns[name] = arrow.array([str(cell) for cell in cells])
    for _ in range(random.choice((1, 1, 2, 4))):
        name = random.choice(list(columns))
        columns[name] = _odd_column(random, columns[name], len(rows))
    if random.random() < 0.15:
        columns[random.choice((*NASTY_TEXTS, "x")).replace("\ud800", "")] = columns[random.choice(list(columns))]
    if random.random() < 0.1:
        del columns[random.choice(list(columns))]
    sink = arrow.BufferOutputStream()
    table = arrow.Table.from_arrays(list(columns.values()), names=list(columns))
    if random.random() < 0.05:  # a name twice
        table = table.append_column(table.column_names[0], table.column(0)) if table.num_columns else table
    if random.random() < 0.05:
        table = table.slice(0, 0)
    parquet.write_table(table, sink, compression=random.choice(("none", "snappy", "zstd")))
    return sink.getvalue().to_pybytes()


def _odd_column(random: randoms.Random, column: Any, rows: int) -> Any:
    import pyarrow as arrow

    kinds: tuple[Callable[[], Any], ...] = (
        lambda: column.cast(arrow.string()),
        lambda: column.cast(arrow.string()).dictionary_encode(),
        lambda: arrow.nulls(rows),
        lambda: arrow.nulls(rows, column.type),
        lambda: arrow.array([[cell] for cell in column.to_pylist()]),
        lambda: arrow.array([{"a": cell} for cell in column.to_pylist()]),
        lambda: arrow.array([None, *column.to_pylist()][:rows]),
        lambda: arrow.array([random.choice((2**62, -1, 0, 7)) for _ in range(rows)]),
        lambda: arrow.array([2**64 - 1] * rows, arrow.uint64()),
        lambda: arrow.array([random.choice((1e308, float("nan"), float("inf"), -0.0, 0.5)) for _ in range(rows)]),
        lambda: arrow.array([1.5] * rows).cast(arrow.decimal128(20, 3)),
        lambda: arrow.array([0] * rows, arrow.timestamp("ns")),
        lambda: arrow.array([0] * rows, arrow.duration("s")),
        lambda: arrow.array([0] * rows, arrow.date32()),
        lambda: arrow.array([b"\xff\0"] * rows),
        lambda: arrow.array([True] * rows),
        lambda: arrow.array([random.choice(NASTY_TEXTS).replace("\ud800", "") for _ in range(rows)]),
        lambda: arrow.array([1] * rows, arrow.float16()),
        lambda: arrow.array(["a"] * rows, arrow.large_string()),
    )
    try:
        return random.choice(kinds)()
    except (arrow.ArrowException, ValueError, TypeError, OverflowError):
        return column


def _damaged_parquet(random: randoms.Random, rows: Sequence[Mapping[str, Any]]) -> bytes:
    content = parquet_bytes(random, rows)
    return damage_bytes(random, content) if random.random() < 0.4 else content


def _measured_parquet_case(random: randoms.Random) -> Case:
    rows = random.choice(seeds.tables())
    return {_table_file(rows).removesuffix(".csv") + ".parquet": _damaged_parquet(random, rows)}


def _accuracies_case(random: randoms.Random) -> Case:
    if random.random() < 0.5:
        return {"accuracies.csv": _damaged_csv(random, seeds.ACCURACIES)}
    return {"accuracies.parquet": _damaged_parquet(random, seeds.ACCURACIES)}


def _results_case(random: randoms.Random) -> Case:
    if random.random() < 0.5:
        return {"results.csv": _damaged_csv(random, seeds.RESULTS)}
    return {"results.parquet": _damaged_parquet(random, seeds.RESULTS)}


def _report_case(random: randoms.Random) -> Case:
    reports = seeds.REPORTS
    tree = damage_tree(random, random.choice(reports), reports)
    if random.random() < 0.1:
        tree = [tree, random.choice(reports)]
    content = _dumped(random, tree)
    if random.random() < 0.1:
        content = b"\n".join([content, _dumped(random, random.choice(reports)), content[:50]])
    return {"report.json": damage_text(random, content) if random.random() < 0.3 else content}


def _runs_case(random: randoms.Random) -> Case:
    """A header and a few points of a shipped file of runs."""
    lines = random.choice(seeds.shipped("calibration/measurements/*/*.jsonl")).splitlines()
    chosen = [lines[0], *random.sample(lines[1:], 4)]
    place = random.choice((0, 1, 1, 2, 3, 4))
    if random.random() < 0.7:
        chosen[place] = _dumped(random, damage_tree(random, json.loads(chosen[place]))).replace(b"\n", b" ")
    content = b"\n".join(chosen) + b"\n"
    return {"runs.jsonl": damage_text(random, content) if random.random() < 0.4 else content}


def _trace_case(random: randoms.Random) -> Case:
    return {"trace.csv": damage_text(random, random.choice(seeds.TRACES), seeds.TRACES)}


def _prices_case(random: randoms.Random) -> Case:
    if random.random() < 0.3:
        return {"prices.csv": damage_text(random, random.choice(seeds.PRICE_TABLES))}
    return of_data("prices.yaml", seeds.PRICES, seeds.parsed(seeds.PRICES))(random)


def _graph_case(random: randoms.Random) -> Case:
    return of_data("graph.yaml", seeds.graphs(), seeds.parsed((seeds.GRAPH,)))(random)


def _command_case(random: randoms.Random) -> Case:
    """A command line, one argument a line, with the small files that it may name."""
    import shlex

    words = shlex.split(random.choice(seeds.COMMANDS))
    for _ in range(random.choice((1, 1, 2, 3))):
        if not words:
            break
        place, how = random.randrange(len(words)), random.randrange(8)
        if how < 3:
            words[place] = random.choice((*NASTY_TEXTS, *NASTY_NUMBERS, "1,,2", "1|2", "a:b=c", "x" * 300))
        elif how == 3:
            del words[place]
        elif how == 4:
            words.insert(place, random.choice(shlex.split(random.choice(seeds.COMMANDS))))
        elif how == 5:
            words[place] = words[place] + random.choice((*NASTY_NUMBERS, ",", ":layers=0", ":layers=1_0|2", "|", "="))
        elif how == 6:
            words[place] = words[place][: random.randint(0, len(words[place]))]
        else:
            other = random.randrange(len(words))
            words[place], words[other] = words[other], words[place]
    slow = {"serve", "measure", "calibrate"} & set(words)
    # no system hands a NUL to a program
    text = "\0\n".join(word.replace("\0", "") for word in words if word not in slow)
    return {"command.txt": text.encode("utf-8", "surrogatepass")}


def _body_case(random: randoms.Random) -> Case:
    """A request: the route in the first line, the body below."""
    slow = random.random() < 0.05  # whole plans and simulations take a second each
    route, body = random.choice([own for own in seeds.BODIES if (own[0] in ("plan", "simulate")) == slow])
    if random.random() < 0.06:
        seed = random.choice(seeds.onnx_files())
        return {"request.bin": b"models/onnx\n" + damage_bytes(random, seed)}
    content = _dumped(random, damage_tree(random, body, [own for _, own in seeds.BODIES]))
    if random.random() < 0.3:
        content = damage_text(random, content)
    return {"request.bin": route.encode() + b"\n" + content}


# --------------------------------------------------------------------------------------------------- reading


def _load_model(path: Path) -> object:
    from perfmodel.graphs import load_model

    return load_model(str(path))


def _load_folder(path: Path) -> object:
    return _load_model(path.parent)


def _read_hardware(path: Path) -> object:
    from perfmodel.hardware_profile import read_hardware
    from perfmodel.yaml_strict import read_yaml

    return read_hardware(read_yaml(path), path.stem)


def _read_fabric(path: Path) -> object:
    from perfmodel.hardware_profile import read_fabric
    from perfmodel.yaml_strict import read_yaml

    return read_fabric(read_yaml(path), path.stem)


def _read_engine(path: Path) -> object:
    from perfmodel.serving.engines import load_engine

    return load_engine(str(path))


def _read_sweep(path: Path) -> object:
    from perfmodel.sweeping.spec import read_sweep

    return read_sweep(path)


def _read_prices(path: Path) -> object:
    from perfmodel.prices import read_prices

    return read_prices(str(path))


def _read_coefficients(path: Path) -> object:
    from perfmodel.coefficient_files import read_coefficients

    return read_coefficients(path)


def _read_engine_file(path: Path) -> object:
    from perfmodel.serving.engine_files import read_engine_file

    return read_engine_file(path)


def _read_trace(path: Path) -> object:
    from perfmodel.serving.trace_files import read_trace, trace_workload

    return trace_workload(read_trace(path))


def _read_measurements(path: Path) -> object:
    from perfmodel.calibration.sources import read_measurements

    return read_measurements(path)


def _read_report(path: Path) -> object:
    from perfmodel.calibration.sources import read_measurements
    from perfmodel.calibration.sources.load_tests import Told

    return read_measurements(path, told=Told(hardware="h100-sxm", model="llama-3.1-8b", engine="vllm@0.8.5"))


def _read_anchors(path: Path) -> object:
    from perfmodel.calibration.anchor_files import read_anchors

    return read_anchors(path)


def _read_runs(path: Path) -> object:
    from perfmodel.calibration.sources import read_measurements
    from perfmodel.measuring.run_files import read_runs

    read_runs(path)
    return read_measurements(path, "runs")


def _read_accuracies(path: Path) -> object:
    from perfmodel.planning.accuracy_tables import read_accuracies

    return read_accuracies(path)


def _read_results(path: Path) -> object:
    from perfmodel.planning.conditions import read_condition
    from perfmodel.planning.table_files import open_table, read_batches
    from perfmodel.planning.table_views import View, select_rows

    table = open_table(path)
    for batch in read_batches(table, tuple(table.kinds)):
        assert batch.keys() == table.kinds.keys()
    numbers = [name for name, kind in table.kinds.items() if kind in ("integer", "real")]
    condition = read_condition("tp < 4", table.kinds) if "tp" in numbers else None
    if numbers:
        axes = ((numbers[0], "min"), (numbers[-1], "max"))
        select_rows(table, View(columns=tuple(table.kinds), condition=condition, sort=axes, pareto=axes, top=3))
    return None


def _read_unit(path: Path) -> object:
    from perfmodel.errors import UnitError
    from perfmodel.units import DIMENSIONS, parse_quantity

    text = _text_of(path)
    for dimension in DIMENSIONS:
        try:
            parse_quantity(text, dimension)
        except UnitError:
            continue
    return None


def _read_size(path: Path) -> object:
    from perfmodel.sizes import evaluate, parse_size, symbols_of

    dim = parse_size(_text_of(path))
    return str(dim), evaluate(dim, dict.fromkeys(symbols_of(dim), 1))


def _read_overrides(path: Path) -> object:
    from perfmodel.cli.options import split_models
    from perfmodel.graphs import load_model

    return [load_model(name) for name in split_models("llama-3.1-8b:" + _text_of(path))[:3]]


def _read_model_name(path: Path) -> object:
    from perfmodel.graphs import load_model

    return load_model(_text_of(path).lstrip("/"))  # a whole path that someone names is theirs to read, and is read


def _read_condition(path: Path) -> object:
    from perfmodel.planning.conditions import columns_of, read_condition

    kinds = {"tp": "integer", "ttft_s": "real", "fits": "truth", "hardware": "text"}
    return list(columns_of(read_condition(_text_of(path), kinds)))  # type: ignore[arg-type]


def _read_command(path: Path) -> object:
    """The command line in the case's own folder; what ends with another code than 0, 1 or 2 is a finding."""
    from click.testing import CliRunner

    from perfmodel.cli import main

    _command_files(path.parent)
    result = CliRunner().invoke(main, _text_of(path).split("\0\n") if path.stat().st_size else [], standalone_mode=True)
    if result.exit_code not in (0, 1, 2) or "Internal error" in result.output or "Traceback" in result.output:
        told = result.exception if isinstance(result.exception, Exception) else None
        raise AssertionError(f"exit code {result.exit_code}: {result.output[-2000:]}") from told
    return result.exit_code


def _command_files(folder: Path) -> None:
    import yaml

    rows = {"accuracies.csv": seeds.ACCURACIES, "results.csv": seeds.RESULTS, "table.csv": seeds.tables()[13]}
    for name, own in rows.items():
        (folder / name).write_bytes(_csv_text(_still, own))
    (folder / "trace.csv").write_bytes(seeds.TRACES[0])
    (folder / "sweep.yaml").write_text(yaml.safe_dump(seeds.SWEEPS[1]))
    (folder / "chip.yaml").write_bytes(seeds.specs("hardware_specs/gpu/*.yaml")[0][0])


class _Still(randoms.Random):
    """Draws that change nothing."""

    def choice(self, seq: Any) -> Any:
        return seq[0]


_still = _Still(0)


def _send_request(path: Path) -> object:
    """A request to the application with its workers; one that the server cannot deal with is a finding."""
    route, _, body = path.read_bytes().partition(b"\n")
    kind = "application/octet-stream" if route == b"models/onnx" else "application/json"
    response = _client().post(f"/api/v1/{route.decode()}", content=body, headers={"content-type": kind})
    told = response.json()
    if response.status_code >= 500:
        raise AssertionError(f"status {response.status_code}: {str(told)[:2000]}")
    return told if response.status_code < 400 else None


@cache
def _client() -> Any:
    from fastapi.testclient import TestClient

    from perfmodel.web.app import create_app
    from perfmodel.web.limits import Limits

    limits = Limits(
        workers=1, combinations=12, loads=16, candidates=8, simulated_requests=100_000, simulated_tokens=20_000_000,
        config_bytes=100_000, onnx_bytes=200_000, quick_seconds=30.0,
    )  # fmt: skip
    client = TestClient(create_app(limits), base_url="http://127.0.0.1", raise_server_exceptions=False)
    client.__enter__()
    atexit.register(client.__exit__, None, None, None)
    return client


READERS: tuple[Reader, ...] = (
    Reader(name="config.json", make=_config_case, read=_load_folder),
    Reader(name="diffusers folder", make=_pipeline_case, read=_load_folder),
    Reader(name="model spec", make=of_yaml("model.yaml", "model_specs/*.yaml"), read=_load_model),
    Reader(name="graph", make=_graph_case, read=_load_model),
    Reader(name="onnx", make=_onnx_case, read=_load_model),
    Reader(name="gguf", make=_gguf_case, read=_load_model),
    Reader(name="safetensors", make=_safetensors_case, read=_load_model),
    Reader(name="model name", make=of_text(("llama-3.1-8b", "resnet-50", "upload:00", "a/b.json", "x.gguf", "x.onnx",
                                            *(f"timm:{name}" for name in seeds.TIMM_NAMES),
                                            *(f"torch:{name}" for name in seeds.TORCH_FILES))),
           read=_read_model_name, names_file=False),
    Reader(name="overrides", make=of_text(("layers=16", "hidden=2048:heads=16", "layers=8|16", "ffn=8192:vocab=1000",
                                           "rope_theta=0.5", "kv_heads=1:tie_word_embeddings=true", "layers=3-4-6-3")),
           read=_read_overrides, names_file=False),
    Reader(name="chip", make=of_yaml("chip.yaml", "hardware_specs/[!f]*/*.yaml"), read=_read_hardware),
    Reader(name="fabric", make=of_yaml("fabric.yaml", "hardware_specs/fabric/*.yaml"), read=_read_fabric),
    Reader(name="engine", make=of_yaml("engine.yaml", "engine_specs/*.yaml"), read=_read_engine),
    Reader(name="sweep", make=of_data("sweep.yaml", (), seeds.SWEEPS), read=_read_sweep),
    Reader(name="prices", make=_prices_case, read=_read_prices),
    Reader(name="coefficients", make=of_json("coefficients.json", "calibration/coefficients/[!s]*.json"),
           read=_read_coefficients),
    Reader(name="engine coefficients", make=of_json("serving.json", "calibration/coefficients/serving-*.json"),
           read=_read_engine_file),
    Reader(name="measurements csv", make=_measured_csv_case, read=_read_measurements),
    Reader(name="measurements parquet", make=_measured_parquet_case, read=_read_measurements),
    Reader(name="anchors", make=_measured_csv_case, read=_read_anchors),
    Reader(name="load test", make=_report_case, read=_read_report),
    Reader(name="runs", make=_runs_case, read=_read_runs),
    Reader(name="trace", make=_trace_case, read=_read_trace),
    Reader(name="accuracies", make=_accuracies_case, read=_read_accuracies),
    Reader(name="results", make=_results_case, read=_read_results),
    Reader(name="condition", make=of_text(("tp in (1, 2) and ttft_s < 2", "not (fits = true or hardware != l4)",
                                           "`tp` >= 4", "hardware in ('l4', \"h100-sxm\")", "((tp = 1))")),
           read=_read_condition, names_file=False),
    Reader(name="unit", make=of_text(("3.35 TB/s", "80 GiB", "2 us", "700 W", "1_000", "2.29 USD/h", "4 nm",
                                      "989 TFLOP/s")),
           read=_read_unit, names_file=False),
    Reader(name="size", make=of_text(("2*batch*tokens + 1", "(a+b)**4//2", "batch**16", "-x*(y-3)", "(a+b+c)*(d+e+f)")),
           read=_read_size, names_file=False),
    Reader(name="command line", make=_command_case, read=_read_command, names_file=False, seconds=30, works=True),
    Reader(name="request", make=_body_case, read=_send_request, names_file=False, seconds=30, works=True),
)  # fmt: skip
BY_NAME = {reader.name: reader for reader in READERS}
