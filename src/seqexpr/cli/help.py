"""Show a command's help: options that are switches have no type there."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only warnings and errors on standard error.", rich_help_panel="Output")
]
"""The switch that all commands share."""


class Command(TyperCommand):
    """A command whose switches show no type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, those that are switches with an empty name of their value."""
        return _untyped(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands whose switches show no type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As for `Command`."""
        return _untyped(super().get_params(ctx))


def _untyped(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters
