#!/usr/bin/env python3
"""Step 3, optional: refines the decoder alone, on the latents of one style -> vae_refined.pt.

    train_decoder.py MINUTES [STYLE]

One thread; may run beside step 4, which needs the latents only.
"""

import copy
import math
import sys
import time

import numpy as np
import torch

from autoencoder import Decoder, load_pictures, picture_loss, psnr

BATCH = 16
LEARNING_RATE = 8e-4
WARM_UP_STEPS = 50
LATENT_NOISE = 0.12
CHECKED = 256


def main():
    minutes, style = float(sys.argv[1]), (sys.argv[2:] or ["flat"])[0]
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    pictures, styles = load_pictures()
    chosen = torch.from_numpy(styles == style)
    pictures, latents = pictures[chosen], torch.from_numpy(np.load("latents.npz")["z"])[chosen]
    vae = torch.load("vae.pt")
    decoder = Decoder()
    decoder.load_state_dict(vae["dec"])
    decoder = decoder.to(memory_format=torch.channels_last)
    average = copy.deepcopy(decoder)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-3
    )

    @torch.no_grad()
    def quality():
        made = torch.cat([average(latents[i : i + 32]) for i in range(0, CHECKED, 32)])
        return psnr(made, pictures[: len(made)])

    print("before", round(quality(), 2), "dB")
    start, step, order = time.time(), 0, []
    while (done := (time.time() - start) / (minutes * 60)) < 1:
        if len(order) < BATCH:
            order = list(rng.permutation(len(latents)))
        chosen = [order.pop() for _ in range(BATCH)]
        z = latents[chosen]
        loss = picture_loss(decoder(z + LATENT_NOISE * torch.randn_like(z)), pictures[chosen])
        for group in optimizer.param_groups:
            cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP_STEPS) * cosine
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for a, b in zip(average.parameters(), decoder.parameters()):
                a.lerp_(b, 0.01)
    print("steps", step, "after", round(quality(), 2), "dB")
    torch.save({"enc": vae["enc"], "dec": average.state_dict()}, "vae_refined.pt")


if __name__ == "__main__":
    main()
