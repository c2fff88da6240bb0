"""The metrics that `metrics.which` asks for, what they will measure, and why one of them cannot."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hybridgen.assemble import assemble_part
from hybridgen.config.compose import compose_part
from hybridgen.config.registry import Registry
from hybridgen.data.base import Data
from hybridgen.evaluation.base import Metric
from hybridgen.evaluation.feature_sources import FromInception
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.settings import Metrics
from hybridgen.system.errors import UserError, UserErrors

_PATH = "metrics.which"


@dataclass(frozen=True)
class Chosen:
    """A metric that is asked for.

    Args:
        card: its name.
        title: what it is called when it is left out.
        metric: built.
        features: card and options of its features as JSON; metrics with equal ones share an extractor. Empty without
            features.
    """

    card: str
    title: str
    metric: Metric
    features: str


def find_metrics(settings: Metrics, registry: Registry) -> list[Chosen]:
    """The metrics of the cards that `metrics.which` names; those over Inception that `metrics.inception` adds follow.

    No network is loaded.

    Raises:
        UserErrors: every card that is unknown, has wrong options or does not load, and figures that clash.
    """
    found, added, wrong = list[Chosen](), list[Chosen](), list[str]()
    for card in dict.fromkeys(settings.which):
        try:
            found.append(_built(card, card, card, registry))
            if settings.inception is not None and _is_doubled(found[-1].metric):
                more = {"card": card, "features": "inception"}
                added.append(_built(card, f"{card} over Inception", more, registry))
        except UserErrors as errors:
            wrong += errors.messages
        except UserError as error:
            wrong.append(f"{_PATH}: {error}")
    wrong += _clashes([*found, *added])
    if wrong:
        raise UserErrors(wrong)
    return [*found, *added]


def declared_figures(chosen: Iterable[Chosen]) -> dict[str, FigureSpec]:
    """The specifications of all figures of these metrics, by name."""
    return {spec.name: spec for each in chosen for spec in each.metric.figures}


def why_not(chosen: Chosen, data: Data, settings: Metrics) -> str:
    """Why a metric has to be left out for these data, before any network is loaded; empty where it need not."""
    metric, features, medium = chosen.metric, chosen.metric.features, data.medium.name
    for media in (metric.media, () if features is None else features.media):
        if media and medium not in media:
            return f"it serves the medium {' or '.join(media)}, and these data are of the medium {medium}"
    if metric.needs_classes and not data.spec.classes:
        return "these data have no classes"
    return "" if features is None else features.why_not(settings)


def too_few(chosen: Chosen, drawn: int, reference: int, dim: int) -> str:
    """Why a metric cannot measure so many samples over so many features; empty when it can."""
    try:
        chosen.metric.check(drawn, reference, dim)
    except UserError as error:
        return str(error).splitlines()[0]
    return ""


def _built(card: str, title: str, value: Any, registry: Registry) -> Chosen:
    composed = compose_part("metric", value, _PATH, registry)
    metric: Metric = assemble_part(composed, _PATH, slot="metric")
    if not getattr(metric, "figures", ()):
        raise UserError(f"{card}: its class declares no `figures`")
    _check_fid(card, metric)
    node = composed.node(_PATH)
    return Chosen(card, title, metric, _key(metric, node))


def _key(metric: Metric, node: Any) -> str:
    """Card and options of the features; of features that no option names, the class."""
    if metric.features is None:
        return ""
    kind = type(metric.features)
    return json.dumps(node.get("features", f"{kind.__module__}.{kind.__qualname__}"), sort_keys=True)


def _is_doubled(metric: Metric) -> bool:
    return metric.on_inception and not isinstance(metric.features, FromInception)


def _check_fid(card: str, metric: Metric) -> None:
    """Only figures over Inception's features may be called FID."""
    if isinstance(metric.features, FromInception):
        return
    for spec in metric.figures:
        if "fid" in spec.name.lower().replace("/", "_").split("_") or "FID" in spec.title:
            raise UserError(f"{card}: only figures over Inception may be called FID, and '{spec.name}' is over others")


def _clashes(chosen: Iterable[Chosen]) -> list[str]:
    """Figures that two metrics of different classes both measure; of one class, the later card counts."""
    owners, found = dict[str, Chosen](), list[str]()
    for each in chosen:
        for spec in each.metric.figures:
            first = owners.setdefault(spec.name, each)
            if type(first.metric) is not type(each.metric):
                found.append(f"{_PATH}: {first.card} and {each.card} both measure '{spec.name}'; ask for one of them")
    return found
