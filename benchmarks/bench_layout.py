"""A step of stage 1 with channels innermost against the usual layout, forward and backward, on the demo's tokenizer.

python benchmarks/bench_layout.py
"""

import time
from unittest.mock import patch

import torch
from common import demo_model, ratio

from hybridgen.nn.draws import Draws
from hybridgen.tokenizers.base import Tokenizer

STEPS = 10  # a round


def main() -> None:
    """Prints one ratio."""
    _, model = demo_model()
    x = torch.rand(32, 1, 28, 28) * 2 - 1

    def usual() -> float:
        with patch("hybridgen.nn.conv.channels_innermost", lambda x: x):
            return seconds(model.tokenizer, x)

    ratio("tokenizer step, channels innermost", lambda: seconds(model.tokenizer, x), usual)


def seconds(tokenizer: Tokenizer, x: torch.Tensor) -> float:
    """Of one step, without the optimiser."""
    began = time.perf_counter()
    for index in range(STEPS):
        tokenizer.loss(x, Draws(0, "tokenizer", index))["loss"].backward()
    return (time.perf_counter() - began) / STEPS


if __name__ == "__main__":
    main()
