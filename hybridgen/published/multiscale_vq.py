"""The multi-scale VQ tokenizers of VAR and HART, whose weights have the same names; HART's with a discriminator beside.

VAR: `vae_ch160v4096z32.pth`. HART: the folder `tokenizer` of its releases, names beginning with `vae.` and `disc.`.
"""

from hybridgen.published.conv_rules import MIX, side
from hybridgen.published.keymap import Ignore, KeyMap, Move, layer

KEYS = KeyMap(
    family="multi-scale vq",
    signs=(r"quantize\.quant_resi\.qresi_ls\.0\.weight", r"decoder\.mid\.attn_1\.qkv\.weight"),
    rules=[
        *side("encoder", "down", "downsample", ("qkv",)),
        *side("decoder", "up", "upsample", ("qkv",)),
        *MIX,
        Move(r"quantize\.embedding\.weight", "tokenizer.quantizer.codebook.weight"),
        layer(r"quantize\.quant_resi\.qresi_ls\.(\d+)", r"tokenizer.quantizer.phi.\1.conv"),
        Ignore(r"quantize\.ema_vocab_hit_SV", "how often codes were used in training: no part of the model"),
        Ignore(r"disc\..+", "the discriminator: it judged pictures in training, no part of the model"),
    ],
)
