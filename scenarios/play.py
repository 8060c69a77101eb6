"""Finds the scenarios, and plays them."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from types import ModuleType
from typing import Any

import scenarios
from hapenny.core.clock import RealClock
from hapenny.simulation import loop
from scenarios.scene import Scenario, Scene, stage_folder


def found() -> dict[str, ModuleType]:
    """Every scenario's module by its name, in the order of the skills."""
    modules = {}
    for info in pkgutil.walk_packages(scenarios.__path__, "scenarios."):
        if not info.ispkg and info.name.count(".") == 2:
            module = importlib.import_module(info.name)
            modules[info.name.rpartition(".")[2]] = module
    return dict(sorted(modules.items(), key=lambda item: (item[1].SCENARIO.skill, item[0])))


def play(module: ModuleType, *, broken: bool = False) -> None:
    """Runs a scenario. `broken`: with its feature taken away. Raises `AssertionError` where it fails."""
    scenario: Scenario = module.SCENARIO
    with stage_folder() as folder:

        async def main(clock: Any) -> None:
            await module.run(Scene(clock, folder, scenario.without if broken else None, broken=broken))

        if scenario.real:
            asyncio.run(main(RealClock()))
        else:
            loop.run(main, seed=7)
