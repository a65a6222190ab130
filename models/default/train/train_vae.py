#!/usr/bin/env python3
"""Trains the VAE on the pictures in all colours -> vae.pt, latents.npy (fp16).

Arithmetic is bfloat16 where it is most of the work. The encoder is finished here; train_decoder.py
goes on with the decoder.
"""

import json
from pathlib import Path

import loop  # first: sets the number of threads
import numpy as np
import torch

from autoencoder import Decoder, Encoder, picture_loss, psnr

STEPS = 2000
BATCH = 8
RATE, WARM_UP, FLAT = 1.6e-3, 100, 0.3
KEEP = 0.99
SEED = 1
# Noise on the latents, so that the decoder forgives what diffusion gets slightly wrong.
LATENT_NOISE = 0.12
MIRRORED = 0.3


def load_pictures():
    """All pictures, left on the disk, and the index."""
    return np.load("pictures.npy", mmap_mode="r"), json.loads(Path("index.json").read_text())


def as_input(pictures):
    """Bytes, channels last, to [-1, 1]."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return x.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def chosen_pictures(index, step, batch, seed):
    """Half are in their own colours, half in others; each kind in turn."""
    kinds = np.array([row["word"] is not None for row in index])
    halves = [np.flatnonzero(kinds == kind) for kind in (False, True)]
    return np.concatenate(
        [half[loop.in_turn(seed + n, len(half), step, batch // 2)] for n, half in enumerate(halves)]
    )


@torch.no_grad()
def encode_all(encoder, pictures, batch=64):
    """All latents, and the exact statistics for the averaged encoder's normalisation."""
    raw = []
    for i in range(0, len(pictures), batch):
        with torch.autocast("cpu", torch.bfloat16):
            raw.append(encoder.net(as_input(pictures[i : i + batch])).float())
    raw = torch.cat(raw)
    encoder.bn.running_mean.copy_(raw.mean((0, 2, 3)))
    encoder.bn.running_var.copy_(raw.var((0, 2, 3)))
    return encoder.bn(raw)


@torch.no_grad()
def quality(decoder, latents, pictures, batch=32):
    made = torch.cat([decoder(latents[i : i + batch].float()) for i in range(0, len(latents), batch)])
    return psnr(made, as_input(pictures))


def main():
    options = loop.arguments(__doc__, STEPS).parse_args()
    loop.prepare()
    torch.manual_seed(SEED)
    pictures, index = load_pictures()
    encoder = Encoder().to(memory_format=torch.channels_last)
    decoder = Decoder().to(memory_format=torch.channels_last)
    stage = loop.Stage("vae", {"encoder": encoder, "decoder": decoder}, RATE, 1e-3, fused=False)

    def loss_of(step):
        draws = loop.Draws(SEED, step)
        x = as_input(pictures[chosen_pictures(index, step, BATCH, SEED)])
        mirrored = torch.from_numpy(draws.numpy.random(BATCH) < MIRRORED)[:, None, None, None]
        x = torch.where(mirrored, x.flip(3), x).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            z = encoder(x)
            made = decoder(z + LATENT_NOISE * draws.normal(z.shape))
        return picture_loss(made.float(), x)

    rate_of = lambda step: loop.cosine_rate(step, options.steps, RATE, WARM_UP, FLAT, 0.02)
    done = stage.run(options.steps, options.until, rate_of, loss_of, KEEP)
    if not done:
        return
    encoder, decoder = stage.averages["encoder"], stage.averages["decoder"]
    latents = encode_all(encoder, pictures).half()
    np.save("latents.npy", latents.numpy())
    torch.save({"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, "vae.pt")
    some = np.arange(0, len(index), 50)
    print("PSNR", round(quality(decoder, latents[some], pictures[some]), 2), "dB")


if __name__ == "__main__":
    main()
