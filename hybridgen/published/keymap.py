"""Official names of weights to ours: a list of rules a family, applied to a whole file at once.

Every official name meets exactly one rule. What no rule takes is reported, never dropped silently.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Move:
    """One official tensor to one of ours.

    Args:
        official: pattern of the whole official name.
        ours: our name, with `\\1` for the pattern's groups.
        change: what is done to the tensor; None takes it as it is.
    """

    official: str
    ours: str
    change: Callable[[Tensor], Tensor] | None = None


def layer(official: str, ours: str) -> Move:
    """Weight and bias of one layer; names may have groups."""
    return Move(rf"{official}\.(weight|bias)", rf"{ours}.\{official.count('(') + 1}")


@dataclass(frozen=True)
class Join:
    """Several official tensors to one of ours, as when three projections stand in one matrix.

    Args:
        official: pattern of the first one's whole name.
        others: names of the others, with `\\1` for the pattern's groups.
        ours: our name, likewise.
        change: from all of them, in order, to ours.
    """

    official: str
    others: Sequence[str]
    ours: str
    change: Callable[..., Tensor]


@dataclass(frozen=True)
class Split:
    """Official tensors to several of ours that are numbered, as when one table holds what we keep scale by scale.

    Args:
        official: pattern of the first one's whole name, without groups.
        others: names of others that are needed to part it; they stay free for rules of their own.
        ours: our names, with `{}` for the number.
        change: from all of them, in order, to ours.
    """

    official: str
    others: Sequence[str]
    ours: str
    change: Callable[..., Sequence[Tensor]]


@dataclass(frozen=True)
class Ignore:
    """Official tensors that have no place here.

    Args:
        official: pattern of the whole name.
        reason: what the user reads in the report.
    """

    official: str
    reason: str


@dataclass(frozen=True)
class KeyMap:
    """The rules of a family.

    Args:
        family: its name in messages.
        signs: official names, patterns, by which a file of this family is known.
        rules: in order; the first that fits an official name takes it.
    """

    family: str
    signs: Sequence[str]
    rules: Sequence[Move | Join | Split | Ignore]

    def knows(self, names: Sequence[str]) -> bool:
        """Whether a file with these names belongs to the family: every sign is met."""
        return all(any(re.fullmatch(sign, name) for name in names) for sign in self.signs)

    def apply(self, state: Mapping[str, Tensor]) -> "Mapped":
        """Every tensor of a file, taken, ignored, or left over."""
        found, taken = Mapped(), set[str]()
        for name in state:
            if name not in taken:
                taken |= self._place(name, state, found)
        return found

    def official(self, ours: str) -> list[str]:
        """The official names that make one of ours; empty when no rule makes it."""
        for rule in self.rules:
            if isinstance(rule, Ignore):
                continue
            if isinstance(rule, Split):
                if re.fullmatch(re.escape(rule.ours).replace(r"\{\}", r"\d+"), ours):
                    return [_filled(rule.official, {}), *rule.others]
                continue
            pattern = "(.+)".join(map(re.escape, re.split(r"\\\d", rule.ours)))
            if match := re.fullmatch(pattern, ours):
                groups = dict(zip(re.findall(r"\\(\d)", rule.ours), match.groups(), strict=True))
                name, others = _filled(rule.official, groups), rule.others if isinstance(rule, Join) else ()
                if re.fullmatch(rule.official, name):
                    return [name, *(_expanded(other, groups) for other in others)]
        return []

    def _place(self, name: str, state: Mapping[str, Tensor], found: "Mapped") -> set[str]:
        """Puts one official tensor where it belongs; the names that were used up."""
        for rule in self.rules:
            match = re.fullmatch(rule.official, name)
            if match is None:
                continue
            if isinstance(rule, Ignore):
                found.ignored[name] = rule.reason
                return {name}
            if isinstance(rule, Split):
                return self._part(name, rule, state, found)
            ours, names = match.expand(rule.ours), [name]
            if isinstance(rule, Move):
                found.tensors[ours] = state[name] if rule.change is None else rule.change(state[name])
            else:
                names += [match.expand(other) for other in rule.others]
                absent = [other for other in names if other not in state]
                if absent:
                    found.missing += absent
                    return {name}
                found.tensors[ours] = rule.change(*(state[other] for other in names))
                found.ignored = {k: v for k, v in found.ignored.items() if k not in names}
                found.unknown = [k for k in found.unknown if k not in names]
            found.used |= dict.fromkeys(names, ours)
            return set(names)
        found.unknown.append(name)
        return {name}

    def _part(self, name: str, rule: Split, state: Mapping[str, Tensor], found: "Mapped") -> set[str]:
        """Parts one official tensor; the name that was used up."""
        absent = [other for other in rule.others if other not in state]
        if absent:
            found.missing += absent
            return {name}
        parts = rule.change(state[name], *(state[other] for other in rule.others))
        found.tensors |= {rule.ours.format(i): part for i, part in enumerate(parts)}
        found.used[name] = rule.ours
        return {name}


def _expanded(template: str, groups: Mapping[str, str]) -> str:
    """A name from a template with `\\1` for its groups."""
    return re.sub(r"\\(\d)", lambda sign: groups.get(sign[1], sign[0]), template)


def _filled(pattern: str, groups: Mapping[str, str]) -> str:
    """The name that a pattern of plain groups stands for."""
    numbers = iter(range(1, 10))
    name = re.sub(r"\((?!\?)[^()]*\)", lambda group: groups.get(str(next(numbers)), group[0]), pattern)
    return re.sub(r"\\(.)", r"\1", name)


@dataclass
class Mapped:
    """What became of a file's tensors."""

    tensors: dict[str, Tensor] = field(default_factory=dict)  # our name -> tensor
    used: dict[str, str] = field(default_factory=dict)  # official name -> our name
    ignored: dict[str, str] = field(default_factory=dict)  # official name -> reason
    unknown: list[str] = field(default_factory=list)  # official names that no rule takes
    missing: list[str] = field(default_factory=list)  # official names that a rule needs beside others
