"""Training a judge: every choice is made on `valid`; `test` is looked at once, when all is done.

One-cycle SGD (arXiv:1708.07120). The epoch whose validation accuracy was best is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from hybridgen.data.base import Data, Split
from hybridgen.evaluation.judge import Judge, JudgeCard
from hybridgen.nn.draws import keyed
from hybridgen.system.errors import UserError

_SCALED_ON = 100_000  # training samples that give the scale of each channel


@dataclass(frozen=True, kw_only=True)
class JudgeTraining:
    """How a judge is trained.

    Args:
        epochs: passes over the training samples.
        batch: samples a step.
        lr: largest learning rate of the cycle.
        weight_decay: L2 on the weights.
        flip: mirror half of the samples along the axes that their medium allows.
        shift: move each batch's samples by up to so many entries along each axis, the border filled with the edge.
        seed: of the weights, the order and the augmentation.
    """

    epochs: Annotated[int, Ge(1)] = 8
    batch: Annotated[int, Ge(1)] = 128
    lr: Annotated[float, Gt(0)] = 0.2
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    flip: bool = True
    shift: Annotated[int, Ge(0)] = 0
    seed: int = 0


def train_judge(
    data: Data, name: str, command: str, how: JudgeTraining, told: Callable[[int, float], None] = lambda *_: None
) -> tuple[Judge, JudgeCard]:
    """A judge of `data`, and its card. `told(epoch, validation accuracy)` is called after each epoch.

    Raises:
        UserError: the data have fewer than two classes.
    """
    spec = data.spec
    if len(spec.classes) < 2:
        raise UserError(f"{name}: a judge learns to tell classes apart; these data have {len(spec.classes)}")
    train, valid = data.split("train"), data.split("valid")
    with torch.random.fork_rng(devices=[]):  # building draws weights that `initialise` then replaces
        net = Judge(spec)
    net.initialise(keyed(how.seed, "judge", "weights"))
    net.fit_scale(train.stored(torch.arange(min(_SCALED_ON, len(train)))))
    steps = how.epochs * (len(train) // how.batch)
    optimizer = torch.optim.SGD(net.parameters(), lr=how.lr, momentum=0.9, nesterov=True, weight_decay=how.weight_decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.lr, total_steps=max(steps, 2))
    best, kept = -1.0, net.state_dict()
    mirrors = data.medium.mirrors if how.flip else ()
    for epoch in range(how.epochs):
        net.train()
        for x, labels in _batches(train, how, mirrors, epoch):
            loss = F.cross_entropy(net(x)[1], labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
        reached = accuracy(net, valid)
        told(epoch, reached)
        if reached >= best:
            best, kept = reached, {key: value.clone() for key, value in net.state_dict().items()}
    net.load_state_dict(kept)
    net.eval().requires_grad_(False)
    card = JudgeCard(
        spec.channels, spec.size, spec.classes, name, data.fingerprint(),
        accuracy_valid=best, accuracy_test=accuracy(net, data.split("test")),
        trained_on=len(train), epochs=how.epochs, seed=how.seed, command=command,
    )  # fmt: skip
    return net, card


@torch.inference_mode()
def accuracy(net: Judge, split: Split, batch: int = 500) -> float:
    """Share of examples whose class the judge guesses; leaves it in evaluation mode."""
    net.eval()
    labels, right = _labels(split), 0
    for rows in torch.arange(len(split)).split(batch):
        right += int((net(split.stored(rows))[1].argmax(1) == labels[rows]).sum())
    return right / len(split)


def _labels(split: Split) -> Int[Tensor, " N"]:
    assert split.labels is not None, "data with classes have labels"
    return split.labels


def _batches(
    train: Split, how: JudgeTraining, mirrors: tuple[int, ...], epoch: int
) -> Iterator[tuple[Shaped[Tensor, "B X *size"], Int[Tensor, " B"]]]:
    """Whole batches in an order of (seed, epoch), mirrored and shifted."""
    rng = keyed(how.seed, "judge", epoch)
    rows = torch.randperm(len(train), generator=rng)
    if len(rows) < how.batch:
        raise UserError(f"{len(rows)} training samples are fewer than one batch of {how.batch}; lower --batch")
    for some in rows[: len(rows) - len(rows) % how.batch].split(how.batch):
        x = train.stored(some)
        for axis in mirrors:
            mirrored = torch.rand(len(some), generator=rng) < 0.5
            x[mirrored] = x[mirrored].flip(axis)
        if how.shift:
            x = _shifted(x, torch.randint(-how.shift, how.shift + 1, (x.ndim - 2,), generator=rng).tolist())
        yield x, _labels(train)[some]


def _shifted(x: Shaped[Tensor, "B X *size"], offsets: list[int]) -> Shaped[Tensor, "B X *size"]:
    for axis, offset in enumerate(offsets, start=2):
        places = (torch.arange(x.shape[axis]) - offset).clamp(0, x.shape[axis] - 1)
        x = x.index_select(axis, places)
    return x
