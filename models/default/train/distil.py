#!/usr/bin/env python3
"""Teaches the UNet to draw in few steps without guidance -> distilled.pt.

Progressive distillation (Salimans and Ho 2022) with guidance in it (Meng et al. 2023): one step of the
pupil is to end where two of the teacher's, with guidance, end. Half of the places it starts from are
noised latents, half are those that its own steps reach from noise, so that it also learns to go on
from what it draws itself. The text encoder stays as it is.
"""

import loop  # first: sets the number of threads
import torch
import torch.nn.functional as F

from train_diffusion import (
    SEED as TEACHER_SEED,
    TRAIN_STEPS,
    Samples,
    alphas_cumprod,
    networks_for,
    noised,
)

STEPS = 900
BATCH = 24
RATE, WARM_UP, FLAT = 2e-4, 30, 0.3
KEEP = 0.98
SEED = 3
PUPIL_STEPS = 8
GUIDANCE = 2.0
OWN_PLACES = 0.5  # how often it starts from where it came itself


def grid(steps):
    """Timesteps of DDIM with `trailing` spacing, and after the last the end: -1."""
    return [round(TRAIN_STEPS - n * TRAIN_STEPS / steps) - 1 for n in range(steps)] + [-1]


class Sampler:
    """DDIM's steps on v."""

    def __init__(self):
        self.alphas = alphas_cumprod()

    def alpha(self, timestep):
        return 1.0 if timestep < 0 else self.alphas[timestep].item()

    def step(self, x, v, now, then):
        a, b = self.alpha(now), self.alpha(then)
        clean = a**0.5 * x - (1 - a) ** 0.5 * v
        noise = a**0.5 * v + (1 - a) ** 0.5 * x
        return b**0.5 * clean + (1 - b) ** 0.5 * noise

    def velocity_to(self, x, wanted, now, then):
        """The v with which step() goes from x to `wanted`."""
        a, b = self.alpha(now), self.alpha(then)
        # step() is x cos(d) - v sin(d), d being the difference of the two angles.
        cos = (a * b) ** 0.5 + ((1 - a) * (1 - b)) ** 0.5
        sin = (b * (1 - a)) ** 0.5 - (a * (1 - b)) ** 0.5
        return (x * cos - wanted) / sin


def predict(unet, x, timestep, words):
    timesteps = torch.full((len(x),), timestep)
    with torch.autocast("cpu", torch.bfloat16):
        made = unet(x.contiguous(memory_format=torch.channels_last), timesteps, words)
    return made.float()


@torch.no_grad()
def draw(unet, words, noise, sampler, steps):
    """The places of a picture's way, the last of them the finished latents."""
    places, times = [noise], grid(steps)
    for now, then in zip(times, times[1:]):
        v = predict(unet, places[-1], now, words)
        places.append(sampler.step(places[-1], v, now, then))
    return places


def main():
    options = loop.arguments(__doc__, STEPS).parse_args()
    loop.prepare()
    torch.manual_seed(SEED)
    samples = Samples(BATCH, TEACHER_SEED)
    text, teacher = networks_for(samples)
    _, pupil = networks_for(samples)
    saved = torch.load("diffusion.pt")
    text.load_state_dict(saved["text"])
    teacher.load_state_dict(saved["unet"])
    pupil.load_state_dict(saved["unet"])
    stage = loop.Stage("distilled", {"unet": pupil}, RATE, 0.0)
    sampler, alphas = Sampler(), alphas_cumprod().float()
    times = grid(PUPIL_STEPS)
    halves = grid(2 * PUPIL_STEPS)
    with torch.no_grad():
        nothing = text(torch.from_numpy(samples.ids("")[None]))[0]

    @torch.no_grad()
    def taught(x, words, now, middle, then):
        for a, b in ((now, middle), (middle, then)):
            both = torch.cat([words, nothing.expand_as(words)])
            with_words, without = predict(teacher, torch.cat([x, x]), a, both).chunk(2)
            x = sampler.step(x, without + GUIDANCE * (with_words - without), a, b)
        return x

    def loss_of(step):
        draws = loop.Draws(SEED, step)
        clean, ids = samples.batch(step, draws.numpy)
        with torch.no_grad():
            words = text(ids)[0]
        place = int(draws.numpy.integers(PUPIL_STEPS))
        now, middle, then = times[place], halves[2 * place + 1], times[place + 1]
        noise = draws.normal(clean.shape)
        if draws.numpy.random() < OWN_PLACES:
            x = noise
            with torch.no_grad():
                for a, b in zip(times[:place], times[1:]):
                    x = sampler.step(x, predict(pupil, x, a, words), a, b)
        else:
            x = noised(clean, noise, torch.full((BATCH,), now), alphas)
        wanted = sampler.velocity_to(x, taught(x, words, now, middle, then), now, then)
        return F.mse_loss(predict(pupil, x, now, words), wanted)

    rate_of = lambda step: loop.cosine_rate(step, options.steps, RATE, WARM_UP, FLAT)
    if stage.run(options.steps, options.until, rate_of, loss_of, KEEP):
        state = {"text": text.state_dict(), "unet": stage.averages["unet"].state_dict()}
        torch.save(state, "distilled.pt")


if __name__ == "__main__":
    main()
