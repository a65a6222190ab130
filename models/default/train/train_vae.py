#!/usr/bin/env python3
"""Step 2: trains the VAE on both styles -> vae.pt, latents.npz.

    train_vae.py MINUTES
"""

import copy
import math
import sys
import time

import numpy as np
import torch

from autoencoder import Decoder, Encoder, load_pictures, picture_loss, psnr

BATCH = 16
LEARNING_RATE = 1.6e-3
WARM_UP_STEPS = 100
# Noise on the latents, so that the decoder forgives what diffusion gets slightly wrong.
LATENT_NOISE = 0.12
MIRRORED = 0.3


@torch.no_grad()
def follow(average, model, keep):
    """Moves the running average of the weights towards the model."""
    for a, b in zip(average.parameters(), model.parameters()):
        a.lerp_(b, 1 - keep)
    for a, b in zip(average.buffers(), model.buffers()):
        a.copy_(b)


@torch.no_grad()
def encode_all(encoder, pictures, batch=64):
    """All latents, and the exact statistics for the averaged encoder's normalisation."""
    raw = torch.cat([encoder.net(pictures[i : i + batch]) for i in range(0, len(pictures), batch)])
    encoder.bn.running_mean.copy_(raw.mean((0, 2, 3)))
    encoder.bn.running_var.copy_(raw.var((0, 2, 3)))
    return encoder.bn(raw)


def main():
    minutes = float(sys.argv[1])
    torch.manual_seed(0)
    # Without it the rate falls to a third as weights decay to subnormal numbers.
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(0)
    pictures, _ = load_pictures()
    encoder = Encoder().to(memory_format=torch.channels_last)
    decoder = Decoder().to(memory_format=torch.channels_last)
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-3)
    average_encoder, average_decoder = copy.deepcopy(encoder), copy.deepcopy(decoder)

    start, step, order = time.time(), 0, []
    while (done := (time.time() - start) / (minutes * 60)) < 1:
        if len(order) < BATCH:
            order = list(rng.permutation(len(pictures)))
        x = pictures[[order.pop() for _ in range(BATCH)]]
        mirrored = torch.from_numpy(rng.random(BATCH) < MIRRORED)[:, None, None, None]
        x = torch.where(mirrored, x.flip(3), x).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP_STEPS) * cosine
        z = encoder(x)
        loss = picture_loss(decoder(z + LATENT_NOISE * torch.randn_like(z)), x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        keep = min(0.995, step / (step + 10))
        follow(average_encoder, encoder, keep)
        follow(average_decoder, decoder, keep)
        if step % 50 == 0:
            print(step, f"{time.time() - start:.0f} s", f"loss {loss.item():.4f}", flush=True)

    average_encoder.eval()
    average_decoder.eval()
    latents = encode_all(average_encoder, pictures)
    with torch.no_grad():
        made = torch.cat([average_decoder(latents[i : i + 64]) for i in range(0, len(latents), 64)])
    print("steps", step, "PSNR", round(psnr(made, pictures), 2), "dB")
    torch.save({"enc": average_encoder.state_dict(), "dec": average_decoder.state_dict()}, "vae.pt")
    np.savez("latents.npz", z=latents.numpy())


if __name__ == "__main__":
    main()
