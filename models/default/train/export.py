#!/usr/bin/env python3
"""Writes the pipeline in the Stable Diffusion ONNX layout, and checks it against torch.

    export.py FOLDER [--weights FILE ...] [--steps 8] [--guidance 1]

Weights are stored as fp16 (text encoder) or int8 with a scale for each output channel (UNet, VAE) and
cast to fp32 when the graph is loaded: the files are small, the arithmetic is fp32 everywhere.
Of a checkpoint, the averages are taken.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import captions
import networks
from autoencoder import LATENT_CHANNELS, SCALE, Decoder, Encoder
from train_diffusion import BETA_END, BETA_START, TRAIN_STEPS

OPSET = 18
INT8 = ("unet", "vae_encoder", "vae_decoder")
LEAST_FP16, LEAST_INT8 = 64, 1024  # smaller tensors stay as they are
GRAPH_NOTE = "own small architecture; only the ONNX graph is meaningful"
NO_VARIANCE = -10.0  # logarithm: the encoder's latents have none


class TextGraph(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        output = self.model(input_ids)
        return output[0], output[1]


class UnetGraph(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.model(sample, timestep, encoder_hidden_states)


class DecoderGraph(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latent_sample):
        return self.model(latent_sample * SCALE)


class EncoderGraph(torch.nn.Module):
    """Mean and log variance, as diffusers expects them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample):
        mean = self.model(sample) / SCALE
        return torch.cat([mean, torch.zeros_like(mean) + NO_VARIANCE], 1)


def as_fp16(tensor, array, _):
    if array.size < LEAST_FP16:
        return None
    stored = numpy_helper.from_array(array.astype(np.float16), tensor.name + "_fp16")
    return [stored], [helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT)]


def as_int8(tensor, array, matrices):
    if array.ndim < 2 or array.size < LEAST_INT8:
        return None
    # Output channels: the last axis of a matrix product's weights, the first of a convolution's.
    matrix = tensor.name in matrices and array.ndim == 2
    others = tuple(range(array.ndim - 1)) if matrix else tuple(range(1, array.ndim))
    scale = np.maximum(np.abs(array).max(axis=others, keepdims=True) / 127, 1e-8).astype(np.float32)
    name = tensor.name
    stored = numpy_helper.from_array(np.round(array / scale).astype(np.int8), name + "_int8")
    scales = numpy_helper.from_array(scale, name + "_scale")
    cast = helper.make_node("Cast", [stored.name], [name + "_fp32"], to=TensorProto.FLOAT)
    return [stored, scales], [cast, helper.make_node("Mul", [name + "_fp32", scales.name], [name])]


def store_small(path, how):
    """Replaces fp32 weights by smaller ones and the nodes that undo it; ONNX Runtime folds them."""
    model = onnx.load(path)
    graph = model.graph
    matrices = {node.input[1] for node in graph.node if node.op_type in ("MatMul", "Gemm")}
    tensors, nodes = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        smaller = how(tensor, array, matrices) if array.dtype == np.float32 else None
        if smaller:
            tensors += smaller[0]
            nodes += smaller[1]
        else:
            tensors.append(tensor)
    nodes += list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def export(root, name, module, inputs, outputs, axes, examples):
    path = root / name / "model.onnx"
    path.parent.mkdir(parents=True)
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            examples,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    store_small(str(path), as_int8 if name in INT8 else as_fp16)
    print(name, path.stat().st_size, "bytes")


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")


def write_configs(root, text):
    write_json(root / "text_encoder" / "config.json", text.config.to_dict())
    write_json(
        root / "unet" / "config.json",
        {
            "_class_name": "UNet2DConditionModel",
            "_graph_note": GRAPH_NOTE,
            "sample_size": networks.LATENT_SIDE,
            "in_channels": LATENT_CHANNELS,
            "out_channels": LATENT_CHANNELS,
            # Of the length that says what sides of latents must be multiples of: 2^(2 - 1).
            "block_out_channels": list(networks.LEVELS),
            "cross_attention_dim": networks.WIDTH,
        },
    )
    vae = {
        "_class_name": "AutoencoderKL",
        "_graph_note": GRAPH_NOTE,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": LATENT_CHANNELS,
        # Of the length that says by how much latents are smaller: 2^(4 - 1).
        "block_out_channels": [32, 32, 80, 160],
        "scaling_factor": SCALE,
        "shift_factor": None,
        "sample_size": networks.LATENT_SIDE * 8,
    }
    write_json(root / "vae_decoder" / "config.json", vae)
    write_json(root / "vae_encoder" / "config.json", vae)
    scheduler = {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": TRAIN_STEPS,
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "scaled_linear",
        "trained_betas": None,
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 1,
        "prediction_type": "v_prediction",
        "thresholding": False,
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": False,
    }
    write_json(root / "scheduler" / "scheduler_config.json", scheduler)
    graph = ["diffusers", "OnnxRuntimeModel"]
    index = {
        "_class_name": "OnnxStableDiffusionPipeline",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": graph,
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": graph,
        "vae_decoder": graph,
        "vae_encoder": graph,
    }
    write_json(root / "model_index.json", index)
    shutil.copytree("tokenizer", root / "tokenizer")


