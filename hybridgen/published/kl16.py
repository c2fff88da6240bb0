"""KL autoencoders in the layout of latent diffusion: MAR's KL-16, and Stable Diffusion's in its first release.

MAR: `kl16.ckpt`, names under `model`, beside them losses of the training (`loss.*`).
"""

from hybridgen.published.conv_rules import MIX, side
from hybridgen.published.keymap import Ignore, KeyMap

KEYS = KeyMap(
    family="kl autoencoder",
    signs=(r"decoder\.mid\.attn_1\.q\.weight", r"quant_conv\.weight"),
    rules=[
        *side("encoder", "down", "downsample"),
        *side("decoder", "up", "upsample"),
        *MIX,
        Ignore(r"loss\..+", "losses of the training: no part of the model"),
    ],
)
