"""The laws that a card goes through: those of its slot in each dimension, and those of any card.

`for verdict in run_laws("backbone", build, (1, 2, 3)): print(verdict.law, verdict.failures)`
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import torch

from hybridgen.assemble import assemble_model, assemble_sampler
from hybridgen.config.compose import Composed
from hybridgen.config.signature import REQUIRED, Built, Signature
from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS
from hybridgen.generate.trained import load
from hybridgen.laws.backbones import BACKBONE_LAWS, served
from hybridgen.laws.code_heads import CODE_LAWS
from hybridgen.laws.conditioners import CONDITIONER_LAWS
from hybridgen.laws.media import MEDIUM_LAWS
from hybridgen.laws.orders import ORDER_LAWS
from hybridgen.laws.residual_heads import RESIDUAL_LAWS
from hybridgen.laws.solvers import SOLVER_LAWS
from hybridgen.laws.tokenizers import TOKENIZER_LAWS
from hybridgen.laws.toy import CLASSES, data, examples, plain, pyramid, shaken
from hybridgen.runs.weights import describe, save
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec, TokenSpec

Build = Callable[[Mapping[str, Any]], Any]
"""A part, given what neighbours offer: data, classes, tokens, width."""

LAWS: Mapping[str, Sequence[Callable[..., None]]] = MappingProxyType(
    {
        "medium": MEDIUM_LAWS,
        "tokenizer": TOKENIZER_LAWS,
        "conditioner": CONDITIONER_LAWS,
        "order": ORDER_LAWS,
        "backbone": BACKBONE_LAWS,
        "code_head": CODE_LAWS,
        "residual_head": RESIDUAL_LAWS,
        "solver": SOLVER_LAWS,
    }
)
_WIDTH = 16
_PATHS = {"line": LINEAR, "cosine": COSINE, "linear betas": LINEAR_BETAS}


@dataclass(frozen=True)
class Verdict:
    """How a law went: what it promises in its first line, and where it does not hold."""

    law: str
    promise: str
    failures: tuple[str, ...]


def run_laws(slot: str, build: Build, dims: Sequence[int]) -> Iterator[Verdict]:
    """Every law of the slot, in each dimension (of a solver: on each path).

    Raises:
        UserError: the part cannot be built in one of these dimensions.
    """
    trials = _trials(slot, build, dims)
    for law in LAWS[slot]:
        failures = [f"{where}: {failed}" for where, arguments in trials.items() if (failed := _tried(law, arguments))]
        promise = " ".join((inspect.getdoc(law) or "").split("\n\n")[0].split())
        yield Verdict(law.__name__, promise, tuple(failures))


def options_are_the_signatures(read: Signature, cls: type) -> None:
    """What was read of a class without importing it is what Python says of it: names, types, defaults."""
    found = inspect.signature(cls).parameters.values()
    settings = hasattr(cls, "__dataclass_fields__")
    before = [p.name for p in found if p.kind is not p.KEYWORD_ONLY and not settings]
    after = {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY or settings}
    assert list(read.neighbours) == before
    assert list(read.options) == list(after)
    hints = get_type_hints(cls if settings else cls.__init__, include_extras=True)  # type: ignore[misc]
    for name, option in read.options.items():
        default = REQUIRED if after[name] is inspect.Parameter.empty else after[name]
        if isinstance(option.default, Built):
            assert type(default).__name__ == option.default.target.rpartition(".")[2], name
        else:
            assert option.default == default, name
        assert option.slot or option.type == hints[name], name
        assert option.doc, f"{name}: say what it is under Args:"


def checkpoint_gives_the_model_back(composed: Composed, spec: DataSpec, folder: Path) -> None:
    """Config to parts to checkpoint to parts: the same config, weights and samples, to the bit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = shaken(assemble_model(composed, spec))
    save(folder / "model.safetensors", model, describe("generator", composed.config, spec))
    trained = load(folder)
    assert trained.config == composed.config
    assert trained.data == spec
    again, sampler = trained.model, assemble_sampler(composed)
    assert trained.sampler == sampler
    before, after = model.state_dict(), again.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.no_grad():
        told = [m.conditioner({"label": torch.arange(3) % CLASSES}, None) for m in (model, again)]
    first, second = (m.sample(c, range(3), sampler) for m, c in zip((model, again), told, strict=True))
    assert torch.equal(first, second)


def _trials(slot: str, build: Build, dims: Sequence[int]) -> dict[str, tuple[Any, ...]]:
    """What a law of the slot takes, by where it is tried."""
    if slot == "solver":
        return {f"on the path '{name}'": (build({}), path) for name, path in _PATHS.items()}
    if slot == "medium":
        return {"as it was asked for": (build({}),)}
    if slot == "conditioner":
        return {"of any dimension": (_built(build, 1, plain(1)), CLASSES, _WIDTH)}
    return {f"in {n}-D": _arguments(slot, build, n) for n in dims}


def _arguments(slot: str, build: Build, dims: int) -> tuple[Any, ...]:
    """The part, and the neighbours that laws of its slot take."""
    if slot == "tokenizer":
        return _tokenizer(build, dims)
    if slot in ("code_head", "residual_head"):
        tokens = _fitting(build, dims)
        return _built(build, dims, tokens), tokens, _WIDTH
    part = _built(build, dims, pyramid(dims))
    if slot == "backbone" and not served(part, pyramid(dims)):
        return _built(build, dims, plain(dims)), plain(dims)  # one that walks positions, not scales
    return part, pyramid(dims)


def _tokenizer(build: Build, dims: int) -> tuple[Any, Any]:
    """The tokenizer of uneven data and some of these; of a cube where its scales or patches allow nothing else."""
    for spec in (data(dims, uneven=True), data(dims)):
        try:
            return _built(build, dims, plain(dims), spec), examples(spec)
        except UserError as error:
            refused = error
    raise refused


def _fitting(build: Build, dims: int) -> TokenSpec:
    """Tokens that the part takes: of uneven sides, or of even ones where it takes patches of them."""
    try:
        _built(build, dims, plain(dims))
    except UserError:
        return plain(dims, even=True)
    return plain(dims)


def _built(build: Build, dims: int, tokens: TokenSpec, spec: DataSpec | None = None) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = {"width": _WIDTH, "condition_width": _WIDTH}
        return build({"data": spec or data(dims), "classes": CLASSES, "tokens": tokens, **widths})


def _tried(law: Callable[..., None], arguments: tuple[Any, ...]) -> str:
    """What went wrong; empty when the law holds."""
    try:
        law(*arguments)
    except (AssertionError, UserError) as error:
        return " ".join(str(error).split()) or _asserted(error)
    except Exception as error:  # whatever a part of the user's own may raise
        return f"{type(error).__name__}: {error}"
    return ""


def _asserted(error: BaseException) -> str:
    """The line of a bare assertion."""
    line = inspect.getinnerframes(error.__traceback__)[-1] if error.__traceback__ else None
    return (line.code_context or ["?"])[0].strip() if line else "?"
