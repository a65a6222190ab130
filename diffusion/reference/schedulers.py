#!/usr/bin/env python3
"""Asks diffusers' schedulers for timesteps and samples -> schedulers.json.

Each case starts from the same sample and feeds the same predictions and the same noise; what is
compared is the scheduler's arithmetic alone. The cases are all spacings, prediction types and options
that the class has, except those that diffusers itself refuses or turns into NaN.
"""

import itertools
import json
import math
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

HERE = Path(__file__).resolve().parent
CLASSES = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "pndm": PNDMScheduler,
    "euler_ancestral": EulerAncestralDiscreteScheduler,
    "dpm_plus_plus_2m": DPMSolverMultistepScheduler,
    "uni_pc": UniPCMultistepScheduler,
    "lcm": LCMScheduler,
}
NO_SAMPLE_PREDICTION = ("pndm", "euler_ancestral")
STEPS = 7
SIZE = 4
SHOWN = 4  # steps whose input and output are kept

STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
# scheduler_config.json of Stable Diffusion 1.5 (a PNDMScheduler's), 2.1, SDXL, SDXL-Turbo and LCM.
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
SDXL = STABLE_DIFFUSION | {
    "_class_name": "EulerDiscreteScheduler",
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
TURBO = SDXL | {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}
LCM = STABLE_DIFFUSION | {
    "_class_name": "LCMScheduler",
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "original_inference_steps": 50,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_scaling": 10.0,
    "timestep_spacing": "leading",
}
SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def families():
    """What real folders say, under every class that can read it."""
    for scheduler in CLASSES:
        for config, steps in ((SD_1_5, 20), (SD_2_1, 20), (SDXL, 20), (TURBO, 1), (TURBO, 4), (LCM, 4)):
            if scheduler == "pndm" and steps < 4:
                continue
            yield scheduler, config, steps


def every_spacing_and_prediction():
    for scheduler, spacing, prediction in itertools.product(CLASSES, SPACINGS, PREDICTIONS):
        if prediction == "sample" and scheduler in NO_SAMPLE_PREDICTION:
            continue
        choice = {"timestep_spacing": spacing, "prediction_type": prediction, "clip_sample": False}
        yield scheduler, STABLE_DIFFUSION | choice, STEPS
        more = {"steps_offset": 1, "set_alpha_to_one": scheduler == "pndm", "skip_prk_steps": True}
        yield scheduler, STABLE_DIFFUSION | choice | more, 30
        zero_snr = {"rescale_betas_zero_snr": True}
        if prediction != "epsilon" and scheduler != "pndm":
            yield scheduler, STABLE_DIFFUSION | choice | zero_snr, STEPS


def betas_and_steps():
    for scheduler in CLASSES:
        yield scheduler, {}, STEPS
        for schedule in ("linear", "squaredcos_cap_v2"):
            yield scheduler, {"beta_schedule": schedule, "prediction_type": "v_prediction"}, STEPS
        for spacing, steps in itertools.product(SPACINGS, (1, 2, 3, 15, 50, 250)):
            # Not 61, 103, 499 and others: there diffusers' trailing spacing has a timestep more, -1, by rounding.
            if (scheduler == "lcm" and steps > 50) or (scheduler == "uni_pc" and steps > 50):
                continue
            # Warm-up without skipping takes four timesteps; with it, two are the same first ones.
            if scheduler == "pndm" and steps < 4:
                yield scheduler, STABLE_DIFFUSION | {"timestep_spacing": spacing, "skip_prk_steps": True}, steps
            else:
                yield scheduler, STABLE_DIFFUSION | {"timestep_spacing": spacing}, steps
        small = {"num_train_timesteps": 100, "timestep_spacing": "trailing"}
        yield scheduler, small, 9
    for scheduler in ("ddim", "euler", "euler_ancestral"):
        yield scheduler, {"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.3]}, 3


def own_options():
    for scheduler, clip in itertools.product(("ddim", "lcm"), (0.5, 1.0)):
        yield scheduler, STABLE_DIFFUSION | {"clip_sample": True, "clip_sample_range": clip}, STEPS
    for scheduler, sigmas, prediction, final, steps in itertools.product(
        ("euler", "dpm_plus_plus_2m", "uni_pc"),
        ("use_karras_sigmas", "use_exponential_sigmas"),
        PREDICTIONS,
        ("zero", "sigma_min"),
        (STEPS, 20),
    ):
        choice = {sigmas: True, "prediction_type": prediction, "final_sigmas_type": final}
        yield scheduler, STABLE_DIFFUSION | choice, steps
    for scheduler in ("euler", "dpm_plus_plus_2m", "uni_pc"):
        ends = {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0}
        yield scheduler, STABLE_DIFFUSION | ends, STEPS
        yield scheduler, {"beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}, STEPS
        yield scheduler, STABLE_DIFFUSION | {"final_sigmas_type": "sigma_min"}, STEPS
        yield scheduler, SDXL | {"use_karras_sigmas": True}, 25
    for spacing in SPACINGS:
        logarithm = {"interpolation_type": "log_linear", "timestep_spacing": spacing}
        yield "euler", STABLE_DIFFUSION | logarithm, STEPS
    for algorithm, solver, order, final, steps in itertools.product(
        ("dpmsolver++", "sde-dpmsolver++"), ("midpoint", "heun"), (1, 2, 3), ("zero", "sigma_min"), (STEPS, 20)
    ):
        if algorithm.startswith("sde") and order == 3 and steps > STEPS:
            continue  # its 32-bit weights are differences of nearly equal numbers: no five digits left
        choice = {
            "algorithm_type": algorithm,
            "solver_type": solver,
            "solver_order": order,
            "final_sigmas_type": final,
        }
        yield "dpm_plus_plus_2m", STABLE_DIFFUSION | choice, steps
    for choice in (
        {"euler_at_final": True},
        {"lower_order_final": False},
        {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
        {"lambda_min_clipped": -5.1},
        {"lambda_min_clipped": -5.1, "beta_schedule": "squaredcos_cap_v2"},
        {"lambda_min_clipped": -2.0, "timestep_spacing": "leading"},
    ):
        yield "dpm_plus_plus_2m", STABLE_DIFFUSION | choice, STEPS
    for solver, order, final, steps in itertools.product(
        ("bh1", "bh2"), (1, 2, 3), ("zero", "sigma_min"), (STEPS, 20)
    ):
        if (solver, final) == ("bh1", "zero"):
            continue  # 0 times infinity in diffusers
        choice = {"solver_type": solver, "solver_order": order, "final_sigmas_type": final}
        yield "uni_pc", STABLE_DIFFUSION | choice, steps
    yield "uni_pc", STABLE_DIFFUSION | {"disable_corrector": [0, 2]}, STEPS
    yield "uni_pc", STABLE_DIFFUSION | {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, STEPS
    for choice in ({"original_inference_steps": 100}, {"timestep_scaling": 3.0}):
        yield "lcm", LCM | choice, STEPS


def trailing():
    """For every count of steps, the sum of trailing timesteps, each times its place: where NumPy's rounding makes
    one too many, the last one, -1, is left out."""
    sums = []
    for steps in range(1, 501):
        scheduler = DDIMScheduler(timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        timesteps = scheduler.timesteps.tolist()
        assert len(timesteps) == steps or timesteps[steps:] == [-1]
        sums.append(sum((place + 1) * timestep for place, timestep in enumerate(timesteps[:steps])))
    return sums


def numbers(tensor):
    """The shortest decimals that stand for these 32-bit floats."""
    flat = np.asarray(tensor, dtype=np.float32).reshape(-1)
    return [float(str(number)) for number in flat]


def run(name, config, steps, start, predictions, noises):
    scheduler = CLASSES[name].from_config(config)
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        # As pipelines do: rounded timesteps may occur twice.
        scheduler.set_begin_index(0)
    drawn = iter(range(10**6))
    module = sys.modules[CLASSES[name].__module__]
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = lambda *_, **__: noises[next(drawn) % len(noises)]
    sample = start * scheduler.init_noise_sigma
    samples, inputs = [], []
    for step, timestep in enumerate(scheduler.timesteps):
        inputs.append(numbers(scheduler.scale_model_input(sample, timestep)))
        prediction = predictions[step % len(predictions)]
        sample = scheduler.step(prediction, timestep, sample).prev_sample
        samples.append(numbers(sample))
    if not all(map(math.isfinite, samples[-1])):
        raise SystemExit(f"not finite: {name} {steps} {config}")
    return {
        "scheduler": name,
        "config": config,
        "steps": steps,
        "initial_scale": numbers(scheduler.init_noise_sigma)[0],
        "timesteps": numbers(scheduler.timesteps),
        # All of many steps would be megabytes; a wrong one is still there at the end.
        "inputs": inputs[:SHOWN],
        "samples": samples[:SHOWN],
        "last": samples[-1],
    }


def main():
    warnings.simplefilter("ignore")
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(2 * STEPS + 1, 1, SIZE, generator=generator)
    start, predictions, noises = random[0], random[1 : STEPS + 1], random[STEPS + 1 :]
    cases = itertools.chain(every_spacing_and_prediction(), families(), betas_and_steps(), own_options())
    reference = {
        "made_by": {name: version(name) for name in ("diffusers", "torch")},
        "start": numbers(start.flatten()),
        "predictions": [numbers(tensor.flatten()) for tensor in predictions],
        "noises": [numbers(tensor.flatten()) for tensor in noises],
        "trailing": trailing(),
        "cases": [],
    }
    flat = [tensor.flatten() for tensor in (start, *predictions, *noises)]
    start, predictions, noises = flat[0], flat[1 : STEPS + 1], flat[STEPS + 1 :]
    for name, config, steps in cases:
        # Solvers of torch's einsum take a batch and channels.
        shape = (1, SIZE) if name == "uni_pc" else (SIZE,)
        case = run(
            name, config, steps, start.reshape(shape), [p.reshape(shape) for p in predictions], noises
        )
        reference["cases"].append(case)
    text = json.dumps(reference, separators=(",", ":"))
    (HERE / "schedulers.json").write_text(text.replace('{"scheduler"', '\n{"scheduler"') + "\n")


if __name__ == "__main__":
    main()
