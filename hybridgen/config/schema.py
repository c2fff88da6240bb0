"""The tree of an experiment on one page: which node a card fills, which holds settings of a class, what each decides.

Options are declared by the classes' signatures, never here; default cards stand in `experiments/base.yaml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

from annotated_types import Ge


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The options at the root of an experiment.

    Args:
        seed: that all random numbers of a run derive from.
        device: that computes; auto takes a GPU if there is one.
        precision: of the forward pass; auto takes bf16 where the processor has it.
        runs: folder that the runs are written to.
        init: a run or weights file to start from.
        freeze: parts that are not trained, such as model.backbone.
        tokens: where the encoded training data are kept: in memory, on disk in runs/tokens/, or nowhere, so that each
            batch is encoded as it comes; auto: in memory while they take less than 512 MiB, else on disk.
    """

    seed: Annotated[int, Ge(0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    runs: str = "runs"
    init: str | None = None
    freeze: tuple[str, ...] = ()
    tokens: Literal["auto", "memory", "disk", "none"] = "auto"


Decides = Literal["tokenizer", "generator", "sample", "nothing"]
"""What a change alters: the trained tokenizer (and so the generator), the generator, samples and figures, or nothing of
these. `config/identity.py` reads it."""


@dataclass(frozen=True)
class Node:
    """A node of the tree: filled by a card of `slot`, or the options of the class `target`, or a mere group.

    Args:
        slot: whose cards fill the node.
        target: the class whose options the node holds.
        nullable: the node may be left out by writing null.
        decides: what its options decide.
        apart: options that decide something else.
    """

    slot: str = ""
    target: str = ""
    nullable: bool = False
    decides: Decides = "generator"
    apart: Mapping[str, Decides] = field(default_factory=dict)


_ROOT: Mapping[str, Decides] = MappingProxyType(
    {"seed": "tokenizer", "precision": "tokenizer", "device": "nothing", "runs": "nothing", "tokens": "nothing"}
)


TREE: Mapping[str, Node] = MappingProxyType(
    {
        "": Node(target="hybridgen.config.schema.Experiment", apart=_ROOT),
        "data": Node(slot="data", decides="tokenizer"),
        "model": Node(target="hybridgen.model.HybridModel"),
        "model.tokenizer": Node(slot="tokenizer", decides="tokenizer"),
        "model.conditioner": Node(slot="conditioner"),
        "model.order": Node(slot="order"),
        "model.backbone": Node(slot="backbone"),
        "model.code_head": Node(slot="code_head", nullable=True),
        "model.residual_head": Node(slot="residual_head", nullable=True),
        "sampler": Node(slot="sampler", decides="sample"),
        "train": Node(),
        "train.tokenizer": Node(target="hybridgen.training.settings.Training", nullable=True, decides="tokenizer"),
        "train.generator": Node(
            target="hybridgen.training.settings.Training", apart=MappingProxyType({"sample_every": "nothing"})
        ),
        "compute": Node(target="hybridgen.training.compute.Compute", decides="nothing"),
        "metrics": Node(target="hybridgen.evaluation.settings.Metrics", decides="sample"),
        "tracking": Node(target="hybridgen.tracking.process.Tracking", decides="nothing"),
    }
)

HEADS = ("model.code_head", "model.residual_head")  # a model needs at least one of them

# Blocks of an experiment file that describe many runs of it; they are no part of what one run is.
BLOCKS = ("sweep", "ablate")
DOTTED = ("sweep.over",)  # nodes whose keys are dotted paths of the tree

# The contract of each slot. An option annotated with a contract's name is itself filled by a card of that slot.
CONTRACTS: Mapping[str, str] = MappingProxyType(
    {
        "data": "hybridgen.data.base.Data",
        "medium": "hybridgen.media.base.Medium",
        "tokenizer": "hybridgen.tokenizers.base.Tokenizer",
        "network": "hybridgen.nn.network.Network",
        "codebook": "hybridgen.tokenizers.codebook_learning.CodebookLearning",
        "phi": "hybridgen.tokenizers.phi.PhiStyle",
        "phases": "hybridgen.tokenizers.phases.Phases",
        "loss": "hybridgen.tokenizers.loss_weights.LossWeights",
        "perceptual": "hybridgen.tokenizers.perceptual.PerceptualLoss",
        "adversary": "hybridgen.tokenizers.adversary.Adversary",
        "conditioner": "hybridgen.conditioners.base.Conditioner",
        "order": "hybridgen.orders.base.Order",
        "backbone": "hybridgen.backbones.base.Backbone",
        "block": "hybridgen.nn.block.BlockStyle",
        "positions": "hybridgen.backbones.positions.Positions",
        "condition": "hybridgen.backbones.condition_entry.ConditionEntry",
        "code_head": "hybridgen.heads.base.CodeHead",
        "residual_head": "hybridgen.heads.base.ResidualHead",
        "sampler": "hybridgen.samplers.sampler.Sampler",
        "layout": "hybridgen.heads.grid_net.Layout",
        "objective": "hybridgen.diffusion.objectives.Objective",
        "solver": "hybridgen.diffusion.solvers.Solver",
        "metric": "hybridgen.evaluation.base.Metric",
        "features": "hybridgen.evaluation.base.Features",
    }
)


def children(path: str) -> list[str]:
    """Names of the nodes right below `path`."""
    prefix = f"{path}." if path else ""
    below = (p.removeprefix(prefix) for p in TREE if p and p.startswith(prefix))
    return [name for name in below if "." not in name]


def join(path: str, name: str) -> str:
    """`name` below `path`; the root is the empty path."""
    return f"{path}.{name}" if path else name
