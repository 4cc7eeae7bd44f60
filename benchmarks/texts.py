"""Made-up personas that read like people's: words of an image studio, the common ones far oftener
than the rest."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path
from typing import Any

COMMON = "portrait"
"""In 37 % of all personas."""

RARE = "zeppelin"
"""In `data.RARE_ROWS` personas of the large user, and nowhere else."""

SHORT = "ve"
"""Two characters that many words contain, too short for a trigram."""

ABSENT = "aine"
"""In no persona, although half of them contain each of its trigrams."""

_WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()

_SYLLABLES = (
    "ka",
    "ri",
    "mo",
    "el",
    "an",
    "ra",
    "lo",
    "se",
    "vi",
    "no",
    "ta",
    "mi",
    "ju",
    "or",
    "is",
    "ze",
    "du",
    "ve",
)
_NEGATIVE = (
    "text",
    "watermark",
    "blurry",
    "lowres",
    "deformed",
    "extra fingers",
    "jpeg artifacts",
    "signature",
)
_LORAS = ["film-grain-xl", "ink-wash", "soft-skin", "neon-noir", "storybook", "pixel-art-xl"]
_COMMON_SHARE = 0.37

# Zipf-like: the n-th word has the weight 1/n, flattened a little at the head.
_WEIGHTS = list(accumulate(1 / (rank + 3) for rank in range(len(_WORDS))))


def _words(rng: random.Random, count: int) -> list[str]:
    return rng.choices(_WORDS, cum_weights=_WEIGHTS, k=count)


def persona(rng: random.Random, *, rare: bool = False) -> dict[str, Any]:
    """The body of a persona, as a client would POST it."""
    first = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))).capitalize()
    prompt = _words(rng, rng.randint(10, 24))
    if rng.random() < _COMMON_SHARE:
        prompt[rng.randrange(len(prompt))] = COMMON
    if rare:
        prompt[-1] = RARE
    parameters: dict[str, Any] = {
        "width": 768,
        "height": 768,
        "guidance_scale": rng.choice([5.5, 7.0, 7.5]),
    }
    if rng.random() < 0.3:
        parameters["seed"] = rng.randrange(2**31)
    return {
        "name": f"{first} {rng.choice(_WORDS).capitalize()}",
        "description": " ".join(_words(rng, rng.randint(4, 14))).capitalize() + ".",
        "style_prompt": ", ".join(prompt),
        "negative_prompt": ", ".join(rng.choices(_NEGATIVE, k=rng.randint(0, 5))),
        "lora_models": rng.sample(_LORAS, k=rng.choice([0, 0, 1, 2])),
        "generation_params": parameters,
        "tags": sorted(set(_words(rng, rng.randint(0, 4)))),
        "is_favorite": rng.random() < 0.08,
        "is_nsfw": rng.random() < 0.04,
    }
