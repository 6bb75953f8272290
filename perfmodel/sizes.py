"""Exact integer polynomials in named sizes: the dimensions of a graph's tensors.

A tensor of a language model has the shape (batch, tokens, 4096); `batch` and `tokens` stay names until
someone asks for numbers. A `Size` is a polynomial with rational coefficients in such names, kept in normal
form, so that equal dimensions compare equal and a shape mismatch is found without any numbers. Evaluating it
with ints gives an int, with numpy arrays an array, with sympy symbols an expression: one graph serves a single
prediction, a sweep and a closed form.

    >>> batch, tokens = size("batch"), size("tokens")
    >>> str(batch * (tokens + 1) * 2)
    '2*batch*tokens + 2*batch'
    >>> (batch * tokens).evaluate({"batch": 8, "tokens": 128})
    1024

May import: errors.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache, reduce
from math import lcm, prod
from typing import Any, TypeAlias, cast

from perfmodel.errors import GraphError

Monomial: TypeAlias = tuple[tuple[str, int], ...]  # (("batch", 1), ("tokens", 2)), sorted by name
# guards against hostile graph files; no shape needs more
MAX_POWER = 16
MAX_PRODUCTS = 1000  # of terms, in one multiplication
MAX_BITS = 512


class Size:
    """A polynomial in named sizes; immutable, hashable, in normal form."""

    __slots__ = ("_hash", "symbols", "terms")

    terms: tuple[tuple[Monomial, Fraction], ...]
    symbols: frozenset[str]  # the names it depends on

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        kept = tuple(sorted((monomial, value) for monomial, value in terms.items() if value))
        object.__setattr__(self, "terms", kept)
        object.__setattr__(self, "symbols", frozenset(name for monomial, _ in kept for name, _ in monomial))
        object.__setattr__(self, "_hash", hash(kept))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Size is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return (Size, (dict(self.terms),))

    def __add__(self, other: Dim) -> Dim:
        total = dict(self.terms)
        for monomial, value in _terms(other):
            total[monomial] = total.get(monomial, Fraction(0)) + value
        return _simplify(total)

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return Size({monomial: value * other for monomial, value in self.terms}) if other else 0
        total: dict[Monomial, Fraction] = {}
        for left, left_value in self.terms:
            for right, right_value in _terms(other):
                powers = dict(left)
                for name, power in right:
                    powers[name] = powers.get(name, 0) + power
                monomial = tuple(sorted(powers.items()))
                total[monomial] = total.get(monomial, Fraction(0)) + left_value * right_value
        return _simplify(total)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    def __floordiv__(self, other: int) -> Dim:
        """Exact division by an integer: the coefficients are rational, so no remainder is lost."""
        return _simplify({monomial: value / other for monomial, value in self.terms})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.terms == other.terms

    def __hash__(self) -> int:
        return cast(int, self._hash)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"size({str(self)!r})"

    def __str__(self) -> str:
        """The polynomial in Python syntax, highest powers first; `parse_size` reads it back."""

        def order(term: tuple[Monomial, Fraction]) -> tuple[int, Monomial]:
            return (-sum(power for _, power in term[0]), term[0])

        text = ""
        for monomial, value in sorted(self.terms, key=order):
            sign = " - " if value < 0 else " + "
            text += (sign if text else sign.strip().strip("+")) + _term(monomial, abs(value))
        return text

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value for the given ints, arrays or sympy symbols.

        Raises:
            GraphError: a name has no value, or ints give something that is not an integer.
        """
        if not self.symbols <= values.keys():
            missing = sorted(self.symbols - values.keys())
            raise GraphError(
                f"no value for {', '.join(missing)} in the size {self}; bind it, e.g. bind({missing[0]}=1)"
            )
        numerator, denominator = _compiled(self)
        total = numerator(values)
        if denominator == 1:
            return total
        if isinstance(total, int):
            if total % denominator:
                raise GraphError(f"the size {self} is not an integer at {dict(values)}")
            return total // denominator
        return total / denominator


Dim: TypeAlias = int | Size


