"""What the training stages share: one process, a fixed number of steps, and checkpoints.

All randomness of a step comes from the stage's seed and the step's number, and the learning rate from
the step's number, so that a run that was stopped and continued gives the weights of one that was not.
"""

import copy
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

# Seconds between checkpoints.
CHECKPOINT_EVERY = 60
REPORT_EVERY = 100


def prepare():
    """One thread: another number would add in another order. Subnormal numbers off: with them the
    rate falls to a third after some hundred steps."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False


def cosine_rate(step, steps, peak, warm_up, flat=0.0, floor=0.01):
    """Rises for warm_up steps, is constant for a part of the run, then falls along a cosine."""
    done = max(0.0, (step / steps - flat) / (1 - flat))
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return peak * min(1.0, (step + 1) / warm_up) * (floor + (1 - floor) * cosine)


class Draws:
    """The random numbers of one step."""

    def __init__(self, seed, step):
        self.numpy = np.random.default_rng((seed, step))
        self.torch = torch.Generator().manual_seed(seed * 10_000_000 + step)

    def normal(self, shape):
        return torch.randn(shape, generator=self.torch)


def in_turn(seed, count, step, batch):
    """The batch's indices: every one of `count` once before any comes again."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = np.unique(places // count)
    orders = {e: np.random.default_rng((seed, 1 << 40, int(e))).permutation(count) for e in epochs}
    return np.array([orders[p // count][p % count] for p in places])


class Stage:
    """A stage's modules, their running averages, and the optimizer; saved and loaded as one file."""

    def __init__(self, name, modules, rate, decay, fused=True, betas=(0.9, 0.99)):
        self.path = Path(f"{name}.checkpoint.pt")
        self.modules = modules
        self.averages = {key: copy.deepcopy(module).eval() for key, module in modules.items()}
        weights = self.weights()
        groups = [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": decay},
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=betas, fused=fused)
        self.step = 0

    def weights(self):
        return [w for m in self.modules.values() for w in m.parameters() if w.requires_grad]

    def state(self):
        return {
            "step": self.step,
            "modules": {k: m.state_dict() for k, m in self.modules.items()},
            "averages": {k: m.state_dict() for k, m in self.averages.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def save(self):
        temporary = self.path.with_suffix(".tmp")
        torch.save(self.state(), temporary)
        temporary.rename(self.path)

    def resume(self):
        if not self.path.exists():
            return
        saved = torch.load(self.path)
        for key in self.modules:
            self.modules[key].load_state_dict(saved["modules"][key])
            self.averages[key].load_state_dict(saved["averages"][key])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]
        print("continues at step", self.step, flush=True)

    @torch.no_grad()
    def follow(self, keep):
        """Moves the averages towards the modules."""
        for key, module in self.modules.items():
            average = self.averages[key]
            ours = [w.data for w in average.parameters()]
            torch._foreach_lerp_(ours, [w.data for w in module.parameters()], 1 - keep)
            for a, b in zip(average.buffers(), module.buffers()):
                a.copy_(b)

    def run(self, steps, until, rate_of, loss_of, keep):
        """Trains to step `until` of `steps`; loss_of(step) is the step's loss."""
        self.resume()
        started, first, saved, smooth = time.time(), self.step, time.time(), None
        weights = self.weights()
        while self.step < min(until or steps, steps):
            for group in self.optimizer.param_groups:
                group["lr"] = rate_of(self.step)
            for weight in weights:
                weight.grad = None
            loss = loss_of(self.step)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            self.optimizer.step()
            self.step += 1
            self.follow(min(keep, self.step / (self.step + 10)))
            value = loss.item()
            smooth = value if smooth is None else 0.99 * smooth + 0.01 * value
            if self.step % REPORT_EVERY == 0:
                speed = (self.step - first) / (time.time() - started)
                print(f"step {self.step} of {steps}, {speed:.2f} a second, loss {smooth:.4f}", flush=True)
            if time.time() - saved > CHECKPOINT_EVERY:
                self.save()
                saved = time.time()
        self.save()
        return self.step >= steps


def arguments(description, steps):
    """The command line of a stage."""
    import argparse

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=steps, help=f"of the whole run ({steps})")
    parser.add_argument("--until", type=int, help="stop after this step; call again to continue")
    return parser
