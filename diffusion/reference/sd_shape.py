#!/usr/bin/env python3
"""Makes a model of Stable Diffusion's structure with random weights, for scripts/bench-engine.

    sd_shape.py OUTPUT_FOLDER [quarter|full]

quarter  all levels and attention layers of Stable Diffusion 1.5 with a quarter of its channels: made in a
         minute, fits everywhere
full     Stable Diffusion 1.5's size, 4 GB: `offchain-miner models optimize --cuda` makes of it what runs
         on a GPU

What it paints is noise; what it costs is what is measured. Both are fp32.
"""

import json
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import families


# Side of the latents that graphs are traced with, which are for any: small ones are traced faster.
TRACED = 8


@dataclass(frozen=True)
class Size:
    latent: int
    tokens: int
    width: int
    text_heads: int
    channels: tuple
    heads: int
    vae_channels: tuple
    groups: int


SIZES = {
    "quarter": Size(32, 24, 192, 3, (80, 160, 320, 320), 2, (32, 64, 128, 128), 16),
    "full": Size(64, 77, 768, 12, (320, 640, 1280, 1280), 8, (128, 256, 512, 512), 32),
}


def networks(size):
    """Text encoder, UNet and VAE, the same each time."""
    torch.manual_seed(0)
    config = families.text_config(families.END).to_dict() | {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": 12,
        "num_attention_heads": size.text_heads,
        "max_position_embeddings": size.tokens,
    }
    text = CLIPTextModel(CLIPTextConfig(**config, attn_implementation="eager"))
    unet = UNet2DConditionModel(
        sample_size=size.latent,
        block_out_channels=size.channels,
        cross_attention_dim=size.width,
        attention_head_dim=size.heads,
        norm_num_groups=size.groups,
    )
    vae = AutoencoderKL(
        block_out_channels=size.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=size.groups,
    )
    return text, unet, vae


def main():
    warnings.simplefilter("ignore")
    folder, name = Path(sys.argv[1]), (sys.argv[2:] or ["quarter"])[0]
    size = SIZES[name]
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(families.TOKENIZER, folder / "tokenizer")
    config = folder / "tokenizer" / "tokenizer_config.json"
    tokenizer = json.loads(config.read_text()) | {"model_max_length": size.tokens}
    config.write_text(json.dumps(tokenizer, indent=1) + "\n")
    text, unet, vae = networks(size)
    families.LATENT, families.SIZE, families.TOKENS = TRACED, 8 * TRACED, size.tokens
    # The types that diffusers' own pipeline feeds.
    families.export_text(folder, "text_encoder", text, torch.int32)
    timestep = torch.ones(1, dtype=torch.int64)
    is_large = name == "full"
    families.export_unet(folder, unet, size.width, torch.float32, external=is_large, timestep=timestep)
    if is_large:
        # What the exporter put beside a graph of more than 2 GB stands in one file now.
        for path in (folder / "unet").iterdir():
            if path.name not in ("config.json", "model.onnx", "model.onnx_data"):
                path.unlink()
    families.export_vae(folder, vae, torch.float32)
    own = {"set_alpha_to_one": False, "clip_sample": False}
    families.write_scheduler(folder, DDIMScheduler(**families.STABLE_DIFFUSION, **own))
    part = ["diffusers", "OnnxRuntimeModel"]
    index = {"_class_name": "OnnxStableDiffusionPipeline"} | dict.fromkeys(
        ("unet", "vae_decoder", "vae_encoder", "text_encoder"), part
    )
    index |= {"scheduler": ["diffusers", "DDIMScheduler"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    (folder / "size").write_text(name)
    (folder / "model_index.json").write_text(json.dumps(index) + "\n")


if __name__ == "__main__":
    main()
