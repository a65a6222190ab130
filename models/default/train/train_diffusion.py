#!/usr/bin/env python3
"""Trains text encoder and UNet together on the latents -> diffusion.pt, tokenizer/.

The target is v (Salimans and Ho 2022). At the last timestep the input is noise alone, as a picture's
first step gets it, not noise with a rest of the picture (Lin et al. 2024 rescale the betas for that;
left as they are, every scheduler works).
"""

import json
from pathlib import Path

import loop  # first: sets the number of threads
import numpy as np
import torch
import torch.nn.functional as F

import captions
import networks
import things

STEPS = 14_000
BATCH = 24
RATE, WARM_UP, FLAT = 1.0e-3, 200, 0.4
KEEP = 0.998
SEED = 2
TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012
NO_CAPTION = 0.08  # how often the prompt is left out, for guidance
OWN_COLOURS = 0.5  # part of the pictures that are in their own colours
NOISE_ALONE = 0.1  # part of the samples at the last timestep


def alphas_cumprod():
    """Stable Diffusion's."""
    roots = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float64)
    return torch.cumprod(1 - roots**2, 0)


def timestep_chances(alphas):
    """Fewer samples where there is little noise: min-SNR weighting (Hang et al. 2023) as a
    probability."""
    weights = torch.clamp(5 * (1 - alphas) / alphas, max=1) ** 0.7 + 0.05
    chances = (1 - NOISE_ALONE) * weights / weights.sum()
    chances[-1] += NOISE_ALONE
    return (chances / chances.sum()).numpy()


class Samples:
    """Latents with captions; a batch is decided by its step."""

    def __init__(self, batch, seed):
        self.latents = np.load("latents.npy", mmap_mode="r")
        self.index = json.loads(Path("index.json").read_text())
        names = {name for row in self.index for name in row["names"]}
        captions.build_tokenizer(sorted(names), "tokenizer")
        self.tokenizer = captions.load_tokenizer("tokenizer")
        self.vocab_size = len(self.tokenizer.get_vocab())
        self.cache = {}
        coloured = np.array([row["colour"] is not None for row in self.index])
        telling = [things.tells_held_out(row["colour"], row["names"]) for row in self.index]
        self.kinds = [np.flatnonzero(~coloured), np.flatnonzero(coloured & ~np.array(telling))]
        own = round(batch * OWN_COLOURS)
        self.counts = [own, batch - own]
        self.seed = seed

    def ids(self, text):
        if text not in self.cache:
            self.cache[text] = captions.encode(self.tokenizer, [text])[0]
        return self.cache[text]

    def captioned(self, step, random, no_caption=NO_CAPTION):
        """A batch's pictures, as numbers, and their captions, as tokens."""
        rows = np.concatenate(
            [
                kind[loop.in_turn(self.seed + n, len(kind), step, count)]
                for n, (kind, count) in enumerate(zip(self.kinds, self.counts))
            ]
        )
        texts = []
        for number in rows:
            row = self.index[number]
            texts.append(captions.draw_caption(random, row["colour"], row["names"]))
        texts = ["" if random.random() < no_caption else text for text in texts]
        return rows, torch.from_numpy(np.stack([self.ids(text) for text in texts]))

    def batch(self, step, random):
        rows, ids = self.captioned(step, random)
        clean = np.stack([self.latents[n] for n in rows]).astype(np.float32)
        return torch.from_numpy(clean), ids


def noised(clean, noise, timesteps, alphas):
    """What the UNet gets at these timesteps."""
    alpha = alphas[timesteps]
    alpha = torch.where(timesteps == TRAIN_STEPS - 1, torch.zeros(()), alpha)[:, None, None, None]
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    return noisy.contiguous(memory_format=torch.channels_last)


def velocity(clean, noisy, timesteps, alphas):
    """The v from which a scheduler finds `clean` again."""
    alpha = alphas[timesteps][:, None, None, None]
    return (alpha.sqrt() * noisy - clean) / (1 - alpha).sqrt()


def networks_for(samples):
    text = networks.text_encoder(samples.vocab_size, captions.LENGTH)
    return text, networks.UNet().to(memory_format=torch.channels_last)


def main():
    options = loop.arguments(__doc__, STEPS).parse_args()
    loop.prepare()
    torch.manual_seed(SEED)
    samples = Samples(BATCH, SEED)
    text, unet = networks_for(samples)
    stage = loop.Stage("diffusion", {"text": text, "unet": unet}, RATE, 0.01)
    alphas = alphas_cumprod()
    chances, alphas = timestep_chances(alphas), alphas.float()

    def loss_of(step):
        draws = loop.Draws(SEED, step)
        clean, ids = samples.batch(step, draws.numpy)
        timesteps = torch.from_numpy(draws.numpy.choice(TRAIN_STEPS, BATCH, p=chances))
        noisy = noised(clean, draws.normal(clean.shape), timesteps, alphas)
        with torch.autocast("cpu", torch.bfloat16):
            made = unet(noisy, timesteps, text(ids)[0])
        return F.mse_loss(made.float(), velocity(clean, noisy, timesteps, alphas))

    rate_of = lambda step: loop.cosine_rate(step, options.steps, RATE, WARM_UP, FLAT)
    if stage.run(options.steps, options.until, rate_of, loss_of, KEEP):
        averages = stage.averages
        torch.save({key: module.state_dict() for key, module in averages.items()}, "diffusion.pt")


if __name__ == "__main__":
    main()
