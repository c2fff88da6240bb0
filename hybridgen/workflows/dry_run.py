"""An experiment tried out on noise before anything is trained: shapes, sizes, time, memory, and what looks wrong."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.config.identity import tokenizer_parts
from hybridgen.config.paths import shown
from hybridgen.evaluation.cost import parameters
from hybridgen.model import HybridModel, StepRecord
from hybridgen.nn.discriminator import deceiving_loss, hinge_loss
from hybridgen.nn.draws import Draws, keyed
from hybridgen.runs.weights import read_about
from hybridgen.system.errors import UserError
from hybridgen.system.text import duration
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.machine import Machine, choose
from hybridgen.training.settings import Training
from hybridgen.training.start import begin_from, freeze
from hybridgen.types import DataSpec, Tokens

_TRIES = 3  # training steps that are timed, after one that is not
_PER_PARAMETER = 20  # bytes of a trained parameter: weight, gradient, two moments, average


@dataclass
class DryRun:
    """What was found. Seconds and bytes are estimates for this machine."""

    parameters: dict[str, int]
    shapes: list[tuple[str, str]]
    seconds: dict[str, float]  # of each stage, in all
    memory: int  # bytes that the larger stage needs, beside the data and the program
    machine: str
    warnings: list[str] = field(default_factory=list)


def dry_run(composed: Composed) -> DryRun:
    """Builds the experiment and takes a few steps of each stage on noise; nothing is kept or written.

    Raises:
        UserError: parts do not fit, or a part of the user's own raised something.
    """
    with in_own_words(composed):
        return _rehearsed(composed)


@contextmanager
def in_own_words(composed: Composed) -> Iterator[None]:
    """What a part of the user's own raises within is told as a UserError that names its file and line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        line = _own_line(error, composed)
        if line is None:
            raise
        raise UserError(f"{line}: raised {type(error).__name__}: {error}") from error


def _rehearsed(composed: Composed) -> DryRun:
    compute = assemble_settings(composed, "compute")
    machine = choose(composed.config["device"], composed.config["precision"], compute)
    spec = assemble_data(composed).spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = assemble_model(composed, spec)
    begun = _begun(model, composed)
    model.to(machine.device)
    stages = {name: assemble_settings(composed, f"train.{name}") for name in ("tokenizer", "generator")}
    seconds, memory = {}, 0
    for name, settings in stages.items():
        if settings is not None:
            seconds[name], bytes_ = _try_stage(model, name, settings, spec, machine)
            memory = max(memory, bytes_)
    warnings = begun + _warnings(model, composed)
    return DryRun(parameters(model), _shapes(model, composed, spec), seconds, memory, str(machine), warnings)


def seconds_per_step(composed: Composed) -> float:
    """Seconds that a training step of the generator takes on this machine, on noise."""
    compute = assemble_settings(composed, "compute")
    machine = choose(composed.config["device"], composed.config["precision"], compute)
    spec, settings = assemble_data(composed).spec, assemble_settings(composed, "train.generator")
    with torch.random.fork_rng(devices=[]):
        model = assemble_model(composed, spec).to(machine.device)
    return _try_stage(model, "generator", settings, spec, machine)[0] / settings.steps


def summary(composed: Composed) -> str:
    """The lines that `train` says before it starts."""
    found = dry_run(composed)
    head = found.parameters.get("residual_head", 0)
    parts = f"{found.parameters['total'] / 1e6:.2f} M parameters" + (
        f" ({head / 1e6:.2f} M in the head)" if head else ""
    )
    about = ", ".join(f"{name} {duration(s, rough=True)}" for name, s in found.seconds.items())
    lines = [
        f"{composed.name}: {parts}; about {about} on {found.machine}; {found.memory / 2**20:.0f} MiB beside the data"
    ]
    return "\n".join(lines + [f"note: {warning}" for warning in found.warnings])


