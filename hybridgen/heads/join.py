"""The input of a residual head: the hidden vector, the drawn code's embedding, and what all codes painted."""

from collections.abc import Callable
from typing import Final, Literal

from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.conv import CONV
from hybridgen.nn.positions import repeat_rows, take, to_sequence
from hybridgen.nn.resize import shrink
from hybridgen.types import Step, TokenSpec

JoinKind = Literal["hidden", "add", "norm", "rms_norm"]

_NORMS: Final[dict[str, Callable[[int], nn.Module]]] = {
    "norm": nn.LayerNorm,
    "rms_norm": lambda width: nn.RMSNorm(width, eps=1e-6),
}


class Join(nn.Module):
    """The residual head's input (HART, arXiv:2410.10812: norm of hidden + embedding of the drawn code).

    Args:
        tokens: what the tokenizer offers.
        width: D.
        kind: hidden alone | plus the embedded vectors | the layer norm, or the root mean square norm, of that sum.
        conv: add a 3 x 3 convolution of what the codes painted: neighbours' codes say much about a residual.
    """

    def __init__(self, tokens: TokenSpec, width: int, kind: JoinKind, conv: bool) -> None:
        super().__init__()
        self.kind, self.scales = kind, tokens.scales
        self.norm = _NORMS[kind](width) if kind in _NORMS else None
        layer = CONV[len(tokens.grid)]
        self.conv = (
            nn.Sequential(layer(tokens.channels, width, 3, padding=1), nn.SiLU(), layer(width, width, 1))
            if conv
            else None
        )

    def forward(
        self,
        hidden: Float[Tensor, "rows k D"],
        embedded: Float[Tensor, "B n D"] | None,
        painted: Float[Tensor, "B C *grid"],
        step: Step,
    ) -> Float[Tensor, "rows n D"]:
        """(rows, n, D), or (rows, 1, D) if one hidden vector per step is all that is known."""
        rows, x = hidden.shape[0], hidden
        if embedded is not None and self.kind != "hidden":
            x = x + repeat_rows(embedded, rows)
        if self.norm is not None:
            x = self.norm(x)
        if self.conv is not None:
            near = to_sequence(shrink(self.conv(painted), self.scales[step.scale]))
            x = x + repeat_rows(take(near, step.positions), rows)
        return x
