#!/usr/bin/env python3
"""Step 4: trains text encoder and UNet together on the latents -> diffusion.pt, tokenizer/.

    train_diffusion.py MINUTES [--style flat] [--from diffusion.pt] [--rate 1e-3] [--warm-up 150]

The target is v (Salimans and Ho 2022). Workers of one thread each share the weights without locks
(Recht et al. 2011, "Hogwild!"), each with its own Adam: on two cores faster than two threads, but no
two runs give the same bits.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import copy
import math
import time

import numpy as np
import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F

import captions
import networks

TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012
NO_CAPTION = 0.1  # how often the prompt is left out, for guidance
AVERAGE_EVERY = 4


def alphas_cumprod():
    roots = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float64)
    return torch.cumprod(1 - roots**2, 0)


def timestep_weights(alphas):
    """Fewer samples where there is little noise: min-SNR weighting (Hang et al. 2023) as a
    probability."""
    weights = torch.clamp(5 * (1 - alphas) / alphas, max=1) ** 0.7 + 0.05
    return (weights / weights.sum()).numpy()


class Job:
    """What the workers share."""

    def __init__(self, options):
        self.options = options
        data, latents = np.load("data.npz"), torch.from_numpy(np.load("latents.npz")["z"])
        # Of both styles, so that a later run with the other one fits the same vocabulary.
        vocab_size = captions.build_tokenizer(data["name"], "tokenizer")
        tokenizer = captions.load_tokenizer("tokenizer")
        chosen = data["style"] == options.style
        names, styles = data["name"][chosen], data["style"][chosen]
        self.latents = latents[torch.from_numpy(chosen)]
        texts = [captions.encode(tokenizer, captions.captions(*pair)) for pair in zip(names, styles)]
        self.ids = torch.from_numpy(np.stack(texts))  # picture, template, token
        self.empty = torch.from_numpy(captions.encode(tokenizer, [""]))[0]

        self.text = networks.text_encoder(vocab_size, captions.LENGTH)
        self.unet = networks.unet().to(memory_format=torch.channels_last)
        if options.start:
            saved = torch.load(options.start)
            self.text.load_state_dict(saved["te"])
            self.unet.load_state_dict(saved["un"])
        self.average_text = copy.deepcopy(self.text).eval()
        self.average_unet = copy.deepcopy(self.unet).eval()
        self.text.share_memory()
        self.unet.share_memory()
        self.samples = torch.zeros(options.workers, dtype=torch.int64).share_memory_()
        self.start = time.time()

    def weights(self):
        return [*self.text.parameters(), *self.unet.parameters()]

    def averages(self):
        return [*self.average_text.parameters(), *self.average_unet.parameters()]


def worker(job, rank):
    options = job.options
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.manual_seed(100 + rank)
    rng = np.random.default_rng(100 + rank)
    alphas = alphas_cumprod()
    chances, alphas = timestep_weights(alphas), alphas.float()
    template_chances = np.array([weight for _, weight in captions.TEMPLATES])
    template_chances /= template_chances.sum()

    weights = job.weights()
    decayed = [weight for weight in weights if weight.ndim > 1]
    plain = [weight for weight in weights if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.99))

    batch, count = options.batch, len(job.latents)
    step, order, smooth = 0, [], None
    while (done := (time.time() - job.start) / (options.minutes * 60)) < 1:
        if len(order) < batch:
            order = list(rng.permutation(count)) + order
        chosen = np.array([order.pop() for _ in range(batch)])
        ids = job.ids[chosen, rng.choice(len(template_chances), batch, p=template_chances)].clone()
        ids[torch.from_numpy(rng.random(batch) < NO_CAPTION)] = job.empty
        timesteps = torch.from_numpy(rng.choice(TRAIN_STEPS, batch, p=chances))
        clean = job.latents[chosen]
        noise = torch.randn_like(clean)
        alpha = alphas[timesteps][:, None, None, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean

        # Constant for half of the time, then a cosine to almost nothing.
        cosine = 1 if done < 0.5 else 0.5 * (1 + math.cos(math.pi * (done - 0.5) / 0.5))
        rate = options.rate * min(1, (step + 1) / options.warm_up) * (0.01 + 0.99 * cosine)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for weight in weights:
            weight.grad = None
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        made = job.unet(noisy, timesteps, job.text(ids)[0], return_dict=False)[0]
        loss = F.mse_loss(made, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        job.samples[rank] = step * batch

        smooth = loss.item() if smooth is None else 0.99 * smooth + 0.01 * loss.item()
        if rank != 0:
            continue
        if step % AVERAGE_EVERY == 0:
            keep = min(0.99, step / (step + 40))
            averages = [average.data for average in job.averages()]
            torch._foreach_lerp_(averages, [weight.data for weight in weights], 1 - keep)
        if step % 100 == 0:
            total = int(job.samples.sum())
            rate = total / (time.time() - job.start)
            print(step, f"epoch {total / count:.1f} {rate:.0f} pictures/s loss {smooth:.4f}", flush=True)
    if rank == 0:
        state = {"te": job.average_text.state_dict(), "un": job.average_unet.state_dict()}
        torch.save(state, "diffusion.pt")
        print("samples", int(job.samples.sum()), "epochs", round(int(job.samples.sum()) / count, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--style", default="flat")
    parser.add_argument("--from", dest="start", help="continue with these weights")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warm-up", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    job = Job(parser.parse_args())
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=worker, args=(job, r)) for r in range(job.options.workers)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()


if __name__ == "__main__":
    main()
