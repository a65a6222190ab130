#!/usr/bin/env python3
"""Makes a model of Stable Diffusion's structure with random weights, for scripts/bench-engine.

    sd_shape.py OUTPUT_FOLDER

All levels and attention layers of Stable Diffusion 1.5, with a quarter of its channels, so that it is made in
a minute and fits everywhere. What it paints is noise; what it costs is what is measured.
"""

import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import families

LATENT, TOKENS, WIDTH = 32, 24, 192


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    folder = Path(sys.argv[1])
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(families.TOKENIZER, folder / "tokenizer")
    config = families.text_config(families.END).to_dict() | {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 12,
        "num_attention_heads": 3,
        "max_position_embeddings": TOKENS,
    }
    text = CLIPTextModel(CLIPTextConfig(**config, attn_implementation="eager"))
    unet = UNet2DConditionModel(
        sample_size=LATENT,
        block_out_channels=(80, 160, 320, 320),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=16,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 128, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=16,
    )
    families.LATENT, families.SIZE, families.TOKENS = LATENT, 8 * LATENT, TOKENS
    # The types that diffusers' own pipeline feeds.
    families.export_text(folder, "text_encoder", text, torch.int32)
    timestep = torch.ones(1, dtype=torch.int64)
    families.export_unet(folder, unet, WIDTH, torch.float32, timestep=timestep)
    families.export_vae(folder, vae, torch.float32)
    own = {"set_alpha_to_one": False, "clip_sample": False}
    families.write_scheduler(folder, DDIMScheduler(**families.STABLE_DIFFUSION, **own))
    part = ["diffusers", "OnnxRuntimeModel"]
    index = {"_class_name": "OnnxStableDiffusionPipeline"} | dict.fromkeys(
        ("unet", "vae_decoder", "vae_encoder", "text_encoder"), part
    )
    index |= {"scheduler": ["diffusers", "DDIMScheduler"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index) + "\n")


if __name__ == "__main__":
    main()
