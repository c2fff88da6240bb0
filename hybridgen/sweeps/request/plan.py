"""What a sweep would train, how often each model is reused and how long it takes, before anything runs."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridgen.assemble import assemble_data
from hybridgen.config.compose import Composed
from hybridgen.config.identity import folder_name, retrains, study_key, tokenizer_folder, tokenizer_key
from hybridgen.data.base import Data
from hybridgen.runs.run import STUDIES, TOKENIZERS, Run, runs_in
from hybridgen.sweeps.queue.space import Choices, Dimension, Params, Range, Space
from hybridgen.sweeps.queue.study import Plan
from hybridgen.sweeps.request.block import Ablation, Experiment, Sweep
from hybridgen.sweeps.trial.generators import find_generator, generator_name
from hybridgen.system.text import duration
from hybridgen.training.machine import choose
from hybridgen.workflows.preflight import with_init

MOST_SEEDS = 1000
MOST = 200  # configs that are looked at one by one


def plan_sweep(composed: Composed, sweep: Sweep) -> Plan:
    """The study of a block `sweep`; its name is a hash of the experiment, the space and the search."""
    slow = tuple(key for key in sweep.space.dimensions if retrains(key) == "nothing")
    tasks = sweep.space.grid(slow) if sweep.options.sampler == "grid" else None  # what retrains changes first
    settings = composed.config["train"]["generator"]
    every, last = settings["check_every"], settings["steps"]
    steps = [*range(every, last, every), last] if sweep.options.pruner is not None else []
    how = [*sweep.objectives.items(), sweep.options.sampler, sweep.options.seed]
    name, search = _name(composed, sweep.space, how), _search(sweep.space, how)
    return Plan(name, sweep.space, sweep.objectives, sweep.options, steps, tasks, search=search)


def plan_ablation(composed: Composed, ablation: Ablation, seeds: int) -> Plan:
    """The study of a block `ablate`: every variant with every seed, the variants of one seed together."""
    from hybridgen.sweeps.queue.settings import SweepOptions

    first = composed.config["seed"]
    numbers = range(first, first + seeds)
    # more seeds later are the same study, so the range of seeds is wide from the start
    dimensions: dict[str, Dimension] = {
        "variant": Choices(tuple(ablation.variants)),
        "seed": Range(first, first + MOST_SEEDS - 1),
    }
    space = Space(dimensions, {"variant": {name: texts for name, texts in ablation.variants.items()}})
    tasks: list[Params] = [{"seed": number, "variant": name} for number in numbers for name in ablation.variants]
    name, search = _name(composed, space, ["ablate"]), _search(space, ["ablate"])
    goal, options = {"seconds_per_sample": "minimize"}, SweepOptions(sampler="grid")
    return Plan(name, space, goal, options, (), tasks, ranked=False, search=search)


def _name(composed: Composed, space: Space, how: Sequence[Any]) -> str:
    """The experiment and a hash; or the name of an earlier version's study whose config means the same today."""

    def digest(config: Mapping[str, Any], renew: bool = True) -> str:
        return folder_name(study_key(config, space.to_json(), how, renew), digits=8)

    def same(study: Run) -> bool:
        """By the hash of the search; studies of 0.1.0 have their name alone, which is a hash of everything."""
        stated, name = study.info.get("search"), study.info["tags"]["study"]
        searched = name.endswith(digest(study.config, renew=False)) if stated is None else stated == _search(space, how)
        return searched and digest(study.config) == mine

    mine, studies = digest(composed.config), Path(composed.config["runs"]) / composed.name / STUDIES
    name = f"{composed.name}-{mine}"
    known = map(Run, runs_in(studies)) if os.path.isdir(studies) and not os.path.exists(studies / name) else ()
    return next((study.info["tags"]["study"] for study in known if same(study)), name)


def _search(space: Space, how: Sequence[Any]) -> str:
    """A hash of what is searched, for what and how."""
    return folder_name([space.to_json(), list(how)])


@dataclass
class Needed:
    """Something that trials need trained.

    Args:
        name: its hash.
        composed: an experiment that needs it.
        found: where it lies already; None when it is to be trained.
        uses: trials that need it.
    """

    name: str
    composed: Composed
    found: Path | None
    uses: int = 0


@dataclass
class Outlook:
    """What a study still has to do.

    Args:
        trials: how many.
        exact: whether it is known which; otherwise the counts are upper bounds.
        tokenizers, generators: what they need, by hash.
        keys: swept keys by what a change of them trains anew.
        samples: trials by generator and sampler, as JSON, each with an experiment that draws so.
    """

    trials: int
    exact: bool
    tokenizers: dict[str, Needed] = field(default_factory=dict)
    generators: dict[str, Needed] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    samples: dict[str, tuple[int, Composed]] = field(default_factory=dict)
    unlisted: int = 0  # trials that were not looked at one by one


