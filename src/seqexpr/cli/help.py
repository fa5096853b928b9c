"""How commands take and show their options: values by a name, ranges in words, mistakes in one plain line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from seqexpr.errors import UsageError

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only warnings and errors on standard error.", rich_help_panel="Output")
]
"""The switch that all commands share."""


class Command(TyperCommand):
    """A command whose help shows the name of each value and nothing of its Python type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters: switches have an empty name of their value, arguments no type after their name."""
        return _plain(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click's, but an option that takes one value is not taken twice: the first would be lost silently."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            is_switch = getattr(option, "is_flag", False) or getattr(option, "count", False)
            takes_one = option.param_type_name == "option" and not (option.multiple or is_switch)
            if takes_one and sum(one is option for one in given) > 1:
                raise UsageError(f"{option.opts[0]} is given more than once, and takes one value")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line: `RUN...` for arguments that are needed, `[FASTA]` for others."""
        return [piece.strip("{}").replace("}...", "...") for piece in super().collect_usage_pieces(ctx)]


class Group(TyperGroup):
    """A group of commands whose switches show no type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As for `Command`."""
        return _plain(super().get_params(ctx))


def whole_number(least: int) -> Callable[[Any], int]:
    """A parser of whole numbers of at least `least`."""

    def parse(given: Any) -> int:
        text = str(given)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and int(text) >= least):
            raise typer.BadParameter(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return parse


def share(*, zero: bool = False) -> Callable[[Any], float]:
    """A parser of numbers between 0 and 1, of which 0 itself is one only where `zero` is set."""

    def parse(given: Any) -> float:
        value = _number(given)
        if not (0 < value < 1 or (zero and value == 0)):
            least = "of at least 0 and" if zero else "above 0 and"
            raise typer.BadParameter(f"{str(given)!r} is not a number {least} below 1")
        return value

    return parse


def at_least_zero(given: Any) -> float:
    """Parse a number that is not negative."""
    value = _number(given)
    if not 0 <= value < math.inf:
        raise typer.BadParameter(f"{str(given)!r} is not a number of at least 0")
    return value


def _number(given: Any) -> float:
    try:
        return float(given)
    except ValueError:
        return math.nan


def _plain(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            # Typer shows the Python type of an argument behind its name, and takes no word for it.
            parameter.display_type_rich = lambda ctx: None
    return parameters
