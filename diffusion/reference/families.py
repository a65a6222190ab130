#!/usr/bin/env python3
"""Makes a tiny model of each family, with random weights, and its pictures by diffusers -> families/.

The folders have the layout that optimum exports, except that the tokenizer's vocabulary is the
default model's, which the tests put in. The pictures are made by diffusers' own pipelines, whose networks are
replaced by the exported graphs on ONNX Runtime, so that both sides run the same files; all noise is
this engine's (see pictures.py).
"""

import json
import shutil
import warnings
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelImg2ImgPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_inpaint
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img
from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl_img2img
from diffusers.pipelines.latent_consistency_models import pipeline_latent_consistency_img2img
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizerFast

from pictures import noise

HERE = Path(__file__).resolve().parent
FAMILIES = HERE / "families"
TOKENIZER = HERE.parent.parent / "models" / "default" / "model" / "tokenizer"
OPSET = 18
CHANNELS, LATENT, FACTOR = 4, 8, 4
WIDTH, POOLED = 8, 12
SIZE = LATENT * FACTOR
TOKENS = 16
END = json.loads((TOKENIZER / "vocab.json").read_text())["<|endoftext|>"]
# Streams of the noise under one seed, as in ../src/rng.rs.
INITIAL, PICTURE, STEP = 0, 1, 2
PROMPTS = [
    "a red apple",
    "",
    "caf\u00e9 \u30ea\u30f3\u30b4 \U0001f34e it's THE dog",
    "word " * 40,
    # The token that Stable Diffusion 2 and XL's second encoder pad with.
    "wow! a cat!!",
]


def text_config(pad, layers=3, act="quick_gelu"):
    return CLIPTextConfig(
        vocab_size=len(json.loads((TOKENIZER / "vocab.json").read_text())),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        projection_dim=POOLED,
        hidden_act=act,
        bos_token_id=END - 1,
        eos_token_id=END,
        pad_token_id=pad,
        attn_implementation="eager",
    )


def unet(**options):
    return UNet2DConditionModel(
        sample_size=LATENT,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        **options,
    )


def vae():
    return AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=CHANNELS,
        sample_size=SIZE,
        scaling_factor=0.18215,
    )


class Wrapped(torch.nn.Module):
    """A network's forward with plain inputs and outputs."""

    def __init__(self, module, call):
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *tensors):
        return self.call(self.module, *tensors)


