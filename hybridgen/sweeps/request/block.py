"""The blocks `sweep` and `ablate` of an experiment, read and checked before anything else happens.

sweep:
  over:
    model.residual_head.mlp_width: {low: 64, high: 1024, log: true}
    sampler.head_steps: [1, 2, 4, 8]
  objectives: {frechet: min, seconds_per_sample: min}
  sampler: tpe
  trials: 40
ablate:
  variants:
    base: []
    no residual: ["model.residual_head=null"]      # names are keys, so: no_residual
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hybridgen.config.compose import Composed, compose
from hybridgen.config.identity import decides
from hybridgen.config.values import accept, as_tuple, given
from hybridgen.sweeps.queue.settings import AblateOptions, SweepOptions
from hybridgen.sweeps.queue.space import Choices, Dimension, Range, Space, override
from hybridgen.system.errors import UserError, UserErrors, unknown

Direction = Literal["minimize", "maximize"]
DIRECTIONS: Mapping[str, Direction] = {"min": "minimize", "max": "maximize"}
RANGE = ("low", "high", "log", "step")
Compose = Callable[[Sequence[str]], Composed]


@dataclass(frozen=True)
class Experiment:
    """An experiment as the command line named it, with the overrides that all its trials share."""

    name: str
    overrides: tuple[str, ...] = ()
    registries: tuple[Path, ...] = ()

    def compose(self, more: Sequence[str] = ()) -> Composed:
        """The experiment with further overrides."""
        return compose(self.name, [*self.overrides, *more], self.registries)


@dataclass(frozen=True)
class Sweep:
    """A checked block: where to search, for what, and how."""

    space: Space
    objectives: Mapping[str, Direction]
    options: SweepOptions


@dataclass(frozen=True)
class Ablation:
    """A checked block: named variants, each a list of overrides, and what to show of them."""

    variants: Mapping[str, tuple[str, ...]]
    options: AblateOptions


def read_sweep(experiment: Experiment) -> tuple[Composed, Sweep]:
    """The experiment and its block `sweep`; every choice and both ends of every range compose.

    Raises:
        UserErrors: all that is wrong with it, each with its key.
    """
    composed = experiment.compose()
    check = _Check(composed, "sweep", ("over", "objectives"), SweepOptions)
    dimensions = {key: check.dimension(key, value) for key, value in check.mapping("over", "keys").items()}
    space = {key: dimension for key, dimension in dimensions.items() if dimension is not None}
    objectives = {name: check.objective(name, value) for name, value in check.mapping("objectives", "figures").items()}
    options = check.options
    if not check.unread:  # what is not as it was meant cannot be held against the rest
        check.fit(space, objectives, options)
    check.done()
    for key, dimension in space.items():
        for value in dimension.ends:
            check.composes(f"over.{key}", experiment, [override(key, value, dimension)])
    check.done()
    return composed, Sweep(Space(space), objectives, options)


def read_ablation(experiment: Experiment) -> tuple[Composed, Ablation]:
    """The experiment and its block `ablate`; every variant composes.

    Raises:
        UserErrors: all that is wrong with it, each with its key.
    """
    composed = experiment.compose()
    check = _Check(composed, "ablate", ("variants",), AblateOptions)
    variants: dict[str, tuple[str, ...]] = {}
    for name, value in check.mapping("variants", "names").items():
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            variants[name] = tuple(value)
        else:
            check.say(f"variants.{name}", f"{given(value)}; needed: a list of overrides, such as [seed=1]")
    options = check.options
    if variants and options.base not in variants:
        check.say("base", unknown("variant", options.base, variants))
    for name in options.figures:
        check.figure("figures", name)
    check.done()
    for name, texts in variants.items():
        check.composes(f"variants.{name}", experiment, texts)
    check.done()
    return composed, Ablation(variants, options)


class _Check:
    """One block, and what was found wrong with it."""

    def __init__(self, composed: Composed, name: str, own: tuple[str, ...], target: type) -> None:
        self.composed, self.name = composed, name
        self.messages: list[str] = []
        self.unread = False
        block = composed.blocks.get(name)
        if not isinstance(block, dict):
            what = "there is none" if block is None else given(block)
            raise UserError(f"{composed.name}: {name}: {what}; needed: a mapping with {' and '.join(own)}")
        self.block = block
        self.options = self.read_options(own, target)

    def say(self, key: str, message: object) -> None:
        self.messages.append(f"{self.composed.where(f'{self.name}.{key}')}: {message}")

    def refuse(self, key: str, message: object) -> Any:
        """Says what is wrong, and gives nothing."""
        self.say(key, message)
        return None

    def done(self) -> None:
        if self.messages:
            raise UserErrors(self.messages)

    def read_options(self, own: tuple[str, ...], target: type) -> Any:
        """The options that a class declares; its defaults where something is wrong."""
        from hybridgen.config.signature import read

        signature, values = read(f"{target.__module__}.{target.__name__}"), {}
        for key, value in self.block.items():
            if key in signature.options:
                try:
                    values[key] = as_tuple(accept(signature.options[key].type, value))
                except ValueError as error:
                    self.unread = True
                    self.say(key, error)
            elif key not in own:
                self.say(key, unknown("key", key, (*own, *signature.options)))
        return target(**values)

    def mapping(self, key: str, of: str) -> dict[str, Any]:
        """A mapping of the block that may not be empty; null takes an entry out again."""
        value = self.block.get(key)
        if isinstance(value, dict) and any(v is not None for v in value.values()):
            return {name: v for name, v in value.items() if v is not None}
        self.say(key, f"a mapping of {of} is needed here, with at least one")
        return {}

    def dimension(self, key: str, value: Any) -> Dimension | None:
        """A range or choices."""
        here = f"over.{key}"
        if isinstance(value, list) and value:
            if len({repr(v) for v in value}) < len(value):
                return self.refuse(here, f"a choice stands twice in {given(value)}")
            return Choices(tuple(value))
        if not isinstance(value, dict):
            return self.refuse(here, f"{given(value)}; needed: a list of choices, or {{low: …, high: …}}")
        for name in value:
            if name not in RANGE:
                return self.refuse(f"{here}.{name}", unknown("key", name, RANGE))
        return self.range_of(here, value)

    def range_of(self, here: str, value: dict[str, Any]) -> Range | None:
        """A range whose numbers make sense."""
        for name in ("low", "high", "step"):
            number = value.get(name)
            if (number is None and name != "step") or (number is not None and not _is_number(number)):
                return self.refuse(here, f"{name}: {given(number)}; needed: a number")
        found = Range(value["low"], value["high"], value.get("log", False), value.get("step"))
        if not isinstance(found.log, bool):
            return self.refuse(here, f"log: {given(found.log)}; needed: true or false")
        wrong = ""
        if found.low >= found.high:
            wrong = f"low {found.low} is not below high {found.high}"
        elif found.log and found.low <= 0:
            wrong = f"a logarithmic range begins above 0, not at {found.low}"
        elif found.step is not None and (found.log or found.step <= 0):
            wrong = "a step is above 0, and a logarithmic range has none"
        return self.refuse(here, wrong) if wrong else found

    def objective(self, name: str, value: Any) -> Direction:
        """Which way is better."""
        self.figure(f"objectives.{name}", name)
        if value in DIRECTIONS:
            return DIRECTIONS[value]
        self.say(f"objectives.{name}", f"{given(value)}; needed: min or max")
        return "minimize"

    def figure(self, key: str, name: str) -> None:
        """Whether the experiment's metrics give such a figure."""
        from hybridgen.sweeps.request.score_names import check_figure  # late: it imports the metrics, and so torch

        try:
            check_figure(name, self.composed)
        except UserError as error:
            self.say(key, error)

    def fit(self, space: Mapping[str, Dimension], objectives: Mapping[str, str], options: SweepOptions) -> None:
        """What does not go together."""
        if options.pruner is not None and len(objectives) > 1:
            self.say("pruner", f"'{options.pruner}' needs a single objective, and there are {len(objectives)}")
        if options.sampler == "grid":
            for key, dimension in space.items():
                if dimension.grid is None:
                    self.say(f"over.{key}", "a grid needs choices, or a range with a step")
        elif options.trials is None and options.seconds is None:
            self.say("trials", f"the sampler '{options.sampler}' knows no end; give trials or seconds")
        for key in space:
            if decides(key) == "nothing" or key.split(".")[0] in ("metrics", "init"):
                self.say(f"over.{key}", "figures of such trials would not compare; a sweep varies what is compared")

    def composes(self, key: str, experiment: Experiment, overrides: Sequence[str]) -> None:
        """Whether the experiment takes these overrides."""
        try:
            experiment.compose(overrides)
        except UserError as error:
            self.say(key, str(error).replace("override ", "", 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
