"""Damage done to sound files: to trees of data, to tables, to text and to bytes.

Each function takes a `random.Random`, so that a case is its seed and nothing else; under hypothesis the draws are its
own (`st.randoms`), and a failure shrinks.
"""

from __future__ import annotations

import copy
import gzip
import random as randoms
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

NASTY_NUMBERS = ("0", "-1", "-0.0", "1e400", "-1e400", "1e-400", "9" * 40, "1" + "0" * 5000, "0x10", "1_000", "NaN",
                 "Infinity", "-Infinity", ".inf", ".nan", "1e", "--1", "9223372036854775808", "18446744073709551616",
                 "4294967296", "2147483648", "1e308", "5e-324", "true", "null", "0.1", "1e18")  # fmt: skip
NASTY_TEXTS = ("", " ", "\0", "\ufeff", "\u202e\u2066abc", "e\u0301" * 40, "\u0000a", "\U0010ffff", "x" * 10_000,
               "../../etc/passwd",
               "/dev/zero", "~", "a\nb", "\r", "\t", "=1+1", "%s%n", "{0.__class__}", "${HOME}", "\x1b[31m", "١٢٣",
               "½",
               "&a", "*a", "!!python/object/apply:os.system ['true']", "---", "null", "true", "1e400",
               "🤗")  # fmt: skip
NASTY_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 10**9, 10**12, 2**31, 2**63, 2**64, 10**30, -(10**9), 0.5, 1e308,
    5e-324, -2.5,
    float("nan"), float("inf"), float("-inf"), [], {}, [[]], [0], [None], {"": 0}, {"a": {"b": [1]}}, [1] * 100,
    *NASTY_TEXTS,
)  # fmt: skip
NASTY_BYTES = (b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\r", b"\n", b'"',
               b"'",
               b"[", b"]", b"{", b"}", b",", b":", b"- ", b"? ", b"&a ", b"*a", b"!!", b"%YAML 1.1\n", b"---\n",
               b"...\n",
               b"\x1f\x8b", b"PAR1", b"\x89PNG\r\n\x1a\n", b"GGUF", b"\0" * 64, b"[" * 2000, b"{\"a\":" * 2000,
               b"- " * 2000, b"9" * 5000)  # fmt: skip
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WIDTHS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}


