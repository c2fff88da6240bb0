"""Text read byte by byte, by a small transformer that is trained along with the generator.

No vocabulary and no download: UTF-8 has 256 symbols, and every language is spelt in them (ByT5, arXiv:2105.13626).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hybridgen.conditioners.base import Conditioner
from hybridgen.nn.draws import Draws
from hybridgen.system.errors import UserError
from hybridgen.types import Condition

_SYMBOLS = 256


class BytesConditioner(Conditioner):
    """One token for each byte of a text; longer texts are cut.

    Args:
        width: D of the backbone.
        length: P, bytes that a text is cut or padded to.
        depth: transformer blocks.
        heads: of their attention.
        drop: fraction of the training rows whose text is hidden, so that guidance has a null to lean on.
    """

    reads = ("text",)

    def __init__(
        self,
        width: int,
        *,
        length: Annotated[int, Ge(1)] = 64,
        depth: Annotated[int, Ge(0)] = 2,
        heads: Annotated[int, Ge(1)] = 4,
        drop: Annotated[float, Ge(0), Le(1)] = 0.1,
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"heads: {heads} do not divide the width of the condition, {width}")
        self.length, self.drop = length, drop
        self.symbols, self.places = nn.Embedding(_SYMBOLS, width), nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm, self.null = nn.LayerNorm(width), nn.Parameter(torch.zeros(1, width))
        for weight in (self.symbols.weight, self.places, self.null):
            nn.init.normal_(weight, std=0.02)

    def columns(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Bytes, padded on the right with zeros, and where a byte is; an empty text has one byte, a blank."""
        rows = [(text.encode() or b" ")[: self.length] for text in texts]
        text = torch.tensor([[*row, *[0] * (self.length - len(row))] for row in rows], dtype=torch.long)
        return {
            "text": text,
            "text_mask": torch.tensor([len(row) for row in rows])[:, None] > torch.arange(self.length),
        }

    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """Tokens of `batch["text"]`; with `rng` those of a fraction `drop` of the rows become the null's."""
        text = torch.as_tensor(batch["text"], device=self.null.device)
        mask = torch.as_tensor(batch["text_mask"], device=self.null.device).bool()
        tokens = self._read(text, mask)
        null = self.null.expand(1, self.length, -1)
        first = torch.arange(self.length, device=mask.device)[None] == 0
        if rng is not None:
            hidden = rng.uniform(len(text)).to(text.device) < self.drop
            tokens = torch.where(hidden[:, None, None], null, tokens)
            mask = torch.where(hidden[:, None], first, mask)
        nothing = Condition(tokens=null, mask=first, positions=_counted(first))
        return Condition(tokens=tokens, mask=mask, positions=_counted(mask), null=nothing)

    def _read(self, text: Int[Tensor, "B P"], mask: Bool[Tensor, "B P"]) -> Float[Tensor, "B P D"]:
        x = self.symbols(text) + self.places
        for block in self.blocks:
            x = block(x, src_key_padding_mask=~mask)
        return self.norm(x)


def _counted(mask: Bool[Tensor, "B P"]) -> Float[Tensor, "B P 1"]:
    return (mask.cumsum(1) - 1).clamp_min(0)[..., None].float()
