"""A figure never travels without its protocol: how it was measured, in full, and in one sentence.

Two figures of different protocols are never set side by side unmarked; `comparable` says where they differ.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybridgen.evaluation.base import Interval
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.media.base import Medium

# Fields that must be there, by the protocol's kind. `said` are those that the caller knows and nobody else.
SAID: Mapping[str, tuple[str, ...]] = {
    "drawn": ("data", "model", "weights", "sampler", "seeds", "precision", "device"),
    "reconstructed": ("data", "model", "weights", "precision", "device"),
    "timed": ("model", "sampler", "precision", "device", "batch"),
    "counted": ("model",),
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "drawn": (
        *SAID["drawn"], "metric", "drawn", "class_distribution", "reference", "reference_hash", "reference_count",
        "feature", "rounding",
    ),
    "reconstructed": (*SAID["reconstructed"], "metric", "split", "data_hash", "count", "rounding"),
    "timed": (*SAID["timed"], "metric", "warm_up", "repeats", "threads"),
    "counted": (*SAID["counted"], "metric"),
}  # fmt: skip
# What was measured, not how: these may differ between figures that are compared.
SUBJECT = frozenset(("model", "tokenizer", "config", "git_commit", "train", "parameters"))


@dataclass(frozen=True)
class Figure:
    """A number, its 95 % interval where it has one, its protocol (plain JSON values), and how it is shown.

    Figures that were stored without a specification have none, and are shown by their keys.
    """

    value: float
    protocol: Mapping[str, Any]
    interval: tuple[float, float] | None = None
    spec: FigureSpec | None = None

    def __post_init__(self) -> None:
        missing = missing_fields(self.protocol, REQUIRED)
        if missing:
            raise ValueError(f"a figure without its protocol: {', '.join(missing)} missing")

    def to_json(self) -> dict[str, Any]:
        """The stored form: value, interval, protocol, and the specification where there is one."""
        stored = {
            "value": self.value, "interval": self.interval and list(self.interval), "protocol": dict(self.protocol)
        }  # fmt: skip
        return stored if self.spec is None else {**stored, "spec": self.spec.to_json()}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Figure":
        """The figure of `to_json`."""
        interval, spec = stored.get("interval"), FigureSpec.from_json(stored.get("spec"))
        return Figure(stored["value"], stored["protocol"], (interval[0], interval[1]) if interval else None, spec)


def figure(measured: float | Interval, protocol: Mapping[str, Any], spec: FigureSpec | None = None) -> Figure:
    """A figure of a measured value; the protocol is converted to plain JSON, so that what is read back is equal."""
    plain = json.loads(json.dumps(protocol))
    if isinstance(measured, Interval):
        return Figure(measured.value, plain, (measured.low, measured.high), spec)
    return Figure(float(measured), plain, None, spec)


def missing_fields(protocol: Mapping[str, Any], needed: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Needed fields that the protocol lacks; `kind` decides which are needed."""
    kind = str(protocol.get("kind"))
    if kind not in needed:
        return [f"kind (one of {', '.join(needed)})"]
    return [name for name in needed[kind] if name not in protocol]


def comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names of the fields in which two protocols differ, but for what was measured; empty when figures compare."""
    names = sorted((set(a) | set(b)) - SUBJECT)
    absent = object()
    return [name for name in names if a.get(name, absent) != b.get(name, absent)]


def rounding(medium: Medium) -> str:
    """How samples are rounded before they are measured: as the medium stores them."""
    return str(medium.dtype).removeprefix("torch.")


def sentence(protocol: Mapping[str, Any]) -> str:
    """The protocol as one sentence that a paper can quote."""
    kind = protocol["kind"]
    if kind == "drawn":
        facts = [_what_was_drawn(protocol), *_settings(protocol)]
    elif kind == "reconstructed":
        facts = [
            f"{protocol['metric']} over the {protocol['count']:,} {protocol['split']} samples of {protocol['data']}"
            f" (hash {protocol['data_hash']})",
            *_settings(protocol),
        ]
    elif kind == "timed":
        facts = [
            f"{protocol['metric']}, median of {protocol['repeats']} after {protocol['warm_up']} to warm up",
            f"batch {protocol['batch']}, {protocol['threads']} threads",
            *_settings(protocol),
        ]
    else:
        facts = [str(protocol["metric"])]
    return ", ".join(facts) + "."


def _what_was_drawn(protocol: Mapping[str, Any]) -> str:
    feature = protocol["feature"]
    on = (
        f" on {feature['dim']} features of {feature['net']} (hash {feature['hash']})"
        if feature
        else " on stored values"
    )
    return (
        f"{protocol['metric']}{on}, {protocol['drawn']:,} samples ({_classes(protocol['class_distribution'])})"
        f" against {protocol['reference_count']:,} {protocol['reference']} samples of {protocol['data']}"
        f" (hash {protocol['reference_hash']})"
    )


def _settings(protocol: Mapping[str, Any]) -> list[str]:
    """How it was sampled and computed; fields that the kind has not are left out."""
    said = []
    if "seeds" in protocol:
        said.append(f"seeds {_plain(protocol['seeds'])}")
    if "weights" in protocol:
        said.append(f"{'EMA' if protocol['weights'] == 'ema' else protocol['weights']} weights")
    if "sampler" in protocol:
        said.append(f"sampler {_plain(protocol['sampler'])}")
    if "rounding" in protocol:
        said.append(f"rounded to {protocol['rounding']}")
    said.append(f"{protocol['precision']} on {protocol['device']}")
    return said


def _classes(counts: list[int]) -> str:
    if len(counts) < 2:
        return "no classes"
    if max(counts) - min(counts) <= 1:
        return f"{len(counts)} classes equally often"
    return f"{min(counts)} to {max(counts)} per class"


def _plain(value: Any) -> str:
    """A nested value in words: mappings as `name value`, ranges as they are."""
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_plain(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return "(" + " ".join(_plain(part) for part in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
