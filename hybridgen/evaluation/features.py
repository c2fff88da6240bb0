"""Networks that compute features of samples: the judge, random convolutions, and Inception as clean-fid feeds it.

Figures over different features have different names and are never mixed: only those over Inception may be called FID.
`feature_sources.py` says which of these networks a metric gets.
"""

import dataclasses
import hashlib
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from torch import Tensor

from hybridgen.data.base import Data
from hybridgen.data.roots import cache_folder
from hybridgen.evaluation.base import Extractor, as_float64
from hybridgen.evaluation.judge import FEATURES, Judge, TrainedJudge
from hybridgen.nn.draws import keyed
from hybridgen.system.errors import UserError

DOWNLOAD = "download"
_INCEPTION_FEATURES = 2048
_MEASURED_ON = 2000  # training samples that give the scale of random features
_FORMAT = 1  # of random features: raise it when others come out


class JudgeFeatures(Extractor):
    """The judge's 96 features, at the size of the data: nothing is resized.

    Args:
        trained: the judge.
        batch: samples at a time.
        device: where to compute.
    """

    def __init__(self, trained: TrainedJudge, batch: int = 250, device: torch.device | str = "cpu") -> None:
        self.net, self.card, self.batch, self.device = trained.net.to(device), trained.card, batch, device
        self.facts = {
            "net": f"judge of {trained.card.data}", "hash": trained.hash, "dim": FEATURES,
            "resize": "none", "range": "0..255", "accuracy_test": trained.card.accuracy_test,
        }  # fmt: skip

    @torch.inference_mode()
    def __call__(self, stored: Shaped[Tensor, "N X *size"]) -> tuple[Float[ndarray, "N F"], Int[Tensor, " N"] | None]:
        """Features in float64, and guessed classes."""
        seen = [self.net(some.to(self.device)) for some in stored.split(self.batch)]
        features = torch.cat([features for features, _ in seen])
        guesses = torch.cat([logits.argmax(1) for _, logits in seen])
        return as_float64(features), guesses.cpu()


class RandomFeatures(Extractor):
    """96 features of convolutions that were never trained: for data without classes, or without a judge.

    They see colour and texture, and compare only with themselves (on random embeddings: arXiv:2002.09797, section 5).

    Args:
        data: gives the samples' shape; the scale of each channel is measured on its training samples.
        batch: samples at a time.
        device: where to compute.
    """

    def __init__(self, data: Data, batch: int = 250, device: torch.device | str = "cpu") -> None:
        spec, train = data.spec, data.split("train")
        with torch.random.fork_rng(devices=[]):  # building draws weights that `initialise` then replaces
            self.net = Judge(dataclasses.replace(spec, classes=("any",)))
        self.net.initialise(keyed("random features"))
        self.net.fit_scale(train.stored(torch.arange(min(_MEASURED_ON, len(train)))))
        self.net.eval().requires_grad_(False).to(device)
        self.batch, self.device = batch, device
        self.facts = {
            "net": "random convolutions", "hash": f"format {_FORMAT}", "dim": FEATURES, "resize": "none",
            "range": "as stored",
        }  # fmt: skip

    @torch.inference_mode()
    def __call__(self, stored: Shaped[Tensor, "N X *size"]) -> tuple[Float[ndarray, "N F"], Int[Tensor, " N"] | None]:
        """Features in float64; it knows no classes."""
        features = torch.cat([self.net(some.to(self.device))[0] for some in stored.split(self.batch)])
        return as_float64(features), None


class InceptionFeatures(Extractor):
    """Inception-v3's 2,048 features after clean-fid's resize to 299 x 299; grey is repeated to three channels.

    Args:
        file: the TorchScript file `inception-2015-12-05.pt`, or `download`.
        batch: samples at a time.
        device: where to compute.

    Raises:
        UserError: the file is absent or is not that network, or the download failed.
    """

    def __init__(self, file: str, batch: int = 50, device: torch.device | str = "cpu") -> None:
        from cleanfid.resize import build_resizer  # imports scipy and more: only where it is used

        path = _downloaded() if file == DOWNLOAD else Path(file).expanduser()
        self.batch, self.device, self.resize = batch, device, build_resizer("clean")
        try:
            content = path.read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # TorchScript is going; the published file is in it
                self.layers = torch.jit.load(str(path), map_location=device).eval().layers
        except OSError as error:
            raise UserError(f"metrics.inception: {path}: cannot be read: {error.strerror}") from None
        except (RuntimeError, AttributeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"metrics.inception: {path}: not clean-fid's Inception file: {reason}") from None
        self.facts = {
            "net": "Inception-v3", "hash": hashlib.sha256(content).hexdigest()[:12], "dim": _INCEPTION_FEATURES,
            "resize": "clean-fid, bicubic with antialias, 299x299", "range": "0..255",
        }  # fmt: skip

    @torch.inference_mode()
    def __call__(self, stored: Shaped[Tensor, "N X *size"]) -> tuple[Float[ndarray, "N F"], Int[Tensor, " N"] | None]:
        """Features in float64; it guesses no classes of ours."""
        seen = []
        for some in stored.split(self.batch):
            coloured = some.expand(-1, 3, -1, -1)  # grey three times, colour as it is
            large = np.stack([self.resize(picture) for picture in rearrange(coloured, "n x h w -> n h w x").numpy()])
            x = rearrange(torch.from_numpy(large), "n h w x -> n x h w").to(self.device)
            seen.append(self.layers.forward((x - 128) / 128).flatten(1))
        return as_float64(torch.cat(seen)), None


def _downloaded() -> Path:
    """clean-fid's file in our cache, fetched whole or not at all."""
    from cleanfid.downloads_helper import check_download_inception

    folder = cache_folder().parent / "inception"
    file = folder / "inception-2015-12-05.pt"
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as fresh:
        try:
            Path(check_download_inception(fresh)).replace(file)
        except OSError as error:  # URLError is one
            raise UserError(
                f"metrics.inception: the download failed ({error})\n  give a local file: metrics.inception=PATH"
            ) from None
    return file
