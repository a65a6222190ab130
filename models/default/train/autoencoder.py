"""The VAE: pictures of 8n x 8n pixels to latents of n x n with 4 channels, and back.

Latents have unit variance; as in Stable Diffusion 1, the graphs divide and multiply by SCALE.
Most of the work is done at the latents' size, where a convolution is cheap: at 128 pixels both ways
cost 0.9 billion multiplications.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALE = 0.18215
LATENT_CHANNELS = 4


class Residual(nn.Module):
    """x plus what two convolutions make of it; nothing at first."""

    def __init__(self, channels):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, x):
        return x + self.b(F.silu(self.a(F.silu(x))))


class Encoder(nn.Module):
    def __init__(self, widths=(48, 112)):
        super().__init__()
        a, b = widths
        self.net = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, a, 3, padding=1),
            Residual(a),
            nn.Conv2d(a, b, 4, 2, 1),
            Residual(b),
            Residual(b),
            nn.SiLU(),
            nn.Conv2d(b, LATENT_CHANNELS, 3, padding=1),
        )
        # Without weights: only brings the latents to mean 0 and variance 1.
        self.bn = nn.BatchNorm2d(LATENT_CHANNELS, affine=False, momentum=0.02)

    def forward(self, x):
        return self.bn(self.net(x))


def upsample(channels_in, channels_out):
    return nn.Sequential(nn.Conv2d(channels_in, channels_out * 4, 1), nn.PixelShuffle(2))


class Decoder(nn.Module):
    def __init__(self, widths=(160, 80, 32), depths=(3, 2, 1)):
        super().__init__()
        a, b, c = widths
        blocks = lambda width, count: [Residual(width) for _ in range(count)]
        self.net = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, a, 3, padding=1),
            *blocks(a, depths[0]),
            upsample(a, b),
            *blocks(b, depths[1]),
            upsample(b, c),
            *blocks(c, depths[2]),
            nn.SiLU(),
            nn.Conv2d(c, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, z):
        return self.net(z)


def picture_loss(made, wanted):
    """Differences of pixels, and of their differences to the neighbours: keeps edges sharp."""
    across = F.l1_loss(made[..., 1:] - made[..., :-1], wanted[..., 1:] - wanted[..., :-1])
    down = F.l1_loss(
        made[..., 1:, :] - made[..., :-1, :], wanted[..., 1:, :] - wanted[..., :-1, :]
    )
    return F.l1_loss(made, wanted) + 0.5 * F.mse_loss(made, wanted) + 0.7 * (across + down)


def psnr(made, wanted):
    """Mean over pictures in [-1, 1], in dB."""
    error = ((made.clamp(-1, 1) - wanted) / 2).pow(2).mean((1, 2, 3))
    return (-10 * error.log10()).mean().item()
