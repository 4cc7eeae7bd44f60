"""Models of a few thousand weights, made here from configs alone: nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


def make_model(folder: Path, seed: int = 0, *, broken: bool = False) -> None:
    """A Stable Diffusion model; a broken one's numbers are none."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline(
        unet=_unet(),
        vae=AutoencoderKL(
            block_out_channels=(16,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=8,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=514,
                hidden_size=32,
                intermediate_size=37,
                num_hidden_layers=2,
                num_attention_heads=4,
                bos_token_id=512,
                eos_token_id=513,
                pad_token_id=513,
            )
        ),
        tokenizer=_tokenizer(folder.parent / f"{folder.name}-words"),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    if broken:
        with torch.no_grad():
            pipeline.unet.conv_out.bias.fill_(float("nan"))
    pipeline.save_pretrained(folder)


def make_lora(folder: Path, name: str) -> None:
    """A LoRA for the toy that shows."""
    torch.manual_seed(7)
    unet = _unet()
    unet.add_adapter(LoraConfig(r=4, target_modules=["to_k", "to_q", "to_v", "to_out.0"]))
    layers = {
        key: torch.randn_like(value) * 0.5 for key, value in get_peft_model_state_dict(unet).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=layers, weight_name=f"{name}.safetensors"
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer over single bytes, without a word."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in visible] + [chr(256 + n) for n in range(256 - len(visible))]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
