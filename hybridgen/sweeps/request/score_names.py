"""Which figures a trial will have, by the metrics that its experiment asks for."""

from collections.abc import Mapping
from typing import Any

from hybridgen.system.errors import UserError, unknown

ALWAYS = ("psnr_residual", "macs", "seconds_per_sample", "parameters/total")
OF_CODES = ("psnr_discrete", "residual_share")  # of tokenizers that have codes
OF_CARDS: Mapping[str, tuple[str, ...]] = {
    "frechet": ("frechet", "frechet_infinity"),
    "frechet_few": ("frechet", "frechet_infinity"),
    "kid": ("kid",),
    "precision_recall": ("precision", "recall"),
    "accuracy": ("accuracy",),
    "memorisation": ("nearest", "near_copies"),
}
DISCRETE = "_discrete"  # the same of the codes without the residual


def known_figures(config: Mapping[str, Any]) -> list[str]:
    """Names of figures, as far as the built-in metrics give them."""
    drawn = [name for card in config["metrics"]["which"] for name in OF_CARDS.get(card, ())]
    both = config["model"]["code_head"] is not None and config["model"]["residual_head"] is not None
    return [*dict.fromkeys([*ALWAYS, *OF_CODES, *drawn, *(f"{name}{DISCRETE}" for name in drawn if both)])]


def check_figure(name: str, config: Mapping[str, Any]) -> None:
    """Raises `UserError` when no trial would have the figure; a metric of the user's own may have any."""
    known, asked = known_figures(config), config["metrics"]["which"]
    if name in known or any(card not in OF_CARDS for card in asked) or config["metrics"]["inception"] is not None:
        return
    if name.startswith(("parameters/", "perplexity/", "lpips", "accuracy/")):
        return
    cards = [card for card, names in OF_CARDS.items() if name.removesuffix(DISCRETE) in names]
    more = f"\n  it comes with the metric {cards[0]}: metrics.which=[{', '.join([*asked, cards[0]])}]" if cards else ""
    raise UserError(unknown("figure", name, known) + more)
