"""Experiment arms: who sees what, decided by a salted hash, and what each arm changes.

The unit is a user or a session, never a request, so that nobody changes arms midway. The salt is the experiment's own,
so that experiments are independent of each other and of the holdout.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from hapenny.core.answer import Answer
from hapenny.core.arms import ARM_SETTINGS, ARM_TARGET
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Text
from hapenny.core.notes import Note
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.tuning.options import ARMS_STAGE
from hapenny.tuning.sets import ParameterSet

METRICS = ("quality", "cost", "length", "ttft", "e2e", "escalated", "failed")
"""What the ledger knows of a request."""
SETTINGS = ("prune.share", "window.limit", "tiers.balanced_from", "tiers.strong_from", "tiers.max_from")
"""Values that stages look up by name."""


class Arm(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One variant. What is left out stays as it is.

    `model`: a tier, alias or model for routed requests; `parameters`: a set of its own; `system`: replaces the system
    prompt; `prompt_version` marks it in keys and ledger; `settings`: values by name (`SETTINGS`; `window.limit` is
    tokens).
    """

    share: float = 1.0
    model: str | None = None
    parameters: ParameterSet | None = None
    system: str | None = None
    prompt_version: str | None = None
    settings: dict[str, float | str | bool] = {}

    def version(self) -> str:
        """A digest of what it changes: an arm that is written anew under its old name gives other answers."""
        changes = msgspec.json.encode(msgspec.structs.replace(self, share=1.0), order="deterministic")
        return hashlib.blake2b(changes, digest_size=8).hexdigest()


class Guardrail(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A metric that must not get worse by more than `margin` (non-inferiority)."""

    metric: str
    margin: float
    better: Literal["higher", "lower"] = "lower"


class Experiment(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Arms over traffic. The first arm is the control.

    `horizon`: units per arm at which the verdict is planned (the test is sharpest there and valid at any time);
    `looks`: planned looks instead, as shares of the horizon.
    """

    name: str
    arms: dict[str, Arm]
    metric: str = "quality"
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["user", "session"] = "session"
    routes: list[str] = []
    salt: str = ""
    alpha: float = 0.05
    horizon: int | None = None
    looks: list[float] = []
    guardrails: list[Guardrail] = []
    secondary: list[str] = []
    running: bool = True
    design: str = ""
    """What it was started as (`assignment`): a file that was changed since then is refused."""

    def problems(self) -> list[str]:
        """What is wrong with it, as `path: what. Fix: how` lines."""
        at, problems = f"experiments.{self.name}", []
        if not self.name.strip():
            problems.append("experiments.name: empty. Fix: a name, which the ledger keeps beside every request")
        if len(self.arms) < 2:
            problems.append(f"{at}.arms: {len(self.arms)} given. Fix: name a control and at least one variant")
        for name, arm in self.arms.items():
            if not 0 < arm.share < math.inf:
                problems.append(f"{at}.arms.{name}.share: {arm.share:g}. Fix: a share above 0")
            problems += [
                f"{at}.arms.{name}.settings: {each!r} is none. Fix: one of {', '.join(SETTINGS)}"
                for each in arm.settings
                if each not in SETTINGS
            ]
        problems += [
            f"{at}: {each!r} is no metric. Fix: one of {', '.join(METRICS)}"
            for each in (self.metric, *(rail.metric for rail in self.guardrails), *self.secondary)
            if each not in METRICS
        ]
        if not 0 < self.alpha < 1:
            problems.append(f"{at}.alpha: {self.alpha:g}. Fix: a level between 0 and 1, e.g. 0.05")
        if self.design and self.design != self.assignment():
            problems.append(
                f"{at}: its arms, shares or salt were changed while its name was in use, which moves sessions from "
                "arm to arm. Fix: put back what it was, or stop it and start the new one under another name"
            )
        if self.looks and (self.horizon is None or sorted(set(self.looks)) != self.looks or self.looks[-1] > 1):
            problems.append(f"{at}.looks: {self.looks}. Fix: rising shares up to 1, and a horizon")
        return problems

    def assignment(self) -> str:
        """A digest of what decides which unit sees what."""
        arms = [(name, arm.share, arm.version()) for name, arm in self.arms.items()]
        told = msgspec.json.encode([self.salt or self.name, self.unit, self.routes, arms], order="deterministic")
        return hashlib.blake2b(told, digest_size=8).hexdigest()

    def shares(self) -> dict[str, float]:
        """The promised share of each arm, adding up to 1."""
        total = sum(arm.share for arm in self.arms.values())
        return {name: arm.share / total for name, arm in self.arms.items()}


def assign(experiment: Experiment, unit: str) -> str:
    """The arm of a unit: the same for ever, independent between experiments."""
    salt = (experiment.salt or experiment.name).encode()
    digest = hashlib.blake2b(unit.encode(), digest_size=8, key=hashlib.blake2b(salt, digest_size=32).digest()).digest()
    at = int.from_bytes(digest, "big") / 2**64
    last = ""
    for name, share in experiment.shares().items():
        last = name
        at -= share
        if at < 0:
            return name
    return last


def read_experiments(path: str) -> list[Experiment]:
    """Experiments of the file that `hapenny experiment` writes; none where there is no file.

    Raises:
        ValueError: the file is not readable as experiments.
    """
    file = Path(path)
    if not file.exists():
        return []
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Experiment])
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}. Fix: start experiments with `hapenny experiment start`") from None