def _try_stage(
    model: HybridModel, name: str, settings: Training, spec: DataSpec, machine: Machine
) -> tuple[float, int]:
    """Seconds of the whole stage, and bytes at its peak; of several processes one, which does not wait for others."""
    batch = max(1, settings.batch // settings.accumulate // machine.compute.world)
    trained = model.tokenizer if name == "tokenizer" else model
    x = _noise(batch, spec).to(machine.device)
    asked = model.conditioner.blank(batch, machine.device)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        tokens = model.tokenizer.encode(x)
        against = model.tokenizer.adversary if name == "tokenizer" else None
        discriminator = None if against is None else against.discriminator(spec).to(machine.device)
    taken = []
    for index in range(_TRIES + 1):
        began = time.perf_counter()
        amp = torch.autocast(machine.device.type, torch.bfloat16, enabled=machine.precision == "bf16")
        watch = torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept) if index == 0 else nullcontext()
        with amp, watch:
            if name == "tokenizer":
                loss = _tokenizer_loss(model.tokenizer, discriminator, x, Draws("rehearsal", index))
            else:
                loss = model.loss(tokens, asked, Draws("rehearsal", index))["loss"]
        if loss.requires_grad:
            loss.backward()
        trained.zero_grad(set_to_none=True)
        taken.append(time.perf_counter() - began)
    own = sum(p.numel() for p in trained.parameters()) * _PER_PARAMETER
    return sorted(taken[1:])[_TRIES // 2] * settings.steps * settings.accumulate, own + sum(saved.values())


def _tokenizer_loss(tokenizer: Tokenizer, discriminator: nn.Module | None, x: Tensor, rng: Draws) -> Tensor:
    """The sum of all losses of a training step, those of the adversary included."""
    tokenizer.schedule(0.5)
    if discriminator is None:
        return tokenizer.loss(x, rng)["loss"]
    made = tokenizer.reconstruct(x, rng)
    apart = hinge_loss(discriminator(x), discriminator(made.data.detach()))
    return made.losses["loss"] + deceiving_loss(discriminator(made.data)) + apart


def _shapes(model: HybridModel, composed: Composed, spec: DataSpec) -> list[tuple[str, str]]:
    """What flows through every part, for a batch of 2."""
    x, record = _noise(2, spec).to(next(model.parameters()).device), list[StepRecord]()
    with torch.no_grad():
        tokens: Tokens = model.tokenizer.encode(x)
        condition = model.conditioner(model.conditioner.blank(2), None)
        model.eval()
        drawn = model.sample(condition, [0, 1], assemble_sampler(composed), record=record)
    shapes = [("x", _shape(x)), ("latent", _shape(tokens.latent))]
    shapes += [
        (f"codes, scale {s}", f"{_shape(c)} of {model.tokenizer.spec.vocab}") for s, c in enumerate(tokens.codes)
    ]
    for step, seen in enumerate(record):
        grid = "x".join(map(str, model.tokenizer.spec.scales[seen.step.scale]))
        shapes.append((f"hidden, step {step} (scale {grid})", _shape(seen.hidden)))
    return [*shapes, ("sample", _shape(drawn))]


def _begun(model: HybridModel, composed: Composed) -> list[str]:
    """Begins as training will, from earlier weights and with frozen parts; what of it is worth saying."""
    freeze(composed.config["freeze"], model)
    init = composed.config["init"]
    if init is None:
        return []
    said, fresh = [], begin_from(Path(init), model)
    if fresh:
        named = ", ".join(fresh[:4]) + (f" and {len(fresh) - 4} more" if len(fresh) > 4 else "")
        said.append(f"init: {len(fresh)} weights are not in {init} in this shape and start anew: {named}")
    asked, given = tokenizer_parts(composed.config), tokenizer_parts(read_about(Path(init))["config"])
    other = [name for name in asked if asked[name] != given[name]]
    if other:
        said.append(f"init: its weights know the tokenizer of another {', another '.join(other)}")
    return said


def _own_line(error: BaseException, composed: Composed) -> str | None:
    """Where in a file of the user's own the error passed last, as file:line; None when it passed none."""
    ours, found, step = Path(__file__).parents[1], None, error.__traceback__
    while step is not None:
        file = Path(step.tb_frame.f_code.co_filename)
        near = any(file.is_relative_to(home) for home in composed.registry.homes)
        if near and not file.is_relative_to(ours) and "site-packages" not in file.parts:
            found = f"{shown(file)}:{step.tb_lineno}"
        step = step.tb_next
    return found


def _warnings(model: HybridModel, composed: Composed) -> list[str]:
    """What would run, but hardly as intended."""
    found, spec, config = [], model.tokenizer.spec, composed.config
    if model.code_head is None and spec.vocab and model.order.scales[0] == 0:
        found.append("the tokenizer has codes, but there is no code head: coarse scales are painted without them")
    if model.code_head is not None and model.residual_head is not None:
        vectors, positions = sum(_count(g) for g in spec.scales), _count(spec.grid)
        bits = vectors / positions * torch.log2(torch.tensor(float(spec.vocab))).item()
        if bits / spec.channels > 2.5:
            found.append(
                f"{bits:.0f} bits of codes for {spec.channels} channels a position: the codes may leave little to the "
                "residual; fewer codes (model.tokenizer.vocab) leave more"
            )
    guided = any(config["sampler"].get(k) not in (None, 1, 1.0) for k in ("guidance", "head_guidance"))
    if guided and config["model"]["conditioner"].get("drop") == 0:
        found.append("guidance needs a null that was trained, but model.conditioner.drop is 0")
    if config["device"] == "auto" and torch.cuda.is_available() is False and config["precision"] == "auto":
        native = torch.cpu._is_avx512_bf16_supported()
        if not native:
            found.append("this processor has no bf16 instructions: expect training to take two to three times as long")
    return found


def _noise(batch: int, spec: DataSpec) -> Tensor:
    shape = (batch, spec.channels, *spec.size)
    return torch.rand(shape, generator=keyed("rehearsal")) * 2 - 1


def _shape(x: Tensor) -> str:
    return " x ".join(map(str, x.shape))


def _count(grid: tuple[int, ...]) -> int:
    return int(torch.tensor(grid).prod())