def save(folder, name, module, config, call, inputs, outputs, external=False):
    path = folder / name / "model.onnx"
    path.parent.mkdir(parents=True)
    (folder / name / "config.json").write_text(json.dumps(config, indent=1))
    axes = {key: {0: "batch"} for key in outputs}
    for key, tensor in inputs.items():
        if key == "timestep":
            continue
        axes[key] = {0: "batch"} | ({2: "height", 3: "width"} if tensor.ndim == 4 else {})
        if tensor.ndim == 3:
            axes[key][1] = "tokens"
    for key in outputs:
        if name.startswith(("unet", "vae")):
            axes[key] |= {2: "height", 3: "width"}
    with torch.no_grad():
        torch.onnx.export(
            Wrapped(module.eval(), call),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    shorten_names(model.graph)
    if external:
        onnx.save(
            model,
            path,
            save_as_external_data=True,
            location="model.onnx_data",
            size_threshold=0,
            convert_attribute=False,
        )
    else:
        onnx.save(model, path)


def shorten_names(graph):
    """The names of a graph's inner values are most of a tiny model's bytes."""
    kept = {port.name for port in (*graph.input, *graph.output)} | {""}
    names = {}
    short = lambda name: name if name in kept else names.setdefault(name, f"v{len(names)}")
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        node.name = node.doc_string = ""
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
        assert not any(attribute.HasField("g") for attribute in node.attribute)
    del graph.value_info[:]


def config_of(module):
    config = module.config
    if hasattr(config, "to_dict"):
        return config.to_dict()
    config = json.loads(json.dumps(dict(config), default=str))
    # A set, in another order at each start of Python.
    return config | {"_use_default_values": sorted(config["_use_default_values"])}


def export_text(folder, name, model, dtype=torch.int64):
    layers = model.config.num_hidden_layers
    hidden = [f"hidden_states.{n}" for n in range(layers + 1)]

    def call(model, ids):
        out = model(ids, output_hidden_states=True)
        first = out.text_embeds if hasattr(out, "text_embeds") else out.last_hidden_state
        second = out.last_hidden_state if hasattr(out, "text_embeds") else out.pooler_output
        return (first, second, *out.hidden_states)

    xl = hasattr(model, "text_projection")
    names = ["text_embeds", "last_hidden_state"] if xl else ["last_hidden_state", "pooler_output"]
    ids = torch.randint(0, END - 1, (2, TOKENS), dtype=dtype)
    ids[:, -1] = END
    save(folder, name, model, config_of(model), call, {"input_ids": ids}, names + hidden)


def export_unet(folder, model, width, dtype, external=False, timestep=None):
    inputs = {
        "sample": torch.randn(2, CHANNELS, LATENT, LATENT, dtype=dtype),
        "timestep": torch.tensor(1.0, dtype=dtype) if timestep is None else timestep,
        "encoder_hidden_states": torch.randn(2, TOKENS, width, dtype=dtype),
    }
    if model.config.time_cond_proj_dim:
        inputs["timestep_cond"] = torch.randn(2, model.config.time_cond_proj_dim, dtype=dtype)
    if model.config.addition_embed_type:
        inputs["text_embeds"] = torch.randn(2, POOLED, dtype=dtype)
        inputs["time_ids"] = torch.randn(2, 6, dtype=dtype)

    def call(model, sample, timestep, hidden, *more):
        more = dict(zip(list(inputs)[3:], more))
        added = {key: more[key] for key in ("text_embeds", "time_ids") if key in more}
        out = model(
            sample,
            timestep,
            hidden,
            timestep_cond=more.get("timestep_cond"),
            added_cond_kwargs=added or None,
            return_dict=False,
        )
        return out[0]

    save(folder, "unet", model, config_of(model), call, inputs, ["out_sample"], external)


def export_vae(folder, model, dtype):
    latents = torch.randn(1, CHANNELS, LATENT, LATENT, dtype=dtype)
    save(
        folder,
        "vae_decoder",
        model,
        config_of(model),
        lambda model, latents: model.decode(latents, return_dict=False)[0],
        {"latent_sample": latents},
        ["sample"],
    )
    picture = torch.randn(1, 3, SIZE, SIZE, dtype=dtype)
    save(
        folder,
        "vae_encoder",
        model,
        config_of(model),
        lambda model, sample: model.encode(sample).latent_dist.parameters,
        {"sample": picture},
        ["latent_parameters"],
    )


class Session:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = {port.name: port for port in self.session.get_inputs()}

    def __call__(self, **tensors):
        types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
        feed = {
            name: np.asarray(tensors[name].detach()).astype(types[port.type]).reshape(
                tensors[name].shape if port.shape else ()
            )
            for name, port in self.inputs.items()
        }
        names = [port.name for port in self.session.get_outputs()]
        return {name: torch.from_numpy(array) for name, array in zip(names, self.session.run(None, feed))}


def on_onnx_runtime(pipeline, folder, second):
    """Replaces what the pipeline's networks compute by the exported graphs."""

    def text(name):
        session = Session(folder / name / "model.onnx")

        def forward(ids, output_hidden_states=False, **_):
            out = session(input_ids=ids)
            hidden = tuple(out[key] for key in sorted(k for k in out if k.startswith("hidden_states")))
            first = out["text_embeds"] if "text_embeds" in out else out["last_hidden_state"]

            class Output(tuple):
                hidden_states = hidden
                text_embeds = first

            return Output((first, hidden) if output_hidden_states else (first,))

        return forward

    unet_session = Session(folder / "unet" / "model.onnx")
    decoder, encoder = (Session(folder / f"vae_{n}" / "model.onnx") for n in ("decoder", "encoder"))

    def unet_forward(sample, timestep, encoder_hidden_states, timestep_cond=None, **options):
        more = dict(options.get("added_cond_kwargs") or {})
        if timestep_cond is not None:
            more["timestep_cond"] = timestep_cond
        more |= {"timestep": torch.as_tensor(timestep).reshape(()), "sample": sample}
        out = unet_session(encoder_hidden_states=encoder_hidden_states, **more)
        return (out["out_sample"].float(),)

    def encode(picture, **_):
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        parameters = encoder(sample=picture)["latent_parameters"].float()
        return SimpleNamespace(latent_dist=DiagonalGaussianDistribution(parameters))

    pipeline.text_encoder.forward = text("text_encoder")
    if second:
        pipeline.text_encoder_2.forward = text("text_encoder_2")
    pipeline.unet.forward = unet_forward
    pipeline.vae.decode = lambda latents, **_: (decoder(latent_sample=latents)["sample"].float(),)
    pipeline.vae.encode = encode


def own_noise(seed, stream, shape):
    count = int(np.prod(shape[1:]))
    return torch.from_numpy(noise(seed, count, stream)).reshape(1, *shape[1:])


@contextmanager
def engine_noise(seed, scheduler):
    """All that diffusers draws comes from this engine's streams."""
    import diffusers.models.autoencoders.vae as vae_module
    import sys

    state = {"step": 0}

    def of_step(shape, **_):
        state["step"] += 1
        return own_noise(seed, STEP + state["step"] - 1, shape)

    modules = {
        vae_module: lambda shape, **_: own_noise(seed, PICTURE, shape),
    }
    for module in (
        pipeline_stable_diffusion_img2img,
        pipeline_stable_diffusion_inpaint,
        pipeline_stable_diffusion_xl_img2img,
        pipeline_latent_consistency_img2img,
    ):
        modules[module] = lambda shape, **_: own_noise(seed, INITIAL, shape)
    scheduler_module = sys.modules[type(scheduler).__module__]
    if hasattr(scheduler_module, "randn_tensor"):
        modules[scheduler_module] = of_step
    kept = {module: module.randn_tensor for module in modules}
    for module, function in modules.items():
        module.randn_tensor = function
    yield
    for module, function in kept.items():
        module.randn_tensor = function


def numbers(tensor):
    return [float(str(n)) for n in np.asarray(tensor, dtype=np.float32).reshape(-1)]


def make(pipeline, seed, **arguments):
    """One picture: the latents after each step, and the picture's bytes."""
    latents = []

    def keep(_, step, timestep, values):
        latents.append(numbers(values["latents"]))
        return values

    with engine_noise(seed, pipeline.scheduler):
        if "image" not in arguments:
            arguments["latents"] = own_noise(seed, INITIAL, (1, CHANNELS, LATENT, LATENT))
            arguments |= {"height": SIZE, "width": SIZE}
        picture = pipeline(
            callback_on_step_end=keep,
            callback_on_step_end_tensor_inputs=["latents"],
            output_type="np",
            **arguments,
        ).images[0]
    rgb = (picture * 255).round().astype("uint8")
    return {"latents": latents, "rgb": rgb.reshape(-1).tolist()}


def tokenizers(folder, pads):
    made = []
    for name, pad in zip(("tokenizer", "tokenizer_2"), pads):
        (folder / name).mkdir(parents=True)
        special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": pad}
        config = {"model_max_length": TOKENS} | special
        (folder / name / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
        files = (str(TOKENIZER / "vocab.json"), str(TOKENIZER / "merges.txt"))
        made.append(CLIPTokenizerFast(*files, model_max_length=TOKENS, pad_token=pad))
    return made


def write_scheduler(folder, scheduler):
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(scheduler.to_json_string())


STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
COMMON = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def ids(made):
    encode = lambda tokenizer, prompt: tokenizer(
        prompt, padding="max_length", truncation=True, max_length=TOKENS
    ).input_ids
    return [{"prompt": p, "ids": [encode(tokenizer, p) for tokenizer in made]} for p in PROMPTS]


def family_sd(name, scheduler, pad, act, dtype, **unet_options):
    """Stable Diffusion 1 and 2 and LCM: one text encoder."""
    folder = FAMILIES / name
    text = CLIPTextModel(text_config(0, act=act)).to(dtype)
    network, coder = unet(cross_attention_dim=WIDTH, **unet_options).to(dtype), vae().to(dtype)
    made = tokenizers(folder, [pad])
    export_text(folder, "text_encoder", text)
    export_unet(folder, network, WIDTH, dtype)
    export_vae(folder, coder, dtype)
    write_scheduler(folder, scheduler)
    lcm = unet_options.get("time_cond_proj_dim")
    kind = "LatentConsistencyModelPipeline" if lcm else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}) + "\n")
    parts = {"vae": coder.float(), "text_encoder": text.float(), "unet": network.float()}
    parts["tokenizer"] = made[0]
    pipeline = StableDiffusionPipeline(scheduler=scheduler, **parts, **COMMON)
    pipeline.set_progress_bar_config(disable=True)
    on_onnx_runtime(pipeline, folder, False)
    return pipeline, made, parts