class Foresight:
    """Finds the hashes that the trials of an experiment have, before any of them runs.

    Args:
        experiment: what is varied.
        root: the runs folder.
    """

    def __init__(self, experiment: Experiment, root: Path) -> None:
        self.experiment, self.root = experiment, root
        self.data: dict[str, Data] = {}

    def look(self, space: Space, todo: Sequence[Params] | None, trials: int) -> Outlook:
        """What trials need: those in `todo`, or as many as `trials` of any parameters."""
        outlook = Outlook(trials, todo is not None)
        for name in space.dimensions:
            kinds = {retrains(text.split("=")[0]) for texts in space.meaning.get(name, {}).values() for text in texts}
            for kind in kinds or {retrains(name)}:
                outlook.keys.setdefault(kind, []).append(name)
        combinations = todo if todo is not None else self._possible(space, trials)
        for params in combinations[:MOST]:
            self._add(outlook, with_init(self.experiment.compose(space.overrides(params))))
        outlook.unlisted = max(0, trials - sum(n for n, _ in outlook.samples.values()))
        return outlook

    def _possible(self, space: Space, trials: int) -> Sequence[Params]:
        """Trials as different as they may be: the combinations of what retrains, where those can be counted."""
        free = {name: (d.ends[0],) for name, d in space.dimensions.items() if retrains(name) == "nothing"}
        grids = {name: d.grid for name, d in space.dimensions.items() if name not in free}
        if any(grid is None for grid in grids.values()):
            return [{name: d.ends[0] for name, d in space.dimensions.items()}]
        fixed = Space({name: Choices(tuple(free.get(name) or grids[name] or ())) for name in space.dimensions})
        return fixed.grid()[: min(trials, MOST)]

    def _add(self, outlook: Outlook, composed: Composed) -> None:
        machine = choose(composed.config["device"], composed.config["precision"])
        node = json.dumps(composed.config["data"], sort_keys=True)
        if node not in self.data:
            self.data[node] = assemble_data(composed)
        key = tokenizer_key(composed.config, self.data[node].fingerprint(), machine.precision)
        folder = tokenizer_folder(key, self.root / TOKENIZERS)
        tokenizer, generator = folder.name, generator_name(composed.config, folder.name)
        if tokenizer not in outlook.tokenizers:
            known = (folder / "model.safetensors").exists()
            outlook.tokenizers[tokenizer] = Needed(tokenizer, composed, folder if known else None)
        if generator not in outlook.generators:
            run = find_generator(generator, self.root)
            outlook.generators[generator] = Needed(generator, composed, run.path if run else None)
        outlook.tokenizers[tokenizer].uses += 1
        outlook.generators[generator].uses += 1
        drawn = json.dumps([generator, composed.config["sampler"], composed.config["metrics"]], sort_keys=True)
        count, first = outlook.samples.get(drawn, (0, composed))
        outlook.samples[drawn] = count + 1, first


def describe(outlook: Outlook, seconds: float | None, shown: Callable[[Path], str] = str) -> str:
    """The plan in words: one sentence, then what is reused how often."""
    most = "" if outlook.exact else "at most "
    parts = [
        _counted("tokenizer", outlook.tokenizers, outlook.keys.get("tokenizer", []), shown, ""),
        _counted("generator", outlook.generators, outlook.keys.get("generator", []), shown, most),
        f"{outlook.trials} evaluations of them{_named(outlook.keys.get('nothing', []))}",
    ]
    about = f"; about {duration(seconds, rough=True)} on this machine" if seconds is not None else ""
    lines = [f"{outlook.trials} trials: {', '.join(parts)}{about}"]
    if outlook.exact:
        for kind, needed in (("tokenizer", outlook.tokenizers), ("generator", outlook.generators)):
            for each in needed.values():
                where = f"found in {shown(each.found)}" if each.found else "to train"
                lines.append(f"  {kind:9}  {each.name}  {where}, for {each.uses} trial{'s' if each.uses > 1 else ''}")
    return "\n".join(lines)


def _counted(kind: str, needed: Mapping[str, Needed], keys: list[str], shown: Callable[[Path], str], most: str) -> str:
    count, missing = len(needed), sum(each.found is None for each in needed.values())
    what = f"{most}{count} {kind}{'s' if count != 1 else ''}"
    if not missing:
        first = next((each.found for each in needed.values() if each.found is not None), None)
        return f"{what} (found{f' in {shown(first)}' if count == 1 and first is not None else ''})"
    found = f", {count - missing} found" if missing < count else ""
    return f"{what}{_named(keys)} to train{found}"


def _named(keys: list[str]) -> str:
    return f" ({', '.join(keys)})" if keys else ""
