"""How a codebook learns: by moving averages, which no gradient reaches, or by the gradient of its loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from hybridgen.tokenizers.codebook import Codebook
from hybridgen.tokenizers.learnt_codebook import LearntCodebook


class CodebookLearning(ABC):
    """Settings that make a codebook when a tokenizer asks for one. Cards: registry/codebook/."""

    @abstractmethod
    def codebook(self, vocab: int, channels: int, normalise: bool) -> Codebook | LearntCodebook:
        """V vectors of C channels; `normalise`: of unit length."""


@dataclass(frozen=True, kw_only=True)
class Averages(CodebookLearning):
    """Each vector follows the mean of the vectors that are assigned to it.

    Args:
        decay: of the moving averages, per training step.
        dead: a code is moved onto a random input when it is used less than this fraction of the mean use.
    """

    decay: Annotated[float, Gt(0), Lt(1)] = 0.98
    dead: Annotated[float, Ge(0), Le(1)] = 0.03

    def codebook(self, vocab: int, channels: int, normalise: bool) -> Codebook:
        """A `Codebook`."""
        return Codebook(vocab, channels, self.decay, self.dead, normalise)


@dataclass(frozen=True)
class Gradient(CodebookLearning):
    """The vectors are parameters, as in published vector quantisers."""

    def codebook(self, vocab: int, channels: int, normalise: bool) -> LearntCodebook:
        """A `LearntCodebook`."""
        return LearntCodebook(vocab, channels, normalise)
