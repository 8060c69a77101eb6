"""The table of provider kinds: each file of a backend declares its own, here they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, Union

from hapenny.backends import anthropic, bedrock, bedrock_openai, openai, sagemaker, simulated_kind
from hapenny.backends.contract import Backend
from hapenny.backends.fitting import Find
from hapenny.backends.kind import BackendOptions, Kind, PathFamily
from hapenny.core.clock import Clock

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        simulated_kind.KIND,
        bedrock.KIND,
        openai.KIND,
        anthropic.KIND,
        bedrock_openai.KIND,
        sagemaker.KIND,
    )
}

if TYPE_CHECKING:
    BackendSection: TypeAlias = BackendOptions
else:
    BackendSection: TypeAlias = Union[tuple(kind.options for kind in KINDS.values())]  # noqa: UP007
    """One part of `backends`: the options of the kind that it names."""


def build(name: str, options: Any, clock: Clock, find: Find | None = None) -> Backend:
    """The backend `name` as its configuration describes it.

    Args:
        name: as configured.
        options: of its kind.
        clock: the deployment's clock.
        find: the card of a model, for service rules; the package's catalog unless given.

    Raises:
        ValueError: with the field, the value and a fix.
    """
    return KINDS[options.kind].build(name, options, clock, find)


def passing(family: PathFamily) -> list[str]:
    """The kinds that may know paths of a family though no codec does, the likeliest first."""
    ranked = [(kind.passes[family], kind.name) for kind in KINDS.values() if family in kind.passes]
    return [name for _, name in sorted(ranked)]
