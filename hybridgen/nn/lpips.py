"""The network of LPIPS, a distance that follows what people see, from weights at hand: nothing is downloaded.

Source: LPIPS, arXiv:1801.03924, version 0.1, by its authors' package, which holds the linear heads. The convolutions
come from a file: torchvision's AlexNet or VGG16, trained on ImageNet.
"""

import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hybridgen.system.errors import UserError

Features = Literal["alex", "vgg"]
TITLES: dict[str, str] = {"alex": "AlexNet", "vgg": "VGG16"}
SMALLEST: dict[str, int] = {"alex": 32, "vgg": 16}  # pooling leaves nothing of smaller images


def lpips_network(file: str, backbone: Features, option: str) -> Any:
    """The frozen network; called with two batches (B, 3, H, W) in [-1, 1] it gives their distances (B, 1, 1, 1).

    Args:
        file: the convolutions, keys `features.<i>.weight`, as .safetensors or as torchvision's .pth.
        backbone: whose convolutions these are.
        option: that named the file; errors begin with it.

    Raises:
        UserError: the file is absent, damaged, or holds other weights.
    """
    import lpips  # late: importing it takes seconds

    path = Path(file).expanduser()
    features = {key: value.float() for key, value in _weights(path, option).items() if key.startswith("features.")}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws weights that are then replaced
        warnings.simplefilter("ignore")  # lpips calls torchvision by names that are going away
        net = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    try:
        # lpips cuts the convolutions into slices but keeps the layers' numbers: slice2.3 is features.3
        for part in (getattr(net.net, f"slice{i}") for i in range(1, 6)):
            for name, layer in part.named_children():
                _load(layer, f"features.{name}.", features)
    except RuntimeError:
        title = TITLES[backbone]
        raise UserError(f"{option}: {path}: not {title}'s convolutions, features.0.weight and so on") from None
    return net.eval().requires_grad_(False)  # lpips leaves its linear heads trainable


def _load(layer: nn.Module, start: str, features: dict[str, Tensor]) -> None:
    layer.load_state_dict({k.removeprefix(start): v for k, v in features.items() if k.startswith(start)})


def _weights(path: Path, option: str) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{option}: {path}: cannot be read: {error}") from None
    except Exception as error:  # unpickling refuses in many ways; all mean: not weights
        raise UserError(f"{option}: {path}: not a weights file: {str(error).splitlines()[0]}") from None
    if not isinstance(weights, dict):
        raise UserError(f"{option}: {path}: not a weights file: it holds a {type(weights).__name__}")
    return weights
