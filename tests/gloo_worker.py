"""What one of two processes does in tests/unit/test_ranks.py: python gloo_worker.py FOLDER. Not a test itself."""

import json
import sys
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from tiny_run import tiny
from tiny_stage import KilledError, few_examples, train

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler
from hybridgen.evaluation.drawing import draw_samples
from hybridgen.generate.trained import Trained
from hybridgen.system import distributed
from hybridgen.training.compute import Compute
from hybridgen.training.launch import together


class DieAt(pl.Callback):
    """Ends both processes at a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KilledError


def untrained():
    """A model with weights from a seed, ready to draw."""
    torch.manual_seed(0)
    composed = tiny()
    model = assemble_model(composed, assemble_data(composed).spec)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    spec = assemble_data(composed).spec
    return Trained(model.eval(), assemble_sampler(composed), composed.config, spec, Path("none"), {})


def draw():
    """Pictures of uneven batches: 5, 5, 5 and 2."""
    return draw_samples(untrained(), 17, 3, 5)[0]


def work(folder):
    """Everything, in the order of the tests; the first process keeps what came of it."""
    kept, examples = {}, few_examples()
    for name, strategy in (("tokenizer", "ddp"), ("adversary", "ddp"), ("generator", "ddp"), ("generator", "fsdp")):
        trained = partial(train, name, examples=examples, compute=Compute(devices=2, strategy=strategy))
        for broken in (False, True):
            place = folder / f"{name}_{strategy}_{'broken' if broken else 'whole'}"
            if broken:
                try:
                    trained(place, [DieAt(7)])
                except KilledError:
                    distributed.barrier()
            module, _ = trained(place)
            kept |= {f"{place.name}.{key}": value for key, value in module.state_dict().items()}
    kept["pictures"] = draw()
    told = distributed.broadcast(lambda: {"from": distributed.rank(), "text": "é"})
    votes = [distributed.any_rank(distributed.rank() == 1), distributed.any_rank(False)]
    facts = {
        "told": told,
        "votes": votes,
        "means": distributed.all_mean({"rank": torch.tensor(float(distributed.rank()))}),
    }
    facts["gathered"] = distributed.all_gather(torch.tensor([[distributed.rank()]])).tolist()
    (folder / f"facts{distributed.rank()}.json").write_text(json.dumps(facts))
    torch.save({name: value.clone() for name, value in kept.items()}, folder / f"kept{distributed.rank()}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with together(Compute(devices=2), torch.device("cpu"), ()):
        work(Path(sys.argv[1]))
