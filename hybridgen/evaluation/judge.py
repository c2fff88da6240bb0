"""The judge: a small classifier of a data set, whose features and guesses measure generated samples offline.

It takes the place of Inception where there is none; its figures are named after it and never called FID.

Sources: the Fréchet distance over features of a classifier of the same data set is that of arXiv:1706.08500 with
another network; four convolutions are as small as still reached 0.9 accuracy on Fashion-MNIST.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from einops import reduce
from jaxtyping import Float, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn

from hybridgen.data.base import Data
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec

FEATURES = 96
_WIDTHS, _STRIDES = (24, 48, FEATURES, FEATURES), (2, 1, 2, 1)
_FORMAT = "hybridgen.judge.1"
_SHIPPED = Path(__file__).parent / "judges"


class Judge(nn.Module):
    """Four convolutions with batch norm and ReLU (two of stride 2), the mean over space, a linear layer.

    Args:
        spec: what it looks at: channels, number of dimensions, classes.
    """

    mean: Tensor  # (X,) of the training samples, as stored
    std: Tensor  # (X,)

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        dims = len(spec.size)
        if not 1 <= dims <= 3:
            raise ValueError(f"a judge looks at 1 to 3 dimensions, not {dims}")
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        self.register_buffer("mean", torch.full((spec.channels,), 127.5))
        self.register_buffer("std", torch.full((spec.channels,), 127.5))
        self.blocks = nn.Sequential()
        width = spec.channels
        for wider, stride in zip(_WIDTHS, _STRIDES, strict=True):
            layer = conv(width, wider, 3, stride, padding=1, bias=False)
            self.blocks.append(nn.Sequential(layer, norm(wider), nn.ReLU()))
            width = wider
        self.head = nn.Linear(FEATURES, len(spec.classes))

    def forward(self, x: Shaped[Tensor, "B X *size"]) -> tuple[Float[Tensor, "B F"], Float[Tensor, "B K"]]:
        """Features, the mean over space of the last layer, and logits of the K classes."""
        scale = (-1, *[1] * (x.ndim - 2))  # channel constants, broadcast over space
        centred = (x.float() - self.mean.view(scale)) / self.std.view(scale)
        features = reduce(self.blocks(centred), "b f ... -> b f", "mean")
        return features, self.head(features)

    def initialise(self, rng: Generator) -> None:
        """Draw fresh weights: convolutions as for ReLU (He), the linear layer small."""
        for weight in (p for p in self.blocks.parameters() if p.ndim > 1):  # norms have one axis, and keep their start
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=rng)
        nn.init.normal_(self.head.weight, std=FEATURES**-0.5, generator=rng)
        nn.init.zeros_(self.head.bias)

    def fit_scale(self, x: Shaped[Tensor, "N X *size"]) -> None:
        """Measure mean and standard deviation of the training samples, by channel."""
        flat = x.double().transpose(0, 1).flatten(1)
        self.mean.copy_(flat.mean(1))
        self.std.copy_(flat.std(1).clamp_min(1.0))  # a constant channel must not be blown up


@dataclass(frozen=True)
class JudgeCard:
    """What is known of a judge: what it was trained on, how well it does, how to make it again."""

    channels: int
    size: tuple[int, ...]
    classes: tuple[str, ...]
    data: str  # name of the data set
    fingerprint: str  # of the data set
    accuracy_valid: float
    accuracy_test: float
    trained_on: int  # samples
    epochs: int
    seed: int
    command: str

    def fits(self, spec: DataSpec) -> bool:
        """Whether it was made for such data: same channels, size and class names."""
        return (self.channels, self.size, self.classes) == (spec.channels, spec.size, spec.classes)


@dataclass(frozen=True)
class TrainedJudge:
    """A judge ready for use: frozen, in evaluation mode; `hash` is that of its file."""

    net: Judge
    card: JudgeCard
    hash: str


def write_judge(file: Path, net: Judge, card: JudgeCard) -> None:
    """Weights and card in one safetensors file, written whole or not at all."""
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    content = save(state, metadata={"format": _FORMAT, "card": json.dumps(asdict(card))})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.part")
        fresh.write_bytes(content)
        fresh.replace(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def read_judge(file: Path) -> TrainedJudge:
    """A judge from its file.

    Raises:
        UserError: the file is absent, damaged, or holds something else.
    """
    card, state = _card(file), _tensors(file)
    net = Judge(DataSpec(card.channels, card.size, card.classes))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{file}: its weights do not fit its card: {str(error).splitlines()[-1].strip()}") from None
    net.eval().requires_grad_(False)
    return TrainedJudge(net, card, hashlib.sha256(file.read_bytes()).hexdigest()[:12])


def find_judge(data: Data, file: str | None = None) -> TrainedJudge | None:
    """The judge for a data set: from `file`, else the shipped one made for such channels, size and classes.

    None where there is none.

    Raises:
        UserError: the file cannot be read, or was made for other data.
    """
    spec = data.spec
    if file is not None:
        trained = read_judge(Path(file).expanduser())
        if not trained.card.fits(spec):
            raise UserError(f"metrics.judge: {file}: {_differences(trained.card, spec)}")
        return trained
    for shipped in sorted(_SHIPPED.glob("*.safetensors")):
        if _card(shipped).fits(spec):
            return read_judge(shipped)
    return None


def _card(file: Path) -> JudgeCard:
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"not a safetensors file ({error})"
        raise UserError(f"{file}: {reason}") from None
    if metadata.get("format") != _FORMAT:
        raise UserError(f"{file}: not a judge: its format is {metadata.get('format', 'not stated')}, not {_FORMAT}")
    try:
        fields = json.loads(metadata["card"])
        return JudgeCard(**{**fields, "size": tuple(fields["size"]), "classes": tuple(fields["classes"])})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: a judge whose card is damaged: {error}") from None


def _tensors(file: Path) -> dict[str, Shaped[Tensor, "..."]]:
    with safe_open(file, framework="pt") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  a safe_open is no dict


def _differences(card: JudgeCard, spec: DataSpec) -> str:
    if card.channels != spec.channels or card.size != spec.size:
        return f"made for {card.channels} x {_by(card.size)}, the data are {spec.channels} x {_by(spec.size)}"
    return f"made for the classes {', '.join(card.classes)}; the data have {', '.join(spec.classes) or 'none'}"


def _by(size: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in size)
