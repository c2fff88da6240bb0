"""The multi-resolution STFT distance between sounds: how well a signal's spectrograms are met, at several resolutions.

Source: Parallel WaveGAN, arXiv:1910.11480, equations 4 to 7.
"""

import torch
from jaxtyping import Float
from torch import Tensor

FLOOR = 1e-7  # of a squared magnitude, so that its root and its logarithm have finite gradients
QUIET = 1e-2  # of the full scale, root mean square: quieter signals are divided by this one's magnitudes, -40 dB

Resolution = tuple[int, int, int]  # FFT size, length of the window, hop; in samples


def stft_distance(
    given: Float[Tensor, "B X L"], x: Float[Tensor, "B X L"], resolutions: tuple[Resolution, ...]
) -> Float[Tensor, ""]:
    """Mean over resolutions of spectral convergence and log-magnitude distance; zero where both are equal.

    Each channel of each row is a signal of its own, in [-1, 1].

    Args:
        given: the signals that are judged.
        x: the signals that they should be.
        resolutions: of the spectrograms.
    """
    flat = (given.float().flatten(0, 1), x.float().flatten(0, 1))
    return torch.stack([_at_one_resolution(*flat, resolution) for resolution in resolutions]).mean()


def _at_one_resolution(given: Float[Tensor, "N L"], x: Float[Tensor, "N L"], resolution: Resolution) -> Tensor:
    """Equation 4: mean over signals of L_sc + L_mag.

    L_sc (equation 5) is ||STFT(x)| - |STFT(given)||_F / ||STFT(x)||_F; where x is silent or nearly so, a signal of
    -40 dB stands for it in the denominator. L_mag (equation 6) is the mean of |log|STFT(x)| - log|STFT(given)||.
    """
    window = torch.hann_window(resolution[1], device=x.device)
    ours, theirs = magnitudes(given, resolution, window), magnitudes(x, resolution, window)
    quiet = QUIET * (window.square().sum() * ours[0].numel()).sqrt()
    size = torch.linalg.vector_norm(theirs, dim=(1, 2)).maximum(quiet)
    convergence = torch.linalg.vector_norm(theirs - ours, dim=(1, 2)) / size
    return convergence.mean() + (theirs.log() - ours.log()).abs().mean()


def magnitudes(
    x: Float[Tensor, "N L"], resolution: Resolution, window: Float[Tensor, " W"]
) -> Float[Tensor, "N F frames"]:
    """|STFT(x)|, centred frames with mirrored ends, never below the root of `FLOOR`."""
    size, length, hop = resolution
    spectrum = torch.stft(x, size, hop, length, window, center=True, pad_mode="reflect", return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).clamp(min=FLOOR).sqrt()