def size(name: str) -> Size:
    """The polynomial that is just this name."""
    return Size({((name, 1),): Fraction(1)})


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dimensions; 1 for none."""
    return _product(tuple(dims))


@lru_cache(maxsize=65536)  # a model's tensors have few shapes, and each is asked for again and again
def _product(dims: tuple[Dim, ...]) -> Dim:
    numbers = prod(dim for dim in dims if not isinstance(dim, Size))
    total: Dim = 1
    for dim in dims:
        if isinstance(dim, Size):
            total = total * dim
    return total * numbers


@lru_cache(maxsize=65536)
def _compiled(dim: Size) -> tuple[Callable[[Mapping[str, Any]], Any], int]:
    """(function of the values, denominator): the polynomial as Python code, for it is evaluated very often."""
    code, denominator = _python(dim)
    return eval(f"lambda v: {code}", {"__builtins__": {}}), denominator


def _python(dim: Size) -> tuple[str, int]:
    denominator = lcm(*(value.denominator for _, value in dim.terms))
    terms = [
        "*".join([str(int(value * denominator)), *(f"v[{name!r}]" for name, power in monomial for _ in range(power))])
        for monomial, value in dim.terms
    ]
    return "+".join(terms), denominator


def compile_sizes(dims: Iterable[Dim | float]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """One function that evaluates many sizes at once, for ints or arrays; divisions are floating-point ones.

    >>> compile_sizes([parse_size("batch*tokens"), 7])({"batch": 2, "tokens": 3})
    [6, 7]
    """
    codes = []
    for dim in dims:
        code, denominator = _python(dim) if isinstance(dim, Size) else (repr(dim), 1)
        codes.append(code if denominator == 1 else f"({code})/{denominator}")
    evaluator: Callable[[Mapping[str, Any]], list[Any]] = eval(f"lambda v: [{','.join(codes)}]", {"__builtins__": {}})
    return evaluator


def symbols_of(dim: Dim) -> frozenset[str]:
    """The names a dimension depends on; none for an int."""
    return dim.symbols if isinstance(dim, Size) else frozenset()


def evaluate(dim: Dim, values: Mapping[str, Any]) -> Any:
    """A dimension's value: itself for an int, else `Size.evaluate`."""
    return dim.evaluate(values) if isinstance(dim, Size) else dim


def bind(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """Replace some names by ints or other sizes; names without a value stay.

    >>> str(bind(parse_size("batch*tokens + 1"), {"batch": 4}))
    '4*tokens + 1'
    """
    if not isinstance(dim, Size):
        return dim
    total: Dim = 0
    for monomial, value in dim.terms:
        term: Dim = 1
        for name, power in monomial:
            term = term * product([values.get(name, size(name))] * power)
        scaled = term * value.numerator
        total = total + (scaled if value.denominator == 1 else _divide(scaled, value.denominator))
    return total


def _divide(dim: Dim, divisor: int) -> Dim:
    return dim // divisor if isinstance(dim, Size) else _simplify({(): Fraction(dim, divisor)})


@lru_cache(maxsize=4096)
def parse_size(text: str) -> Dim:
    """Read `str(size)` back: integers, names, `+ - * // **` and brackets.

    Raises:
        GraphError: anything else.
    """
    if len(text) > 2000:
        raise GraphError(f"a size of {len(text)} characters is not a size")
    try:
        return _from_ast(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GraphError(f"cannot read '{text}' as a size; write e.g. 2*batch*tokens + 1") from None


def _from_ast(node: ast.expr) -> Dim:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return size(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _from_ast(node.operand) * -1
    if isinstance(node, ast.BinOp):
        left, right = _from_ast(node.left), _from_ast(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return _guarded_product(left, right)
        if isinstance(node.op, ast.FloorDiv) and isinstance(right, int) and right > 0:
            return _divide(left, right)
        if isinstance(node.op, ast.Pow) and isinstance(right, int) and 0 <= right <= MAX_POWER:
            one: Dim = 1
            return reduce(_guarded_product, [left] * right, one)
    raise ValueError("not a polynomial")


def _guarded_product(left: Dim, right: Dim) -> Dim:
    """The product, unless it shows that a short text is growing into something huge."""
    terms = [tuple(_terms(dim)) for dim in (left, right)]
    powers = sum(max((power for monomial, _ in own for _, power in monomial), default=0) for own in terms)
    bits = sum(max((value.numerator.bit_length() for _, value in own), default=0) for own in terms)
    if len(terms[0]) * len(terms[1]) > MAX_PRODUCTS or powers > MAX_POWER or bits > MAX_BITS:
        raise ValueError("too large")
    return left * right


def _terms(value: Dim) -> Iterable[tuple[Monomial, Fraction]]:
    return value.terms if isinstance(value, Size) else ((((), Fraction(value))),)


def _simplify(terms: Mapping[Monomial, Fraction]) -> Dim:
    kept = {monomial: value for monomial, value in terms.items() if value}
    if not kept:
        return 0
    if kept.keys() == {()} and kept[()].denominator == 1:
        return int(kept[()])
    return Size(kept)


def _term(monomial: Monomial, value: Fraction) -> str:
    factors = [name if power == 1 else f"{name}**{power}" for name, power in monomial]
    if value.numerator != 1 or not factors:
        factors.insert(0, str(value.numerator))
    text = "*".join(factors)
    return f"({text})//{value.denominator}" if value.denominator != 1 else text
