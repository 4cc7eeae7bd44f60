"""From a request to the decisions that shape its picture: motif, palette, sky, weather, boldness,
detail."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from seidra.engines.base import RenderRequest
from seidra.engines.mock.colours import PALETTE_WORDS, PALETTES, Palette, tuned

# What these say shows in the picture directly; out of the digest, changing one refines a picture
# instead of replacing it.
_DIRECT = frozenset({"steps", "guidance_scale", "quality"})
# What was told of a request later than the pictures of 0.1, which stay the same.
_LATER = frozenset({"loras", "images", "job_id", "pictures"})

MOTIF_WORDS = {
    "mountains": (
        "mountain alps peak hill valley himalaya landscape highland cliff viking winter snow "
        "hiker 山"
    ),
    "ocean": (
        "ocean sea water lake beach river wave ship pirate sailor mermaid island coast surf "
        "harbor harbour 海 水"
    ),
    "desert": "desert dune sand egypt sahara canyon western camel nomad oasis pharaoh mars 砂",
    "forest": "forest tree jungle wood elf druid moss wolf fern witch nature deer fox autumn 森 木",
    "city": (
        "city street urban skyline tokyo noir detective rooftop downtown skyscraper metropolis "
        "night york 街 都"
    ),
    "grid": (
        "neon cyberpunk synthwave vaporwave cyber hacker retrowave arcade laser tron future "
        "futuristic robot 電"
    ),
    "cosmos": (
        "space star galaxy planet cosmos astronaut moon alien nebula scifi orbit universe 月 星 宇"
    ),
    "blossom": (
        "rose flower garden spring love blossom lotus floral bouquet romance dahlia peony "
        "mandala 花 桜 薔"
    ),
    "flames": "fire flame phoenix dragon demon lava ember volcano burning inferno hell rage 火 炎",
    "strokes": (
        "abstract paint painting brush flow wind expressive energy jazz music dance painter art "
        "motion 風"
    ),
    "tiles": (
        "geometric bauhaus pattern minimal architecture modern design poster temple retro robot "
        "deco machine"
    ),
    "crystal": (
        "crystal gem diamond ice glass prism shard amethyst polygon lowpoly glacier frozen "
        "mineral 氷"
    ),
    "silk": (
        "silk dream ethereal music ribbon soft smoke spirit ghost voice sound veil elegant "
        "aurora fashion 夢"
    ),
}
# What a prompt without a known word may become: motifs that claim nothing about its subject.
_ABSTRACT = ("strokes", "tiles", "crystal", "silk", "blossom", "cosmos", "mountains", "ocean")
_BEHIND_A_FIGURE = ("halo", "halo", "halo", "silk", "mountains", "cosmos", "blossom", "tiles")

PERSON_WORDS = (
    "portrait woman man girl boy face queen king knight model character person lady headshot "
    "goddess warrior selfie "
    "princess prince hero heroine geisha vampire sorceress wizard witch elf singer dancer "
    "mermaid viking detective "
    "hacker nomad pirate samurai angel fairy druid actress actor bride gentleman mother father "
    "she he her his "
    "人 女 男 娘 姫"
)

SKY_WORDS = {
    "moon": "moon lunar night midnight witch wolf vampire gothic werewolf 月 夜",
    "sun": "sun sunset sunrise dawn dusk desert beach summer golden heat tropical evening 日",
    "stars": "star galaxy space night cosmos astronaut dream magic wizard fantasy midnight 星 夢",
    "aurora": "aurora arctic northern winter ice viking polar ethereal glacier mystic 氷 冬",
    "clouds": "cloud sky storm heaven angel wind dramatic cloudy 風 空",
}
WEATHER_WORDS = {
    "rain": "rain rainy storm wet monsoon cyberpunk noir detective 雨",
    "snow": "snow snowy winter blizzard ice frost arctic december 雪 冬",
    "embers": "fire flame ember dragon phoenix lava volcano demon hell 火 炎",
    "petals": "sakura cherry blossom petal rose spring romance geisha wedding 桜 花",
    "fireflies": "firefly forest fairy elf magic jungle druid fantasy lantern 森",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided before the first pixel. `boldness` is about 0.6-1.3 and `detail` about
    0.4-2, 1 the norm."""

    digest: str
    palette: Palette
    motif: str
    figure: bool
    sky: str
    weather: str
    boldness: float
    detail: float

    def random(self, stage: str) -> random.Random:
        """A generator of this request's own for one stage, so that the detail of one stage cannot
        shift another."""
        return random.Random(f"{self.digest}/{stage}")  # noqa: S311 (pictures, not secrets)


def make_plan(request: RenderRequest) -> Plan:
    """Read the request's words and numbers into a Plan; the same request always gives the same
    one."""
    digest = _digest(request)
    rng = random.Random(digest)  # noqa: S311 (pictures, not secrets)
    spoken = _words(f"{request.prompt} {request.title} {' '.join(map(str, request.tags))}")
    refused = frozenset(_words(request.negative_prompt))
    boldness = min(0.62 + 0.05 * max(request.guidance_scale, 0.0), 1.35)
    palette = _elect(PALETTE_WORDS, spoken, refused, rng, tuple(PALETTES))
    people = set(PERSON_WORDS.split())
    # Mostly, not always: a persona's pictures should not all be the same head.
    figure = not people.isdisjoint(spoken) and people.isdisjoint(refused) and rng.random() < 0.75
    motif = _elect(MOTIF_WORDS, spoken, refused, rng, _BEHIND_A_FIGURE if figure else _ABSTRACT)
    return Plan(
        digest=digest,
        palette=tuned(PALETTES[palette], boldness, rng),
        motif=motif,
        figure=figure,
        sky=_elect(SKY_WORDS, spoken, refused, rng, ("sun", "moon", "clouds")),
        weather=_elect(WEATHER_WORDS, spoken, refused, rng, ("none",)),
        boldness=boldness,
        detail=min(0.4 + 0.6 * (max(request.steps, 1) / 25) ** 0.6, 2.0),
    )


def _digest(request: RenderRequest) -> str:
    told = {
        item.name: getattr(request, item.name)
        for item in fields(request)
        if item.name not in _DIRECT | _LATER
    }
    told["parameters"] = {
        key: value for key, value in request.parameters.items() if key not in _DIRECT
    }
    return hashlib.sha256(
        json.dumps(told, sort_keys=True, default=_plain).encode("ascii")
    ).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _words(text: str) -> list[str]:
    """The words of `text` in order, plural or not; ideographs count one by one, as they stand
    without spaces."""
    words = re.findall(r"[^\W_]+", text.casefold())
    ideographs = [character for character in text if "\u2e80" <= character <= "\u9fff"]
    return words + [word[:-1] for word in words if word.endswith("s")] + ideographs


def _elect(
    table: Mapping[str, str],
    spoken: list[str],
    refused: frozenset[str],
    rng: random.Random,
    fallback: tuple[str, ...],
) -> str:
    """The name that the spoken words vote for, early words weighing more; by chance out of
    `fallback` without one."""
    votes = dict.fromkeys(table, 0.0)
    barred = {name for name, words in table.items() if refused & {name, *words.split()}}
    for name, words in table.items():
        known = {name, *words.split()}
        votes[name] = sum(
            1 / (1 + 0.05 * place) for place, word in enumerate(spoken) if word in known
        )
    open_votes = {name: vote**2 for name, vote in votes.items() if vote and name not in barred}
    if open_votes:
        return rng.choices(list(open_votes), list(open_votes.values()))[0]
    return rng.choice([name for name in fallback if name not in barred] or list(fallback))
