"""What every conditioner promises: `for law in CONDITIONER_LAWS: law(conditioner, classes, width)`."""

import copy
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from hybridgen.conditioners.base import Conditioner
from hybridgen.laws.measure import assert_same, reached_in_three_steps, unchanged
from hybridgen.laws.toy import shaken
from hybridgen.nn.draws import Draws, keyed
from hybridgen.types import Condition

_ROWS, _MANY = 7, 10_000


def condition_has_its_shape(conditioner: Conditioner, classes: int, width: int) -> None:
    """A vector or tokens of the backbone's width a row; a null of batch 1 with all that the condition has."""
    for rows in (1, _ROWS):
        given = _told(conditioner, _labels(classes, rows))
        assert given.rows == rows
        assert given.pooled().shape == (rows, width)
        assert given.tokens is None or given.tokens.shape[::2] == (rows, width)
        assert given.null is not None, "guidance needs a null"
        assert given.null.pooled().shape == (1, width)
        for field in ("vector", "tokens", "mask", "positions"):
            assert (getattr(given, field) is None) == (getattr(given.null, field) is None), f"{field}, without or only"


def guided_rows_are_both(conditioner: Conditioner, classes: int, width: int) -> None:
    """Guided: the conditional rows as they were, then as many equal to the null."""
    conditioner = shaken(conditioner)
    given = _told(conditioner, _labels(classes))
    both = given.guided().pooled()
    assert given.null is not None, "guidance needs a null"
    assert torch.equal(both[:_ROWS], given.pooled())
    assert torch.equal(both[_ROWS:], given.null.pooled().expand(_ROWS, -1))


def rows_are_their_own(conditioner: Conditioner, classes: int, width: int) -> None:
    """A row's condition depends on its own label alone, and outside of training on nothing else."""
    conditioner, labels = shaken(conditioner), _labels(classes)
    given = _told(conditioner, labels).pooled()
    assert torch.equal(_told(conditioner, labels).pooled(), given)
    assert_same(_told(conditioner, labels.flip(0)).pooled(), given.flip(0), 1e-6)
    assert_same(_told(conditioner, labels[2:3]).pooled(), given[2:3], 1e-6)


def dropped_rows_are_the_null(conditioner: Conditioner, classes: int, width: int) -> None:
    """In training a row is its own condition or, to the bit, the null; and as many are as the share `drop` says."""
    conditioner, labels = shaken(conditioner), _labels(classes, _MANY)
    with torch.no_grad():
        trained = conditioner(_batch(conditioner, labels), Draws("law"))
    given = _told(conditioner, labels)
    assert given.null is not None, "guidance needs a null"
    null = (trained.pooled() == given.null.pooled()).all(1)
    assert ((trained.pooled() == given.pooled()).all(1) | null).all()
    drop = getattr(conditioner, "drop", None)
    if drop is not None:
        slack = 4 * (drop * (1 - drop) / _MANY) ** 0.5
        assert abs(null.float().mean().item() - drop) <= slack + 1e-9, (null.float().mean(), drop)


def condition_gradients_reach_all(conditioner: Conditioner, classes: int, width: int) -> None:
    """Within three steps every trainable parameter gets a gradient: the null's by the rows that are dropped."""
    conditioner, labels = copy.deepcopy(conditioner).train(), _labels(classes, 100)
    target = torch.randn(100, width, generator=keyed("target"))

    def loss(step: int) -> Tensor:
        given = conditioner(_batch(conditioner, labels), Draws("law", step))
        aims = [target[:, None] if x.dim() == 3 else target for x in _vectors(given)]
        return torch.stack([(x - y).square().mean() for x, y in zip(_vectors(given), aims, strict=True)]).sum()

    if any(p.requires_grad for p in conditioner.parameters()):
        reached_in_three_steps(conditioner, loss)


def conditioner_leaves_all_else_alone(conditioner: Conditioner, classes: int, width: int) -> None:
    """No global generator is moved and no label changed; the same key drops the same rows."""
    labels = _labels(classes)
    with unchanged(labels), torch.no_grad():
        one, two = (conditioner(_batch(conditioner, labels), Draws("law")).pooled() for _ in range(2))
    assert torch.equal(one, two)


CONDITIONER_LAWS: tuple[Callable[[Conditioner, int, int], None], ...] = (
    condition_has_its_shape, guided_rows_are_both, rows_are_their_own, dropped_rows_are_the_null,
    condition_gradients_reach_all, conditioner_leaves_all_else_alone,
)  # fmt: skip


def _labels(classes: int, rows: int = _ROWS) -> Tensor:
    return torch.arange(rows) % max(1, classes)


def _told(conditioner: Conditioner, labels: Tensor) -> Condition:
    with torch.no_grad():
        return conditioner(_batch(conditioner, labels), None)


def _batch(conditioner: Conditioner, labels: Tensor) -> dict[str, Tensor]:
    """Labels, and texts that differ as they do."""
    batch = {"label": labels}
    if "text" in conditioner.reads and not conditioner.text_features:
        batch |= conditioner.columns([f"{label} is asked for" for label in labels.tolist()])
    if conditioner.text_features:
        shape = (conditioner.length, conditioner.text_features)
        texts = torch.stack([torch.randn(shape, generator=keyed("text", i)) for i in range(int(labels.max()) + 1)])
        batch |= {"text": texts[labels], "text_mask": torch.ones(len(labels), shape[0], dtype=torch.bool)}
    return batch


def _vectors(given: Condition) -> list[Tensor]:
    found = [getattr(given, field.name) for field in fields(given)]
    return [x for x in found if isinstance(x, Tensor) and x.requires_grad]
