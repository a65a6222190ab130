#!/usr/bin/env python3
"""Makes pictures with diffusers' own pipeline on the default model -> pictures/*.png.

The initial noise is computed here a second time, in NumPy, by the definition in ../src/rng.rs.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from diffusers import DDIMScheduler, EulerDiscreteScheduler, OnnxStableDiffusionPipeline
from PIL import Image, PngImagePlugin

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "models" / "default" / "model"
SIZE, CHANNELS, LATENT = 128, 4, 16


class Euler(EulerDiscreteScheduler):
    """The pipeline multiplies a NumPy array by this, which a tensor refuses."""

    @property
    def init_noise_sigma(self):
        return float(super().init_noise_sigma)


# name, prompt, negative prompt, seed, steps, guidance, scheduler
PICTURES = [
    ("apple_ddim", "a red apple", "", 7, 8, 1.0, DDIMScheduler),
    ("apple_euler", "a red apple", "", 7, 12, 2.0, Euler),
    ("fox_unguided", "a fox", "", 1 << 40, 10, 1.0, DDIMScheduler),
    ("heart_negative", "a red heart", "a blue book", 2**64 - 1, 12, 4.5, DDIMScheduler),
]


def philox(counter, key):
    """Philox4x32-10 on arrays of words."""
    mask, low = np.uint64(0xFFFFFFFF), np.uint64(32)
    c = [np.asarray(word, np.uint64) for word in counter]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> low) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> low) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def noise(seed, count, stream=0):
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    zero = np.zeros_like(blocks)
    words = philox((blocks, zero, zero + np.uint64(stream), zero), (seed & 0xFFFFFFFF, seed >> 32))
    numbers = []
    for a, b in ((words[0], words[1]), (words[2], words[3])):
        radius = np.sqrt(-2 * np.log((a.astype(np.float64) + 1) / 2**32))
        angle = 2 * np.pi * b.astype(np.float64) / 2**32
        numbers += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.stack(numbers, 1).reshape(-1)[:count].astype(np.float32)


def main():
    pipeline = OnnxStableDiffusionPipeline.from_pretrained(MODEL, provider="CPUExecutionProvider")
    pipeline.set_progress_bar_config(disable=True)
    config = json.loads((MODEL / "scheduler" / "scheduler_config.json").read_text())
    versions = ", ".join(f"{name} {version(name)}" for name in ("diffusers", "onnxruntime", "numpy"))
    (HERE / "pictures").mkdir(exist_ok=True)
    for name, prompt, negative, seed, steps, guidance, scheduler in PICTURES:
        pipeline.scheduler = scheduler.from_config(config)
        latents = noise(seed, CHANNELS * LATENT * LATENT).reshape(1, CHANNELS, LATENT, LATENT)
        picture = pipeline(
            prompt,
            negative_prompt=negative,
            height=SIZE,
            width=SIZE,
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=latents,
        ).images[0]
        text = PngImagePlugin.PngInfo()
        for key, value in (("prompt", prompt), ("made by", versions)):
            text.add_text(key, value)
        picture.save(HERE / "pictures" / f"{name}.png", pnginfo=text, optimize=True)


if __name__ == "__main__":
    main()
