#!/usr/bin/env python3
"""PyTorch's side of scripts/bench-engine --cuda: diffusers' own pipeline on a model that sd_shape.py made.

    bench_torch.py MODEL_FOLDER DEVICE eager|compiled

`eager` runs PyTorch's operators one by one, attention by scaled_dot_product_attention; `compiled` has
channels last, and UNet and decoder compiled. Computes in fp16 on a GPU, as the engine does. Speaks what bench.py
speaks. On the device `cpu` it can be tried out.
"""

import sys
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

import sd_shape
from bench import answer, draw


def load(folder, device, how):
    size = sd_shape.SIZES[(folder / "size").read_text()]
    text, unet, vae = sd_shape.networks(size)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline = pipeline.to(device, torch.float32 if device == "cpu" else torch.float16)
    if how == "compiled":
        pipeline.unet = torch.compile(
            pipeline.unet.to(memory_format=torch.channels_last), mode="max-autotune", fullgraph=True
        )
        pipeline.vae.decoder = torch.compile(pipeline.vae.decoder.to(memory_format=torch.channels_last))
    return pipeline


def main():
    pipeline = load(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    # The picture comes on the CPU, so the GPU has finished.
    tensor = lambda latents: torch.from_numpy(latents).to(pipeline.unet.dtype)
    answer(lambda request, latents: draw(pipeline, request, tensor(latents)))


if __name__ == "__main__":
    main()
