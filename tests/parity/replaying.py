"""Random choices handed in: stored draws in place of seeded ones, and codes that are given, not drawn."""

import torch
from reference import Case

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler
from hybridgen.config.compose import compose
from hybridgen.published.families import recognise
from hybridgen.published.importer import filled, match
from hybridgen.samplers.noise import Noise


def imported(case, *others, overrides=()):
    """The model of a case's experiment, with the official weights of the case and of those named beside it."""
    composed = compose(case.experiment(), list(overrides))
    files = [one.weights_file for one in (case, *(Case(name) for name in others))]
    return filled(composed, match(composed, [str(file) for file in files]))


def sampler(case, *overrides):
    """The sampler of a case's experiment with these settings of it."""
    return assemble_sampler(compose(case.experiment(), [f"sampler.{setting}" for setting in overrides]))


class Stored(Noise):
    """Draws by (purpose, step); asking for one that is not stored is an error, unless `rest` says its value."""

    def __init__(self, batch, stored, rest=None):
        super().__init__(range(batch), torch.device("cpu"))
        self.stored, self.rest = stored, rest

    def uniform(self, purpose, step, *shape):
        return self._given(purpose, step, shape)

    def normal(self, purpose, step, *shape):
        return self._given(purpose, step, shape)

    def gumbel(self, purpose, step, *shape):
        return self._given(purpose, step, shape)

    def _given(self, purpose, step, shape):
        if (purpose, step) not in self.stored and self.rest is not None:
            return torch.full((len(self.seeds), *shape), self.rest)
        drawn = self.stored[purpose, step]
        assert drawn.shape == (len(self.seeds), *shape), (purpose, step, drawn.shape, shape)
        return drawn


class Forced:
    """Within the block the code head's `draw` gives these codes, one tensor a call."""

    def __init__(self, head, codes):
        self.head, self.codes = head, iter(codes)

    def __enter__(self):
        self.head.draw = lambda *_, **__: next(self.codes)

    def __exit__(self, *_):
        del self.head.draw


def generator(case, *overrides):
    """The model of a case's experiment with the official weights of its generator; the tokenizer is as it was built."""
    composed = compose(case.experiment(), list(overrides))
    torch.manual_seed(0)
    model = assemble_model(composed, assemble_data(composed).spec)
    family, named = recognise(case.weights)
    mapped = family.apply(named)
    absent, unexpected = model.load_state_dict(mapped.tensors, strict=False)
    assert not unexpected
    assert not mapped.unknown
    assert all(name.startswith("tokenizer.") for name in absent), absent
    return model.eval()
