"""What a published model costs, as our loop executes it and as the official code would compute it.

Its blocks are alike, so models of one block and of two are counted and the rest is multiplied, which is exact.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridgen.config.compose import compose
from hybridgen.evaluation.sampling_cost import sampling_cost

PART = {"modulations": "backbone", "slots": "backbone", "prefix": "code_head", "times": "residual_head"}
"""Where each of `savings.REASONS` is spent."""
OTHERS = ("tokenizer", "total")


@dataclass(frozen=True)
class Counted:
    """Multiply-accumulates of one row.

    Args:
        parts: that our loop executes.
        savings: that it does not, by reason.
    """

    parts: Mapping[str, int]
    savings: Mapping[str, int]

    @property
    def generator(self) -> int:
        """Executed by all parts but the tokenizer."""
        return sum(count for part, count in self.parts.items() if part not in OTHERS)

    def as_spent(self, reasons: Sequence[str]) -> dict[str, int]:
        """The generator's parts, and their `total`, of a code that does what these reasons say."""
        spent = Counter({part: count for part, count in self.parts.items() if part not in OTHERS})
        for reason in reasons:
            spent[PART[reason]] += self.savings.get(reason, 0)
        return {**spent, "total": sum(spent.values())}


def counted(model: str, overrides: Sequence[str] = ()) -> Counted:
    """Of an experiment under experiments/published/."""
    name = f"published/{model}"
    depths = {
        f"model.{part}.{option}": value
        for part in ("backbone", "residual_head")
        for option, value in (compose(name, overrides).node(f"model.{part}") or {}).items()
        if option == "depth" or option.endswith("_depth")
    }

    def of(**deeper: int) -> tuple[Counter[str], Counter[str]]:
        blocks = [f"{path}={deeper.get(path, 1)}" for path in depths]
        found = sampling_cost(compose(name, [*overrides, *blocks]))
        return Counter(found.macs), Counter(found.savings)

    parts, savings = one = of()
    parts, savings = Counter(parts), Counter(savings)
    for path, depth in depths.items():
        for sums, first, second in zip((parts, savings), one, of(**{path: 2}), strict=True):
            for key in second:
                sums[key] += (depth - 1) * (second[key] - first[key])
    return Counted(dict(parts), dict(savings))
