"""The options of parts as version 0.1.0 named them, before related options became nested slots: one table.

`migrate.py` reads it in both directions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Form:
    """The first words of a class.

    Args:
        part: the node that such a class fills.
        sign: options, and the cards in them, by which a node of today is known to be of this class; "": any card.
        moved: first name -> where the option stands today, "group.option".
        absent: first name -> the value written where the group's card has no such option.
        implied: group -> the card that it has where the first words name none.
        nullable: groups that were null where they had the implied card.
    """

    part: str
    sign: Mapping[str, str]
    moved: Mapping[str, str]
    absent: Mapping[str, Any] = field(default_factory=dict)
    implied: Mapping[str, str] = field(default_factory=dict)
    nullable: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The nested slots that the options moved into."""
        return tuple(dict.fromkeys(place.partition(".")[0] for place in self.moved.values()))


def _into(group: str, *names: str, **renamed: str) -> dict[str, str]:
    """Options that moved into a group: under the same name, or first name = name in the group."""
    return {name: f"{group}.{name}" for name in names} | {old: f"{group}.{new}" for old, new in renamed.items()}


_NET = _into("net", "widths", "encoder_blocks", "decoder_blocks")
_LIGHT = {"widths": [32, 96], "encoder_blocks": 1, "decoder_blocks": 2}
_LAYOUT = _into("layout", "patch", "places", told="condition_input")
_DENOISING = _into("objective", "schedule", "prediction", "learned_variance", "clip", "likelihood")

CHANGES: tuple[Form, ...] = (
    Form(
        part="model.tokenizer",
        sign={"phases": ""},
        moved=_NET
        | _into("codebook", "decay", "dead")
        | _into("phi", phi_count="count", phi_ratio="ratio", phi_last="last")
        | _into("phases", "lead", "tail")
        | _into("loss", "commitment", "entropy", "entropy_temperature", "l1", quantizer_weight="quantizer")
        | _into("loss", latent_weight="latent"),
        absent=_LIGHT
        | {"decay": 0.98, "dead": 0.03, "lead": 0.1, "tail": 0.19, "phi_count": 0, "phi_ratio": 0.5}
        | {"phi_last": "never"},
        implied={"net": "light", "loss": "weighted"},
        nullable=("net",),
    ),
    Form(
        part="model.tokenizer",
        sign={"kl_weight": ""},
        moved=_NET,
        absent=_LIGHT,
        implied={"net": "light"},
        nullable=("net",),
    ),
    Form(
        part="model.backbone",
        sign={"positions": "grid"},
        moved=_into("condition", "start", "prefix", "prefix_sees", "padding", "modulation", "pool", "cross")
        | _into("positions", "places", "levels", "rotary", "rotates", "coordinates", "rotary_shift", "prefix_rotary")
        | _into("block", "mlp", "mlp_multiple", "norm", "norm_eps", "norm_gain", "one_norm", "qk_norm")
        | _into("block", "attention_gain", "biases"),
        implied={"condition": "standard", "positions": "grid", "block": "transformer"},
    ),
    Form(
        part="model.backbone",
        sign={"buffer": ""},
        moved=_into("block", "mlp", "dropout"),
        implied={"block": "transformer"},
    ),
    Form(
        part="model.residual_head",
        sign={"layout": "patches", "objective": "flow_matching"},
        moved=_LAYOUT
        | _into("objective", "times", "curve", "prediction", "weight", "span", "unread", clock="time_input"),
        implied={"layout": "patches", "objective": "flow_matching"},
    ),
    Form(
        part="model.residual_head",
        sign={"layout": "patches", "objective": "denoising"},
        moved=_LAYOUT | _DENOISING,
        implied={"layout": "patches", "objective": "denoising"},
    ),
    Form(
        part="model.residual_head",
        sign={"objective": "flow_matching"},
        moved=_into("objective", "times"),
        implied={"objective": "flow_matching"},
    ),
    Form(
        part="model.residual_head",
        sign={"objective": "denoising"},
        moved=_DENOISING,
        implied={"objective": "denoising"},
    ),
)

# Names that an option had in between, after the first ones.
BETWEEN: Mapping[str, Mapping[str, str]] = {
    "model.residual_head": _into("layout", "condition_input") | _into("objective", "time_input"),
}
