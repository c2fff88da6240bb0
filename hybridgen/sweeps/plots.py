"""The study in pictures, by Optuna's own plots: history, importances, front, parallel coordinates."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.files import atomic_path
from hybridgen.sweeps.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST = 2  # complete trials below which there is nothing to see


def draw_plots(study: Study, folder: Path) -> dict[str, Path]:
    """PNG files in `folder`, by heading; those that the study has too little for are left out."""
    import matplotlib

    matplotlib.use("Agg")
    from optuna.visualization import matplotlib as drawn

    names = [*study.plan.directions]
    if len([t for t in study.counted() if t.state.name == "COMPLETE"]) < FEWEST:
        return {}
    made: dict[str, Path] = {}

    def add(title: str, name: str, draw: Callable[[], Any]) -> None:
        file = folder / f"{name}.png"
        if _draw(draw, file):
            made[title] = file

    if len(names) == 2:
        add("Front", "pareto", lambda: drawn.plot_pareto_front(study.study, target_names=names))
    for i, name in enumerate(names):
        end = "" if len(names) == 1 else f"_{i}"
        about: dict[str, Any] = {"target": _value(i), "target_name": name}
        alone: dict[str, Any] = about if end else {"target_name": name}  # of a single objective it knows the best
        add(f"History of {name}", f"history{end}", partial(drawn.plot_optimization_history, study.study, **alone))
        add(f"Importance for {name}", f"importances{end}", partial(drawn.plot_param_importances, study.study, **about))
        add(
            f"Parallel coordinates, {name}",
            f"parallel{end}",
            partial(drawn.plot_parallel_coordinate, study.study, **about),
        )
    return made  # fmt: skip


def _value(index: int) -> "Callable[[FrozenTrial], float]":
    return lambda trial: float(trial.values[index])


def _draw(draw: Callable[[], Any], file: Path) -> bool:
    """Whether the plot could be drawn: Optuna refuses, for example, importances of parameters that never varied."""
    from matplotlib import pyplot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            axes = draw()
        except (ValueError, RuntimeError, ZeroDivisionError, IndexError):
            return False
        figure = (axes if hasattr(axes, "figure") else axes[0]).figure
        figure.set_size_inches(8, 4.5)
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=110, bbox_inches="tight", metadata={"Software": None})
        pyplot.close("all")
    return True
