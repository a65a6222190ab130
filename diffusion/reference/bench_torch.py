#!/usr/bin/env python3
"""PyTorch's side of scripts/bench-engine --cuda: diffusers' own pipeline on a model that sd_shape.py made.

    bench_torch.py MODEL_FOLDER DEVICE eager|compiled

`eager` runs PyTorch's operators one by one, attention by scaled_dot_product_attention; `compiled` has
channels last, and UNet and decoder compiled. Precision is the model's: fp16 on a GPU. Speaks what bench.py
speaks. On the device `cpu` it can be tried out.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

import sd_shape
from bench import process_start
from pictures import noise


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
    pipeline = pipeline.to(device, torch.float32 if device == "cpu" else size.dtype)
    if how == "compiled":
        pipeline.unet = torch.compile(
            pipeline.unet.to(memory_format=torch.channels_last), mode="max-autotune", fullgraph=True
        )
        pipeline.vae.decoder = torch.compile(pipeline.vae.decoder.to(memory_format=torch.channels_last))
    return pipeline


def main():
    folder, device, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    pipeline = load(folder, device, how)
    scratch = Path(tempfile.mkdtemp())
    ready = time.clock_gettime(time.CLOCK_BOOTTIME) - process_start()
    print(json.dumps({"ready": ready}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        sides = [request[side] // request["factor"] for side in ("height", "width")]
        count = request["channels"] * sides[0] * sides[1]
        begin = time.perf_counter()
        latents = torch.from_numpy(noise(request["seed"], count)).reshape(1, request["channels"], *sides)
        picture = pipeline(
            request["prompt"],
            height=request["height"],
            width=request["width"],
            num_inference_steps=request["steps"],
            guidance_scale=request["guidance"],
            latents=latents.to(pipeline.unet.dtype),
        ).images[0]
        # The picture is on the CPU: the GPU has finished.
        seconds = time.perf_counter() - begin
        path = scratch / "picture.rgb"
        path.write_bytes(picture.convert("RGB").tobytes())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "rgb": str(path), "peak_kib": peak}), flush=True)


if __name__ == "__main__":
    main()
