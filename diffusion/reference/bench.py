#!/usr/bin/env python3
"""The Python side of scripts/bench-engine: diffusers on ONNX Runtime, one thread or as many as asked.

    bench.py MODEL_FOLDER THREADS

Loads the pipeline, then answers each line on standard input (a request as JSON) with a line on standard
output: the seconds that the picture took, and where its bytes are. The first line that it prints is
the seconds from the process's start until it was ready.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path


def process_start():
    """Seconds since the machine's start when this process began, before the interpreter did."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def answer(make):
    """Says that this side is ready, and answers until its input ends; `make` is given a request and its
    noise, and returns the picture."""
    from pictures import noise

    folder = Path(tempfile.mkdtemp())
    ready = time.clock_gettime(time.CLOCK_BOOTTIME) - process_start()
    print(json.dumps({"ready": ready}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        sides = [request[side] // request["factor"] for side in ("height", "width")]
        shape = [1, request["channels"], *sides]
        count = request["channels"] * sides[0] * sides[1]
        begin = time.perf_counter()
        picture = make(request, noise(request["seed"], count).reshape(shape))
        seconds = time.perf_counter() - begin
        path = folder / "picture.rgb"
        path.write_bytes(picture.convert("RGB").tobytes())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "rgb": str(path), "peak_kib": peak}), flush=True)


def draw(pipeline, request, latents):
    """A picture by one of diffusers' pipelines."""
    return pipeline(
        request["prompt"],
        height=request["height"],
        width=request["width"],
        num_inference_steps=request["steps"],
        guidance_scale=request["guidance"],
        latents=latents,
    ).images[0]


def main():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[2])
    from diffusers import DDIMScheduler, OnnxStableDiffusionPipeline

    pipeline = OnnxStableDiffusionPipeline.from_pretrained(
        sys.argv[1], provider="CPUExecutionProvider", sess_options=options, provider_options=[{}]
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    answer(lambda request, latents: draw(pipeline, request, latents))


if __name__ == "__main__":
    main()
