"""YAML from outside: what values mean, and that every kind of mistake comes back with its line."""

import math
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import PerfmodelError, SpecError
from perfmodel.outside_files import MAX_SPEC_BYTES
from perfmodel.yaml_strict import (
    MAX_PROBLEMS,
    load_yaml,
    parse_yaml,
    read_leaves,
    read_list,
    read_text,
    read_yaml,
    require_leaves,
)


def found(text: str) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.key, problem.message) for problem in parse_yaml(text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.35e12", 3.35e12), ("1e9", 1e9), ("1E-6", 1e-6), (".5", 0.5), ("5.", 5.0), ("-3", -3), ("+4", 4),
        ("007", 7), ("true", True), ("False", False), ("null", None), ("~", None), ("''", ""), (".inf", math.inf),
        ("-.inf", -math.inf), ("9" * 5000, math.inf),
        # text, although YAML 1.1 reads them as booleans, base-60 numbers, dates, octal or grouped numbers
        ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("12:30", "12:30"), ("1:2:3", "1:2:3"), ("2022-10-01",) * 2,
        ("0x1f", "0x1f"), ("0o17", "0o17"), ("1_000", "1_000"), ("=", "="), ("1.2.3", "1.2.3"), ("e5", "e5"),
        ("'1e9'", "1e9"), ('"true"', "true"), ("80 GiB", "80 GiB"), ("١٢", "١٢"),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text, value):
    assert parse_yaml(f"key: {text}").data == {"key": value}


def test_not_a_number_is_read_as_such():
    assert math.isnan(parse_yaml("key: .nan").data["key"])


def test_structure_and_lines():
    document = parse_yaml("a:\n  b: 1\n\n  c: [x, {d: 2}]\n# comment\ne: |\n  two\n  lines\n")
    assert document.data == {"a": {"b": 1, "c": ["x", {"d": 2}]}, "e": "two\nlines\n"}
    assert not document.problems
    assert [document.line(*keys) for keys in (("a",), ("a", "b"), ("a", "c", 1, "d"), ("e",))] == [1, 2, 4, 6]
    assert document.line("a", "nowhere", "at", "all") == 1
    assert document.line("nowhere") == 0


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfid: x\n")
    assert load_yaml(path).data == {"id": "x"}


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a", "first in line 1"),
        ("x:\n  a: 1\n  a: 2\n", 3, "x.a", "first in line 2"),
        ("a: &anchor 1\n", 1, "a", "anchors"),
        ("a: [1]\nb: *a\n", 2, "b", "aliases"),
        ("a: 1\nb: !!python/object/apply:os.system [echo]\n", 2, "b", "tag"),
        ("a: !custom 1\n", 1, "a", "tag"),
        ("a: 1\n[1, 2]: 3\n", 2, "", "plain text"),
        ("a: 1\n---\nb: 2\n", 2, "", "second document"),
        ("a: 1\n\tb: 2\n", 2, "", "not valid YAML"),
        ("a: [1, 2\n", 2, "", "not valid YAML"),
        ("a: b: c\n", 1, "", "not valid YAML"),
        ("a: 1\nb: \x07\n", 2, "", "character"),
        ("", 0, "", "is empty"),
        ("# only a comment\n", 0, "", "is empty"),
        ("a: " + "[" * 100, 1, "a.0.0", "nested deeper"),
        ("\n".join(" " * depth + "a:" for depth in range(40)), 22, "a.a.a", "nested deeper"),
    ],
)
def test_mistakes_have_their_line(text, line, key, words):
    problems = found(text)
    assert [(line, key)] == [place[:2] for place in problems]
    assert words in problems[0][2]


def test_all_mistakes_come_at_once_and_in_order():
    text = "a: 1\nb: &x 2\na: 3\nc: *x\nd: !!str 4\n"
    assert [line for line, _, _ in found(text)] == [2, 3, 4, 5]
    document = parse_yaml(text, "some.yaml")
    document.report("is wrong too", "d")
    with pytest.raises(SpecError) as error:
        document.refuse()
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("some.yaml:2: b:")


def test_an_alias_bomb_does_not_expand():
    levels = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))
    document = parse_yaml("a0: &a0 lol\n" + levels)
    assert len(str(document.data)) < 20_000
    with pytest.raises(SpecError, match="more mistakes"):
        document.refuse()


