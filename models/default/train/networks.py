"""The text encoder, and the network that predicts one step ("UNet").

The text encoder is CLIP's, small. The UNet has Stable Diffusion's inputs and outputs but a shape of its
own, for speed on a CPU: blocks of 2x2 latents become one place of 16 channels, there are two levels,
most weights are at the small one, and the last token's embedding, which has seen the whole prompt,
acts on every layer together with the timestep.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from autoencoder import LATENT_CHANNELS

WIDTH = 128  # of a token's embedding
LATENT_SIDE = 16  # of a picture of 128 x 128
PATCH = 2
LEVELS = (96, 256)  # channels
DEEP_BLOCKS = 4
CONDITION = 256
HEADS = 4
GROUPS = 16
TIME_FREQUENCIES = 64


def text_encoder(vocab_size, length):
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            attn_implementation="eager",
            vocab_size=vocab_size,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=length,
            projection_dim=WIDTH,
            hidden_act="quick_gelu",
            bos_token_id=vocab_size - 2,
            eos_token_id=vocab_size - 1,
            pad_token_id=vocab_size - 1,
        )
    )


def zeroed(layer):
    """A layer that gives nothing at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Residual(nn.Module):
    """Two convolutions, the second scaled and shifted by the condition."""

    def __init__(self, channels):
        super().__init__()
        self.norm_a, self.norm_b = nn.GroupNorm(GROUPS, channels), nn.GroupNorm(GROUPS, channels)
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.modulate = zeroed(nn.Linear(CONDITION, 2 * channels))

    def forward(self, x, condition):
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, 1)
        y = self.norm_b(self.a(F.silu(self.norm_a(x)))) * (1 + scale) + shift
        return x + self.b(F.silu(y))


class Attention(nn.Module):
    """Every place looks at the other places and at the prompt."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, 2 * channels)
        self.places = nn.Linear(channels, 2 * channels)
        self.words = nn.Linear(WIDTH, 2 * channels)
        self.out = zeroed(nn.Linear(2 * channels, channels))

    def heads(self, x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    def forward(self, x, words):
        _, _, height, width = x.shape
        y = self.norm(x.flatten(2).transpose(1, 2))
        found = []
        for query, source in zip(
            self.query(y).chunk(2, -1), (self.places(y), self.words(words))
        ):
            key, value = (self.heads(part) for part in source.chunk(2, -1))
            # Written out: at this size PyTorch's fused attention trains at a third of the speed.
            weight = self.heads(query) @ (key * key.shape[-1] ** -0.5).transpose(-1, -2)
            found.append((weight.softmax(-1) @ value).transpose(1, 2).flatten(2))
        made = self.out(torch.cat(found, -1))
        return x + made.transpose(1, 2).unflatten(2, (height, width))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        a, b = LEVELS
        patch = LATENT_CHANNELS * PATCH**2
        self.time = nn.Linear(2 * TIME_FREQUENCIES, CONDITION)
        self.pooled = nn.Linear(WIDTH, CONDITION)
        self.condition = nn.Linear(CONDITION, CONDITION)
        self.enter = nn.Conv2d(patch, a, 3, padding=1)
        self.down = nn.ModuleList([Residual(a), Residual(a)])
        self.down_attention = Attention(a)
        self.smaller = nn.Conv2d(a, b, 3, 2, 1)
        self.deep = nn.ModuleList([Residual(b) for _ in range(DEEP_BLOCKS)])
        self.deep_attention = nn.ModuleList([Attention(b) for _ in range(DEEP_BLOCKS)])
        self.larger = nn.Conv2d(b, 4 * a, 1)
        self.join = nn.Conv2d(2 * a, a, 1)
        self.up = nn.ModuleList([Residual(a), Residual(a)])
        self.up_attention = Attention(a)
        self.norm = nn.GroupNorm(GROUPS, a)
        self.leave = zeroed(nn.Conv2d(a, patch, 3, padding=1))
        exponents = torch.arange(TIME_FREQUENCIES) / TIME_FREQUENCIES
        self.register_buffer("frequencies", torch.exp(-math.log(10000) * exponents))

    def forward(self, sample, timestep, words):
        angles = timestep.float()[:, None] * self.frequencies[None]
        time = torch.cat([angles.cos(), angles.sin()], -1)
        condition = F.silu(self.time(time) + self.pooled(words[:, -1]))
        condition = F.silu(self.condition(condition))
        x = self.enter(F.pixel_unshuffle(sample, PATCH))
        x = self.down_attention(self.down[0](x, condition), words)
        x = self.down[1](x, condition)
        y = self.smaller(x)
        for residual, attention in zip(self.deep, self.deep_attention):
            y = attention(residual(y, condition), words)
        # An odd number of places was rounded up on the way down.
        y = F.pixel_shuffle(self.larger(y), 2)[:, :, : x.shape[2], : x.shape[3]]
        x = self.join(torch.cat([x, y], 1))
        x = self.up_attention(self.up[0](x, condition), words)
        x = self.up[1](x, condition)
        return F.pixel_shuffle(self.leave(F.silu(self.norm(x))), PATCH)
