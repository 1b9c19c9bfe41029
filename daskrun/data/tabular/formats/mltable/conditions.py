"""Conditions as an MLTable file writes them: ``col("age") > 32 and col("city") == "UK"``."""

from __future__ import annotations

import ast
import operator
from datetime import datetime
from typing import Any

from daskrun.data.tabular.conditions.expression import Column, Condition, as_condition

_COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MIRRORED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
MOST_PARTS = 200
"""Comparisons and negations of one condition; each is a level of what is made of them."""


def condition_of(text: str) -> Condition:
    """Return the condition of a text; ValueError says what of it is not known.

    Examples
    --------
    >>> condition_of('col("age") > 32 and not col("city") == "UK"')
    (dataset['age'] > 32) & ~(dataset['city'] == 'UK')
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} is no condition: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{text[:60]!r}… is nested too deep") from None
    if sum(isinstance(each, ast.Compare | ast.UnaryOp) for each in ast.walk(tree)) > MOST_PARTS:
        raise ValueError(f"{text[:60]!r}… has more than {MOST_PARTS} comparisons")
    return as_condition(_made(tree), "filter")


def _made(node: ast.expr) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [as_condition(_made(each), "filter") for each in values]
            whole = parts[0]
            for part in parts[1:]:
                whole = whole & part if isinstance(op, ast.And) else whole | part
            return whole
        case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
            return as_condition(_made(left), "filter") & _made(right)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return as_condition(_made(left), "filter") | _made(right)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=inside):
            return ~as_condition(_made(inside), "filter")
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            one, other = _made(left), _made(right)
            if not isinstance(one, Column):
                one, other = other, one
                op = _MIRRORED.get(type(op), type(op))()
            return _COMPARE[type(op)](one, other)
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as name)]):
            return Column(name)
        case ast.Call(func=ast.Name(id="datetime"), args=[*numbers]):
            return datetime(*[_made(each) for each in numbers])  # noqa: DTZ001  (as it is written)
        case ast.Constant(value=value):
            return value
    raise ValueError(
        f"{ast.unparse(node)!r} is not known. Write col('name') > 3, with and, or, not"
    )