def test_a_file_that_is_wrong_throughout_does_not_fill_the_screen():
    with pytest.raises(SpecError) as error:
        parse_yaml("a: 1\n" * 5000).refuse()
    assert len(error.value.problems) == MAX_PROBLEMS + 1
    assert "4899 more" in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nname: caf\xe9\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# " + b"x" * MAX_SPEC_BYTES)
    for path, words in ((latin, ":2: is not UTF-8"), (large, "larger than 5 MB"), (tmp_path, "cannot be read"),
                        (tmp_path / "none.yaml", "No such file"), ("a\0b", "cannot be read")):  # fmt: skip
        assert read_yaml(path).problems
        with pytest.raises(SpecError, match=words):
            load_yaml(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "secret.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    with pytest.raises(SpecError, match="Permission denied"):
        load_yaml(path)


def test_leaves_unknown_keys_and_shapes():
    document = parse_yaml("memory:\n  bandwith: 1\n  type: HBM\nsources: {any: thing}\npower: 3\nlinks:\nzzz: 1\n")
    known = ("memory.bandwidth", "memory.type", "sources", "power.tdp", "links.name")
    assert read_leaves(document, known, ("sources",)) == {"memory.type": "HBM", "sources": {"any": "thing"}}
    assert [(problem.line, problem.key) for problem in document.problems] == [
        (2, "memory.bandwith"), (5, "power"), (6, "links"), (7, "zzz"),
    ]  # fmt: skip
    messages = [problem.message for problem in document.problems]
    assert "did you mean 'bandwidth'?" in messages[0]
    assert "section" in messages[1]
    assert "empty" in messages[2]
    assert "known: links, memory, power, sources" in messages[3]


def test_a_dotted_key_is_not_a_section():
    document = parse_yaml("memory.type: HBM\n")
    assert read_leaves(document, ("memory.type",)) == {}
    assert document.problems


def test_missing_keys_are_reported_once():
    document = parse_yaml("a: {b: }\nc: {}\n")
    leaves = read_leaves(document, ("a.b", "c.d", "e"))
    require_leaves(document, leaves, ("a.b", "c.d", "e"))
    assert [(problem.key, problem.line) for problem in document.problems] == [("a.b", 1), ("c.d", 2), ("e", 0)]


def test_text_and_lists():
    document = parse_yaml("a: 8480\nb: ' '\nc: true\nd: [x, [y]]\ne: text\n")
    assert read_text(document, 8480, "a") == "8480"
    assert read_text(document, " ", "b") == read_text(document, True, "c") == ""
    assert read_list(document, ["x", ["y"]], "d") == ("x", "")
    assert read_list(document, "text", "e") == ()
    assert [problem.key for problem in document.problems] == ["b", "c", "d.1", "e"]


@pytest.mark.parametrize(
    "text", ["a: 1\nb: [x, {c: 1e9}]\n", "a: 1\na: 2\n", "a: &x 1\n", "a: 1\nb: \x07\n", "", "a: [1"]
)
def test_the_python_loader_reads_the_same(text, monkeypatch):
    fast = parse_yaml(text)
    monkeypatch.setattr("perfmodel.yaml_strict._LOADER", yaml.SafeLoader)
    slow = parse_yaml(text)
    assert (fast.data, fast.lines) == (slow.data, slow.lines)
    assert [problem.key for problem in fast.problems] == [problem.key for problem in slow.problems]


@given(st.text(max_size=200))
def test_any_text_gives_data_or_problems(text):
    document = parse_yaml(text)
    try:
        document.refuse()
    except PerfmodelError:
        return
    assert document.data is not None


SCALARS = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False))
KEYS = st.from_regex("[a-z]{1,8}", fullmatch=True)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=3),
        max_leaves=10,
    )
)
def test_flow_style_reads_back(value):
    def write(item):
        if isinstance(item, dict):
            return "{" + ", ".join(f"{key}: {write(inner)}" for key, inner in item.items()) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(map(write, item)) + "]"
        return str(item).lower() if isinstance(item, bool) else repr(item)

    assert parse_yaml(f"key: {write(value)}").data == {"key": value}