def places_of(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of every value in a tree."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        inside = list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder))
        found += [(holder, key) for key, _ in inside]
        waiting += [value for _, value in inside if isinstance(value, dict | list)]
    return found


def damage_tree(random: randoms.Random, tree: Any, others: Sequence[Any] = ()) -> Any:
    """A copy of data with one to four mistakes in it; `others`: trees whose parts may turn up in it."""
    holder = [copy.deepcopy(tree)]
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        places = places_of(holder)
        where, key = random.choice(places)
        how = random.randrange(10)
        if how < 3:
            where[key] = copy.deepcopy(random.choice(NASTY_VALUES))
        elif how == 3:
            where[key] = _other_kind(random, where[key])
        elif how == 4 and where is not holder:
            del where[key]
        elif how == 5:
            at, other = random.choice(places)
            where[key] = copy.deepcopy(at[other])
        elif how == 6 and others:
            at, other = random.choice(places_of([random.choice(others)]))
            where[key] = copy.deepcopy(at[other])
        elif how == 7 and isinstance(where, dict):
            where[random.choice((*NASTY_TEXTS, f"{key}x", str(key).upper(), str(key)[:-1]))] = where.pop(key)
        elif how == 8 and isinstance(where, list) and where is not holder:
            where[key:key] = [copy.deepcopy(where[key])] * random.choice((1, 2, 50, 1000))
        elif isinstance(where[key], int | float) and not isinstance(where[key], bool):
            where[key] = _other_number(random, where[key])
        else:
            where[key] = [where[key]]
    return holder[0]


def _other_kind(random: randoms.Random, value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return random.choice((str(value), float(value) + 0.5, bool(value), [value], str(value) + " GB", -value))
    if isinstance(value, str):
        return random.choice(
            (len(value), [value], {value: value}, value.upper(), value + "\0", value * 50, list(value))
        )
    if isinstance(value, list):
        return random.choice(
            (value[:1], value * 2, dict(enumerate(map(str, value))), str(value), value[0] if value else 0)
        )
    return list(value.items()) if isinstance(value, dict) else {}


def _other_number(random: randoms.Random, value: float) -> Any:
    return random.choice(
        (value + 1, value - 1, -value, value * 2, value * 10**6, value * 10**12, 0, value // 2, value / 3)
    )


def damage_text(random: randoms.Random, text: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Text with one to four mistakes: lines, numbers, keys, encodings, an end that is missing."""
    for _ in range(random.choice((1, 1, 2, 3, 4))):
        text = random.choice(_TEXT_DAMAGES)(random, text, others)
    return text[:2_000_000]


def _numbers(random: randoms.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    decoded = text.decode("utf-8", "surrogateescape")
    found = list(_NUMBER.finditer(decoded))
    if not found:
        return text + random.choice(NASTY_NUMBERS).encode()
    hit = random.choice(found)
    changed = decoded[: hit.start()] + random.choice(NASTY_NUMBERS) + decoded[hit.end() :]
    return changed.encode("utf-8", "surrogateescape")


def _lines(random: randoms.Random, text: bytes, others: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    place, how = random.randrange(len(lines)), random.randrange(6)
    if how == 0:
        del lines[place]
    elif how == 1:
        lines[place:place] = [lines[place]] * random.choice((1, 1, 2, 300))
    elif how == 2:
        lines[place] = b" " * random.choice((1, 2, 7)) + lines[place]
    elif how == 3:
        lines[place] = lines[place].strip()
    elif how == 4 and others:
        lines[place] = random.choice(random.choice(others).split(b"\n"))
    else:
        other = random.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    return b"\n".join(lines)


def _words(random: randoms.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    place = random.randint(0, len(text))
    word = random.choice((*NASTY_BYTES, *(own.encode("utf-8", "surrogatepass") for own in NASTY_TEXTS)))
    return text[:place] + word + text[place + random.choice((0, 0, 1, len(word))) :]


def _keys(random: randoms.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    """A pair of JSON or a line of YAML twice."""
    pairs = list(re.finditer(rb'"[^"\n]{1,60}": ?(?:"[^"\n]*"|[-\d.eE]+|true|false|null)', text))
    if not pairs:
        return _lines(random, text, ())
    hit = random.choice(pairs)
    return text[: hit.start()] + hit[0] + b", " + text[hit.start() :]


def _ends(random: randoms.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    return text[: random.randint(0, len(text))]


def _encodings(random: randoms.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    if random.random() < 0.7:
        return _words(random, text, ())
    decoded = text.decode("utf-8", "replace")
    return random.choice(
        (
            lambda: decoded.encode("utf-16"),
            lambda: decoded.encode("utf-32"),
            lambda: decoded.encode("utf-8-sig"),
            lambda: decoded.encode("latin-1", "replace"),
            lambda: decoded.encode("utf-7"),
            lambda: gzip.compress(text, mtime=0),
            lambda: text.replace(b"\n", b"\r\n"),
            lambda: text.replace(b"\n", b"\r"),
        )
    )()


_TEXT_DAMAGES: tuple[Callable[[randoms.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _numbers, _numbers, _lines, _lines, _words, _words, _keys, _ends, _encodings,
)  # fmt: skip


def damage_bytes(random: randoms.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Bytes with one to six mistakes: bits, lengths, blocks that moved, an end that is missing."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        how = random.randrange(8)
        place = random.randint(0, len(data))
        if how == 0 and data:
            data[place % len(data)] ^= 1 << random.randrange(8)
        elif how == 1 and data:
            data[place % len(data)] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif how == 2:
            del data[place:]
        elif how == 3:
            del data[place : place + random.choice((1, 4, 8, 100))]
        elif how == 4:
            width = random.choice((1, 2, 4, 8))
            largest = 256**width
            number = random.choice(
                (0, 1, largest - 1, largest // 2, largest // 2 - 1, random.randrange(largest), 65536)
            )
            data[place : place + width] = struct.pack(_WIDTHS[width], number % largest)
        elif how == 5 and others:
            other = random.choice(others)
            begin = random.randint(0, len(other))
            data[place:place] = other[begin : begin + random.choice((1, 16, 200, len(other)))]
        elif how == 6:
            data[place:place] = random.choice(NASTY_BYTES)
        else:
            begin = random.randint(0, len(data))
            data[place:place] = data[begin : begin + random.choice((1, 8, 64))]
    return bytes(data[:4_000_000])