ARM_PARAMETERS: Note[ParameterSet] = Note("arms.parameters", travels=True)
"""The parameter set of an arm, for the parameter stage."""


class Exposure(Decision):
    """The arms this request is in."""

    arms: dict[str, str]


class ArmStage(Stage, spec=ARMS_STAGE):
    """Puts requests into the arms of running experiments and notes the exposure (`exchange.arms`, kept in the ledger).

    What an arm changes is either done here (system prompt) or left as a note for the stage that owns it: the model for
    routing and settings for the others (`core.arms`), parameters for the parameter stage (`ARM_PARAMETERS`).
    `acted` names the experiments whose arms a stage carries out by their name alone (brevity).
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        find: Callable[[str], Target | None] | None = None,
        acted: frozenset[str] = frozenset(),
    ) -> None:
        problems = [problem for experiment in experiments for problem in experiment.problems()]
        problems += [
            f"experiments.{experiment.name}.arms.{name}.model: {arm.model!r} is unknown. Fix: a tier, alias or model"
            for experiment in experiments
            for name, arm in experiment.arms.items()
            if experiment.running and find is not None and arm.model is not None and find(arm.model) is None
        ]
        if problems:
            raise ValueError("\n".join(problems))
        self._experiments = tuple(experiments)
        self._find = find
        self._acted = acted
        self._versions = {(each.name, name): arm.version() for each in experiments for name, arm in each.arms.items()}

    async def decide(self, exchange: Exchange, ask: Ask) -> Exposure | None:
        """None where no running experiment takes this request: no unit, another route, or the holdout."""
        if exchange.holdout:
            return None
        context = exchange.context
        arms = {}
        for experiment in self._experiments:
            unit = context.user if experiment.unit == "user" else context.session or context.user
            if not experiment.running or not unit or (experiment.routes and exchange.route not in experiment.routes):
                continue
            arms[experiment.name] = assign(experiment, f"{context.tenant}\0{unit}")
        return Exposure(arms=arms, reason=",".join(f"{k}={v}" for k, v in arms.items())) if arms else None

    async def apply(self, decision: Exposure, exchange: Exchange, onward: Onward) -> Answer:
        """Applies the arms in the order of the experiments."""
        by_name = {experiment.name: experiment for experiment in self._experiments}
        for name, chosen in decision.arms.items():
            arm = by_name[name].arms[chosen]
            carry(exchange, name, chosen, arm, acted=name in self._acted, version=self._versions[name, chosen])
            if arm.model is not None and self._find is not None:
                target = self._find(arm.model)
                if target is not None:
                    exchange.stage_notes[ARM_TARGET] = target
        return await onward(exchange)


def carry(
    exchange: Exchange, experiment: str, chosen: str, arm: Arm, *, acted: bool = False, version: str = ""
) -> None:
    """Puts a request into an arm: all that the arm changes but the model.

    Args:
        acted: it changes an answer by its name.
        version: the arm's, where that is known already.
    """
    exchange.arms[experiment] = chosen
    policy, notes = exchange.policy, exchange.stage_notes
    if acted or _changes(arm):
        mark = f"{experiment}={chosen}:{version or arm.version()}"
        exchange.policy = msgspec.structs.replace(policy, arms=(*policy.arms, mark))
    if arm.parameters is not None:
        notes[ARM_PARAMETERS] = arm.parameters
    if arm.system is not None:
        exchange.request = msgspec.structs.replace(exchange.request, system=(Text(arm.system),))
    if arm.settings:
        before = notes.get(ARM_SETTINGS)
        notes[ARM_SETTINGS] = {**before, **arm.settings} if before is not None else arm.settings


def _changes(arm: Arm) -> bool:
    """Whether an arm can change an answer and so belongs in the cache key."""
    return bool(arm.model or arm.parameters or arm.system or arm.prompt_version or arm.settings)
