"""Diffusion head: denoises the residual of each token on a table of 1000 noise levels.

Each token by itself, given the backbone's hidden vector of its position; the network is a small AdaLN MLP.

Sources: HART (arXiv:2410.10812) for the task; MAR (arXiv:2406.11838), "Diffusion Loss", for the network; improved DDPM
(arXiv:2102.09672) for the cosine table and the learned variance; v-prediction (arXiv:2202.00512), appendix D.
Differs from HART and MAR: v by default, because noise prediction on the cosine table diverges unless clipped; measured
standard deviation instead of the constant 0.6.
"""

from typing import Annotated

from annotated_types import Ge, Gt

from hybridgen.diffusion.denoising import Denoising
from hybridgen.diffusion.objectives import Objective
from hybridgen.heads.denoise import DenoisingHead
from hybridgen.heads.normalise import Normalise
from hybridgen.heads.token_net import TokenNet
from hybridgen.types import TokenSpec


class DiffusionHead(DenoisingHead):
    """Predicts noise, v or r at x_t = alpha r + sigma noise, where r = (target - mean) / std; and a variance.

    Args:
        tokens: what the tokenizer offers; gives C.
        width: D, width of the hidden vectors.
        mlp_width: E, width of the stream inside the head.
        inner: width inside a block's MLP, in units of `mlp_width`.
        depth: number of AdaLN blocks.
        objective: what is predicted, on which table, and how it is trained.
        normalise: the target by its measured mean and standard deviation, not at all, or by a constant.
        constant: the standard deviation taken for "constant" (0.6 in HART's release).
    """

    def __init__(
        self, tokens: TokenSpec, width: int, *, mlp_width: Annotated[int, Ge(1)] = 128,
        inner: Annotated[float, Gt(0)] = 2.0, depth: Annotated[int, Ge(1)] = 3, objective: Objective = Denoising(),
        normalise: Normalise = "measured", constant: Annotated[float, Gt(0)] = 0.6,
    ) -> None:  # fmt: skip
        super().__init__(tokens.channels, objective, normalise, constant)
        self.net = TokenNet(tokens.channels, objective, width, mlp_width, inner, depth)
