#!/usr/bin/env python3
"""Goes on with the decoder alone, at the end -> decoder.pt.

Half of its latents are the encoder's, half were drawn by the finished text encoder and UNet from the
pictures' captions: it learns to make the right picture of what it will be given.
"""

from pathlib import Path

import loop  # first: sets the number of threads
import numpy as np
import torch

import distil
from autoencoder import LATENT_CHANNELS, Decoder, picture_loss
from networks import LATENT_SIDE
from train_diffusion import SEED as DIFFUSION_SEED
from train_diffusion import Samples, networks_for
from train_vae import LATENT_NOISE, as_input, load_pictures, quality

STEPS = 2500
BATCH = 8
RATE, WARM_UP, FLAT = 8e-4, 50, 0.2
KEEP = 0.99
SEED = 4
DRAWN_BATCHES = 160
DRAW_BATCH = 24
DRAWN = Path("drawn.npz")


def draw_latents():
    """Latents drawn from captions, and the numbers of the pictures that they should be."""
    samples = Samples(DRAW_BATCH, DIFFUSION_SEED)
    text, unet = networks_for(samples)
    saved = torch.load("distilled.pt")
    text.load_state_dict(saved["text"])
    unet.load_state_dict(saved["unet"])
    sampler, latents, rows = distil.Sampler(), [], []
    for number in range(DRAWN_BATCHES):
        draws = loop.Draws(SEED, number)
        chosen, ids = samples.captioned(number, draws.numpy, no_caption=0)
        noise = draws.normal((len(chosen), LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE))
        with torch.no_grad():
            words = text(ids)[0]
        latents.append(distil.draw(unet, words, noise, sampler, distil.PUPIL_STEPS)[-1].half())
        rows.append(chosen)
    np.savez(DRAWN, latents=torch.cat(latents).numpy(), rows=np.concatenate(rows))


def main():
    options = loop.arguments(__doc__, STEPS).parse_args()
    loop.prepare()
    torch.manual_seed(SEED)
    if not DRAWN.exists():
        draw_latents()
    drawn = np.load(DRAWN)
    drawn_latents, drawn_rows = drawn["latents"], drawn["rows"]
    pictures, index = load_pictures()
    latents = np.load("latents.npy", mmap_mode="r")
    decoder = Decoder()
    decoder.load_state_dict(torch.load("vae.pt")["decoder"])
    decoder = decoder.to(memory_format=torch.channels_last)
    stage = loop.Stage("decoder", {"decoder": decoder}, RATE, 1e-3)

    def loss_of(step):
        draws = loop.Draws(SEED, step)
        ours = loop.in_turn(SEED, len(index), step, BATCH // 2)
        theirs = loop.in_turn(SEED + 1, len(drawn_rows), step, BATCH // 2)
        z = torch.from_numpy(np.concatenate([latents[ours], drawn_latents[theirs]])).float()
        noise = draws.normal(z.shape)
        noise[BATCH // 2 :] = 0
        x = as_input(pictures[np.concatenate([ours, drawn_rows[theirs]])])
        z = (z + LATENT_NOISE * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            made = decoder(z)
        return picture_loss(made.float(), x)

    rate_of = lambda step: loop.cosine_rate(step, options.steps, RATE, WARM_UP, FLAT, 0.02)
    if not stage.run(options.steps, options.until, rate_of, loss_of, KEEP):
        return
    decoder = stage.averages["decoder"]
    torch.save({"decoder": decoder.state_dict()}, "decoder.pt")
    some = np.arange(0, len(index), 50)
    ours = quality(decoder, torch.from_numpy(latents[some]), pictures[some])
    some = np.arange(0, len(drawn_rows), 16)
    theirs = quality(decoder, torch.from_numpy(drawn_latents[some]), pictures[drawn_rows[some]])
    print(f"PSNR {ours:.2f} dB of the encoder's latents, {theirs:.2f} dB of drawn ones")


if __name__ == "__main__":
    main()