def check(root, text, unet, decoder, tokenizer):
    """Prints the largest difference of each graph to torch: what the smaller weights cost."""
    import onnxruntime

    def run(name, **inputs):
        session = onnxruntime.InferenceSession(
            str(root / name / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        return session.run(None, inputs)[0]

    ids = captions.encode(tokenizer, ["a fox", "a red apple"])
    sample = torch.randn(2, LATENT_CHANNELS, networks.LATENT_SIDE, networks.LATENT_SIDE)
    difference = lambda a, b: float(np.abs(a - b.numpy()).max())
    with torch.no_grad():
        hidden = text(torch.from_numpy(ids))[0]
        print("text", difference(run("text_encoder", input_ids=ids.astype(np.int32)), hidden))
        made = unet(sample, torch.tensor([500]), hidden)
        ours = run(
            "unet",
            sample=sample.numpy(),
            timestep=np.array([500]),
            encoder_hidden_states=hidden.numpy(),
        )
        print("unet", difference(ours, made))
        ours = run("vae_decoder", latent_sample=(sample / SCALE).numpy())
        print("decoder", difference(ours, decoder(sample)))


def load(options):
    """Tokenizer and networks, with the weights that are wanted."""
    tokenizer = captions.load_tokenizer("tokenizer")
    text = networks.text_encoder(len(tokenizer.get_vocab()), captions.LENGTH)
    modules = {
        "text": text,
        "unet": networks.UNet(),
        "encoder": Encoder(),
        "decoder": Decoder(),
    }
    for path in options.weights:
        saved = torch.load(path)
        for key, weights in saved.get("averages", saved).items():
            modules[key].load_state_dict(weights)
    return tokenizer, *(module.eval() for module in modules.values())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--weights",
        nargs="+",
        default=["diffusion.pt", "vae.pt"],
        help="finished weights or checkpoints; later ones win",
    )
    parser.add_argument("--steps", type=int, default=8, help="default steps")
    parser.add_argument("--guidance", type=float, default=1.0, help="default guidance")
    options = parser.parse_args()
    root = options.folder
    if root.exists():
        sys.exit(f"{root} exists; name a new folder")
    root.mkdir(parents=True)
    torch.manual_seed(0)
    tokenizer, text, unet, encoder, decoder = load(options)
    # The fused attention has no form in this opset.
    text.config._attn_implementation = "eager"

    batch, picture = {0: "batch_size"}, {0: "batch_size", 2: "height", 3: "width"}
    latents = {0: "batch_size", 2: "latent_height", 3: "latent_width"}
    tokens = {0: "batch_size", 1: "sequence_length"}
    side, width = networks.LATENT_SIDE, networks.WIDTH
    export(
        root,
        "text_encoder",
        TextGraph(text),
        ["input_ids"],
        ["last_hidden_state", "pooler_output"],
        {"input_ids": tokens, "last_hidden_state": tokens, "pooler_output": batch},
        (torch.zeros(2, captions.LENGTH, dtype=torch.int32),),
    )
    export(
        root,
        "unet",
        UnetGraph(unet),
        ["sample", "timestep", "encoder_hidden_states"],
        ["out_sample"],
        {"sample": picture, "timestep": {0: "steps"}, "encoder_hidden_states": tokens, "out_sample": picture},
        (
            torch.randn(2, LATENT_CHANNELS, side, side),
            torch.tensor([1]),
            torch.randn(2, captions.LENGTH, width),
        ),
    )
    export(
        root,
        "vae_decoder",
        DecoderGraph(decoder),
        ["latent_sample"],
        ["sample"],
        {"latent_sample": latents, "sample": picture},
        (torch.randn(1, LATENT_CHANNELS, side, side),),
    )
    export(
        root,
        "vae_encoder",
        EncoderGraph(encoder),
        ["sample"],
        ["latent_parameters"],
        {"sample": picture, "latent_parameters": latents},
        (torch.randn(1, 3, side * 8, side * 8),),
    )
    write_configs(root, text)
    defaults = {"default_steps": options.steps, "default_guidance": options.guidance}
    write_json(root / "cuckoo.json", {"name": "cuckoo-emoji", **defaults})
    check(root, text, unet, decoder, tokenizer)
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print("total", total, "bytes")


if __name__ == "__main__":
    main()
