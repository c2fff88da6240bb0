"""Which figures a trial will have, by the metrics that its experiment asks for."""

from collections.abc import Iterable
from dataclasses import replace

from hybridgen.assemble import assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.evaluation.figure_spec import FigureSpec, find_spec, without_residual
from hybridgen.evaluation.metrics import declared_figures, find_metrics
from hybridgen.evaluation.settings import Metrics
from hybridgen.evaluation.whole import FIGURES
from hybridgen.system.errors import UserError, unknown


def known_figures(composed: Composed) -> dict[str, FigureSpec]:
    """The specifications of the figures that a trial of the experiment has, by name; no network is loaded.

    Raises:
        UserErrors: a metric is unknown or does not load.
    """
    return _figures(composed, assemble_settings(composed, "metrics"))


def figure_specs(composed: Composed, names: Iterable[str]) -> dict[str, FigureSpec]:
    """The specifications of the named figures, and of those that they belong to."""
    known = known_figures(composed)
    found = {name: find_spec(name, known.values()) for name in names}
    return known | {name: spec for name, spec in found.items() if spec is not None}


def check_figure(name: str, composed: Composed) -> None:
    """Raises `UserError` when no trial would have the figure; the message says which metric would give it."""
    known = known_figures(composed)
    if find_spec(name, known.values()) is not None:
        return
    raise UserError(unknown("figure", name, [spec for spec in known if "*" not in spec]) + _hint(name, composed))


def _figures(composed: Composed, settings: Metrics) -> dict[str, FigureSpec]:
    drawn = declared_figures(find_metrics(settings, composed.registry))
    model = composed.config["model"]
    both = model["code_head"] is not None and model["residual_head"] is not None
    discrete = [without_residual(spec) for spec in drawn.values() if both and not spec.real]
    return {spec.name: spec for spec in (*FIGURES, *drawn.values(), *discrete)}


def _hint(name: str, composed: Composed) -> str:
    """Which metric, or which setting, gives a figure that the experiment does not have."""
    settings: Metrics = assemble_settings(composed, "metrics")
    asked = settings.which
    for card in composed.registry.names("metric"):
        try:
            specs = _figures(composed, replace(settings, which=(card,)))
        except UserError:  # a card that does not load gives no figure
            continue
        if card not in asked and find_spec(name, specs.values()) is not None:
            return f"\n  it comes with the metric {card}: metrics.which=[{', '.join([*asked, card])}]"
    over_inception = _figures(composed, replace(settings, inception="download"))
    return "\n  it comes with metrics.inception=FILE" if name in over_inception else ""
