#!/usr/bin/env python3
"""Asks diffusers' schedulers for timesteps and samples -> schedulers.json.

Each case starts from the same sample and feeds the same predictions; what is compared is the
scheduler's arithmetic alone.
"""

import itertools
import json
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

HERE = Path(__file__).resolve().parent
CLASSES = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler}
STEPS = 7
SIZE = 4

STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
# scheduler_config.json of Stable Diffusion 1.5 (a PNDMScheduler's) and 2.1.
SD_1_5 = STABLE_DIFFUSION | {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
SD_2_1 = STABLE_DIFFUSION | {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


def cases():
    """(scheduler, configuration, steps)"""
    spacings = ("leading", "trailing", "linspace")
    predictions = ("epsilon", "v_prediction", "sample")
    for scheduler, spacing, prediction in itertools.product(CLASSES, spacings, predictions):
        choice = {"timestep_spacing": spacing, "prediction_type": prediction, "clip_sample": False}
        yield scheduler, STABLE_DIFFUSION | choice, STEPS
        yield scheduler, STABLE_DIFFUSION | choice | {"steps_offset": 1, "set_alpha_to_one": False}, 50
    for scheduler in CLASSES:
        yield scheduler, {}, STEPS
        yield scheduler, SD_1_5, 20
        yield scheduler, SD_2_1, 20
        for schedule in ("linear", "squaredcos_cap_v2"):
            yield scheduler, {"beta_schedule": schedule, "prediction_type": "v_prediction"}, STEPS
        for spacing, steps in itertools.product(spacings, (1, 2, 3, 30, 250)):
            # Not 499: there diffusers' trailing spacing has a 500th timestep, -1, by rounding.
            yield scheduler, STABLE_DIFFUSION | {"timestep_spacing": spacing}, steps
        zero_snr = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
        for spacing in spacings:
            yield scheduler, STABLE_DIFFUSION | zero_snr | {"timestep_spacing": spacing}, STEPS
        yield scheduler, {"num_train_timesteps": 100, "timestep_spacing": "trailing"}, 9
        yield scheduler, {"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.3]}, 3
    yield "ddim", STABLE_DIFFUSION | {"clip_sample_range": 0.5}, STEPS
    yield "euler", STABLE_DIFFUSION | {"final_sigmas_type": "sigma_min"}, STEPS


def run(name, config, steps, start, predictions):
    scheduler = CLASSES[name].from_config(config)
    scheduler.set_timesteps(steps)
    sample = start * scheduler.init_noise_sigma
    samples, inputs = [], []
    for step, timestep in enumerate(scheduler.timesteps):
        inputs.append(scheduler.scale_model_input(sample, timestep).tolist())
        prediction = predictions[step % len(predictions)]
        sample = scheduler.step(prediction, timestep, sample).prev_sample
        samples.append(sample.tolist())
    return {
        "scheduler": name,
        "config": config,
        "steps": steps,
        "initial_scale": float(scheduler.init_noise_sigma),
        "timesteps": scheduler.timesteps.tolist(),
        # All of many steps would be megabytes; a wrong one is still there at the end.
        "inputs": inputs[:STEPS],
        "samples": samples[:STEPS],
        "last": samples[-1],
    }


def main():
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(STEPS + 1, SIZE, generator=generator)
    start, predictions = numbers[0], numbers[1:]
    reference = {
        "made_by": {name: version(name) for name in ("diffusers", "torch")},
        "start": start.tolist(),
        "predictions": predictions.tolist(),
        "cases": [run(*case, start, predictions) for case in cases()],
    }
    text = json.dumps(reference, separators=(",", ":"))
    (HERE / "schedulers.json").write_text(text.replace('{"scheduler"', '\n{"scheduler"') + "\n")


if __name__ == "__main__":
    main()
