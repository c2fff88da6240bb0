"""Grid flow head: moves noise to the residuals of a whole grid together, along a line or a curve.

A transformer over the step's grid, given the backbone's hidden vectors; without a backbone it is the whole generator.

Sources: FlowAR (arXiv:2412.15205), section 3.3, for a flow over each scale; SiT (arXiv:2401.08740) for the same without
a backbone, and section 2 for curves; flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0, for the loss on
the line.
"""

from typing import Annotated

from annotated_types import Ge, Gt

from hybridgen.diffusion.flow_matching import FlowMatching
from hybridgen.diffusion.objectives import Objective
from hybridgen.heads.denoise import DenoisingHead
from hybridgen.heads.grid_net import GridNet, Layout
from hybridgen.heads.normalise import Normalise
from hybridgen.types import TokenSpec


class GridFlowHead(DenoisingHead):
    """Predicts the velocity at x_t = alpha r + sigma noise, where r = (target - mean) / std; on the line, noise - r.

    Args:
        tokens: what the tokenizer offers; gives C and the finest grid.
        width: D, width of the hidden vectors.
        head_width: E, width of the transformer; `heads` must divide it.
        depth: number of transformer blocks.
        heads: number of attention heads.
        mlp_ratio: width inside a block's MLP, in units of `head_width`.
        layout: patches, positions, and how the hidden vectors enter.
        guided_channels: guidance acts on so many of the first channels, and the rest are the conditional half's;
            0: on all.
        objective: what is predicted, on which path, and how it is trained.
        normalise: the target by its measured mean and standard deviation, not at all, or by a constant.
        constant: the standard deviation taken for "constant" (0.6 in HART's release).
    """

    joint = True

    def __init__(  # noqa: PLR0913 - options of a card
        self, tokens: TokenSpec, width: int, *, head_width: Annotated[int, Ge(1)] = 128,
        depth: Annotated[int, Ge(1)] = 4, heads: Annotated[int, Ge(1)] = 4, mlp_ratio: Annotated[float, Gt(0)] = 4.0,
        layout: Layout = Layout(), guided_channels: Annotated[int, Ge(0)] = 0, objective: Objective = FlowMatching(),
        normalise: Normalise = "measured", constant: Annotated[float, Gt(0)] = 0.6,
    ) -> None:  # fmt: skip
        super().__init__(tokens.channels, objective, normalise, constant, guided_channels)
        self.net = GridNet(tokens, objective, width, head_width, depth, heads, mlp_ratio, layout)