def family_sdxl(name, scheduler):
    folder = FAMILIES / name
    first = CLIPTextModel(text_config(1))
    second = CLIPTextModelWithProjection(text_config(0, layers=2, act="gelu"))
    network = unet(
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=POOLED + 6 * 8,
        use_linear_projection=True,
    )
    coder = vae()
    made = tokenizers(folder, ["<|endoftext|>", "!"])
    export_text(folder, "text_encoder", first)
    export_text(folder, "text_encoder_2", second)
    export_unet(folder, network, 2 * WIDTH, torch.float32, external=True)
    export_vae(folder, coder, torch.float32)
    write_scheduler(folder, scheduler)
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": True,
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    }
    (folder / "model_index.json").write_text(json.dumps(index) + "\n")
    pipeline = StableDiffusionXLPipeline(
        vae=coder,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=made[0],
        tokenizer_2=made[1],
        unet=network,
        scheduler=scheduler,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    on_onnx_runtime(pipeline, folder, True)
    return pipeline, made


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    for old in FAMILIES.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    cases = []

    def case(name, pipeline, seed, steps, guidance, scheduler=None, more=None, **options):
        arguments = {"prompt": PROMPTS[0], "num_inference_steps": steps, "guidance_scale": guidance}
        arguments |= options
        prompt, negative = arguments["prompt"], options.get("negative")
        arguments.pop("negative", None)
        if negative is not None:
            arguments["negative_prompt"] = negative
        case = {
            "family": name,
            "scheduler": scheduler and json.loads(scheduler.to_json_string()),
            "prompt": prompt,
            "negative": negative or "",
            "seed": seed,
            "steps": steps,
            "guidance": guidance,
        }
        cases.append(case | (more or {}) | make(pipeline, seed, **arguments))

    own = {"prediction_type": "v_prediction", "set_alpha_to_one": False, "clip_sample": False}
    v = DDIMScheduler(**STABLE_DIFFUSION, **own)
    linear = {"use_linear_projection": True}
    sd2, sd2_tokens, parts = family_sd("sd2", v, "!", "gelu", torch.float32, **linear)
    case("sd2", sd2, 1, 4, 7.5, negative="a blue book")
    case("sd2", sd2, 2, 3, 1.0, prompt=PROMPTS[2])
    for skip in (1, 2):
        case("sd2", sd2, 3, 2, 5.0, clip_skip=skip, more={"clip_skip": skip})
    turbo = EulerAncestralDiscreteScheduler(**STABLE_DIFFUSION, timestep_spacing="trailing")
    sd2.scheduler = turbo
    case("sd2", sd2, 4, 1, 0.0, scheduler=turbo)
    case("sd2", sd2, 5, 4, 0.0, scheduler=turbo)

    # Pictures to start from: stripes, of which the left half is painted anew.
    stripes = np.zeros((SIZE, SIZE, 3), np.uint8)
    stripes[::4] = (250, 40, 90)
    stripes[:, ::3] = (10, 200, 240)
    image = Image.fromarray(stripes)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, : SIZE // 2] = 255
    img2img = StableDiffusionImg2ImgPipeline(scheduler=v, **parts, **COMMON)
    inpaint = StableDiffusionInpaintPipeline(scheduler=v, **parts, **COMMON)
    euler = EulerDiscreteScheduler(**STABLE_DIFFUSION, prediction_type="v_prediction")
    start = {"start": stripes.reshape(-1).tolist()}
    for made in (img2img, inpaint):
        made.set_progress_bar_config(disable=True)
        on_onnx_runtime(made, FAMILIES / "sd2", False)
        masked = made is inpaint
        extra = {"mask_image": Image.fromarray(mask), "height": SIZE, "width": SIZE} if masked else {}
        told = {"mask": mask.reshape(-1).tolist()} if masked else {}
        for scheduler, strength in ((v, 0.6), (euler, 0.8), (v, 1.0)):
            made.scheduler = scheduler
            case(
                "sd2",
                made,
                6,
                5,
                3.0,
                scheduler=scheduler,
                more=start | told | {"strength": strength},
                image=image,
                strength=strength,
                **extra,
            )

    sdxl_scheduler = EulerDiscreteScheduler(**STABLE_DIFFUSION, timestep_spacing="leading")
    sdxl, sdxl_tokens = family_sdxl("sdxl", sdxl_scheduler)
    case("sdxl", sdxl, 7, 4, 5.0)
    case("sdxl", sdxl, 8, 3, 5.0, prompt=PROMPTS[2], negative="a blue book")
    sdxl_parts = dict(sdxl.components)
    sdxl.scheduler = turbo
    case("sdxl", sdxl, 9, 1, 0.0, scheduler=turbo)
    case("sdxl", sdxl, 10, 3, 0.0, scheduler=turbo)

    lcm_scheduler = LCMScheduler()
    lcm, lcm_tokens, lcm_parts = family_sd(
        "lcm", lcm_scheduler, "<|endoftext|>", "quick_gelu", torch.float32, time_cond_proj_dim=32
    )
    case("lcm", lcm, 11, 4, 8.5)
    case("lcm", lcm, 12, 2, 1.0)

    # A picture to start from: all steps, on a part of the schedule.
    lcm_img2img = LatentConsistencyModelImg2ImgPipeline(scheduler=lcm_scheduler, **lcm_parts, **COMMON)
    lcm_img2img.set_progress_bar_config(disable=True)
    on_onnx_runtime(lcm_img2img, FAMILIES / "lcm", False)
    for steps, strength in ((4, 0.5), (3, 0.9), (2, 1.0)):
        given = start | {"strength": strength}
        case("lcm", lcm_img2img, 14, steps, 8.5, more=given, image=image, strength=strength)

    # Configurations as they are: Stable Diffusion's pipeline takes each with an offset of 1 and without
    # clipping, XL's as it is.
    for config in (
        {},
        STABLE_DIFFUSION | {"steps_offset": 0, "clip_sample": True, "set_alpha_to_one": False},
    ):
        told = {"_class_name": "DDIMScheduler"} | config
        bare = StableDiffusionPipeline(scheduler=DDIMScheduler.from_config(told), **parts, **COMMON)
        bare.set_progress_bar_config(disable=True)
        on_onnx_runtime(bare, FAMILIES / "sd2", False)
        case("sd2", bare, 15, 4, 3.0, more={"scheduler": told})
        sdxl.scheduler = DDIMScheduler.from_config(told)
        case("sdxl", sdxl, 16, 4, 3.0, more={"scheduler": told})
    told = {"_class_name": "DPMSolverMultistepScheduler", "timestep_spacing": "leading"}
    bare = StableDiffusionPipeline(scheduler=DPMSolverMultistepScheduler.from_config(told), **parts, **COMMON)
    bare.set_progress_bar_config(disable=True)
    on_onnx_runtime(bare, FAMILIES / "sd2", False)
    case("sd2", bare, 17, 4, 3.0, more={"scheduler": told})

    # Inpainting's takes PNDM without its first steps by Runge and Kutta besides.
    told = {"_class_name": "PNDMScheduler"} | STABLE_DIFFUSION
    inpaint = StableDiffusionInpaintPipeline(scheduler=PNDMScheduler.from_config(told), **parts, **COMMON)
    inpaint.set_progress_bar_config(disable=True)
    on_onnx_runtime(inpaint, FAMILIES / "sd2", False)
    given = start | {"mask": mask.reshape(-1).tolist(), "strength": 0.8, "scheduler": told}
    extra = {"mask_image": Image.fromarray(mask), "height": SIZE, "width": SIZE}
    case("sd2", inpaint, 21, 5, 3.0, more=given, image=image, strength=0.8, **extra)

    # Means and deviations of the latents, which XL's pipelines alone read; none of them reads a shift.
    told = {"latents_mean": [0.5, -1.0, 0.25, 2.0], "latents_std": [2.0, 0.5, 1.5, 3.0], "shift_factor": 0.5}
    sdxl_img2img = StableDiffusionXLImg2ImgPipeline(**sdxl_parts, add_watermarker=False)
    sdxl_img2img.set_progress_bar_config(disable=True)
    sdxl_img2img.scheduler = sdxl.scheduler = sdxl_scheduler
    for made in (sdxl, sdxl_img2img):
        made.vae.register_to_config(**told)
    on_onnx_runtime(sdxl_img2img, FAMILIES / "sdxl", True)
    case("sdxl", sdxl, 18, 3, 5.0, more={"vae": told})
    given = start | {"strength": 0.7, "vae": told}
    case("sdxl", sdxl_img2img, 19, 4, 5.0, more=given, image=image, strength=0.7)
    sd2.vae.register_to_config(**told)
    sd2.scheduler = v
    case("sd2", sd2, 20, 2, 5.0, more={"vae": told})

    half, half_tokens, _ = family_sd("fp16", v, "<|endoftext|>", "quick_gelu", torch.float16)
    case("fp16", half, 13, 4, 4.0, negative="a blue book")

    made = {"sd2": sd2_tokens, "sdxl": sdxl_tokens, "lcm": lcm_tokens, "fp16": half_tokens}
    tokens = {name: ids(tokenizers) for name, tokenizers in made.items()}
    names = ("diffusers", "transformers", "torch", "onnx", "onnxruntime")
    # How many steps are taken of 1 to 500, in all, for each strength in hundredths, as every pipeline counts them.
    taken = [sum(int(steps * (part / 100)) for steps in range(1, 501)) for part in range(1, 101)]
    reference = {
        "made_by": {name: version(name) for name in names},
        "tokens": tokens,
        "steps_taken": taken,
        "cases": cases,
    }
    text = json.dumps(reference, separators=(",", ":")).replace('{"family"', '\n{"family"')
    (FAMILIES / "reference.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
