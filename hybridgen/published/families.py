"""The families whose weights are read: one key map a line. A file is known by the signs of exactly one of them."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from hybridgen.published import dit, hart, kl16, llamagen, llamagen_vq, mar, multiscale_vq, sd_vae, var
from hybridgen.published.keymap import KeyMap

FAMILIES: Sequence[KeyMap] = (
    multiscale_vq.KEYS,
    kl16.KEYS,
    *llamagen_vq.KEYS,
    sd_vae.KEYS,
    var.KEYS,
    hart.KEYS,
    llamagen.KEYS,
    mar.KEYS,
    dit.KEYS,
)
PREFIXES = ("", "vae.")  # of a whole tokenizer inside a file of several things


def recognise(tensors: Mapping[str, Tensor]) -> tuple[KeyMap, dict[str, Tensor]] | None:
    """The family of a set of weights, and the weights by the names that the family uses; None: no family knows them."""
    for prefix in PREFIXES:
        inner = {name.removeprefix(prefix): value for name, value in tensors.items()}
        for family in FAMILIES:
            if len(inner) == len(tensors) and family.knows([*inner]):
                return family, inner
    return None


def expected(ours: Sequence[str]) -> list[str]:
    """For each part that these names of ours are of, the family that fills most of it."""
    fills = {family.family: {name for name in ours if family.official(name)} for family in FAMILIES}
    best = {}
    for part in dict.fromkeys(name.partition(".")[0] for name in ours):
        count = {family: sum(name.startswith(f"{part}.") for name in names) for family, names in fills.items()}
        if any(count.values()):
            best[max(count, key=lambda family: (count[family], len(fills[family])))] = part
    return [*best]
