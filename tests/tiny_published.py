"""A text encoder as small as can be, of the class that is used at full size; and runs of published systems in small."""

from pathlib import Path

import torch

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import compose
from hybridgen.runs.run import Run
from hybridgen.runs.weights import describe, save

FEATURES = 24
CASES = Path(__file__).parent / "parity/cases"


def write_encoder(folder, features=FEATURES):
    """A random Qwen2 with its tokenizer, in which a byte is a token, as `save_pretrained` leaves them."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

    letters = sorted(ByteLevel.alphabet())
    vocab = {"<|endoftext|>": 0, **{letter: i + 1 for i, letter in enumerate(letters)}}
    Qwen2Tokenizer(vocab=vocab, merges=[]).save_pretrained(folder)
    sizes = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Qwen2Model(Qwen2Config(vocab_size=len(vocab), hidden_size=features, **sizes))
    net.save_pretrained(folder)
    return folder


def write_text_run(folder, *overrides):
    """A run whose model reads 300 tokens of text."""
    return write_run(folder, "hart_t2i", "model.conditioner.length=300", *overrides)


def write_run(folder, case, *overrides):
    """A run of a published system in small, with random weights that are nowhere 0."""
    composed = compose(str(CASES / f"{case}.yaml"), overrides)
    data = assemble_data(composed).spec
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = assemble_model(composed, data)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    run = Run.at(folder, composed.config, composed.delta)
    save(run.model, model, describe("generator", composed.config, data))
    run.finish()
    return folder
