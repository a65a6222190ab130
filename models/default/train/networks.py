"""The text encoder and the UNet: small ones of the classes that Stable Diffusion 1 is made of."""

from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

WIDTH = 128  # of an embedding
LATENT_SIDE = 8  # of a picture of 64 x 64


def text_encoder(vocab_size, length):
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=length,
            projection_dim=WIDTH,
            hidden_act="quick_gelu",
            bos_token_id=vocab_size - 2,
            eos_token_id=vocab_size - 1,
            pad_token_id=vocab_size - 1,
        )
    )


def unet():
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )
