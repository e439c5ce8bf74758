"""How the light of a picture moves: translation by parts of a pixel, and what a small one changes."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def translate(pictures: Float[Tensor, "*batch pixels"], by: Float[Tensor, "*batch 2"]) -> Tensor:
    """Return pictures `(..., r²)` moved by so many pixels `(..., 2)`, along columns and along rows.

    Their Fourier transform is turned, so that nothing is blurred and light is kept; what leaves on one side comes in
    on the other.
    """
    turned = _spectrum(pictures) * torch.exp(-1j * (_frequencies(pictures) * by[..., None, None]).sum(-3))
    return _pictures(turned)


def motions(pictures: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch 2 pixels"]:
    """Return the derivatives of `translate` by the two motions, at none, `(..., 2, r²)`."""
    turned = _spectrum(pictures)[..., None, :, :] * (-1j * _frequencies(pictures))
    return _pictures(turned)


def _spectrum(pictures: Tensor) -> Tensor:
    side = math.isqrt(pictures.shape[-1])
    spectrum: Tensor = torch.fft.fft2(pictures.reshape(*pictures.shape[:-1], side, side))
    return spectrum


def _pictures(spectrum: Tensor) -> Tensor:
    pictures: Tensor = torch.fft.ifft2(spectrum).real.flatten(-2)
    return pictures


def _frequencies(pictures: Tensor) -> Tensor:
    """Return the phase of each frequency for a motion by one pixel along columns, and along rows, `(2, r, r)`."""
    side = math.isqrt(pictures.shape[-1])
    phases = 2.0 * math.pi * torch.fft.fftfreq(side, dtype=pictures.dtype, device=pictures.device)
    return torch.stack([phases.expand(side, side), phases[:, None].expand(side, side)])
