"""Synthetic clips and captions: one flat coloured shape with one motion over a plain background."""

import random

import torch

SIZE, FRAMES = 64, 17

COLOURS = {  # name -> RGB
    "red": (220, 30, 35),
    "green": (30, 165, 60),
    "blue": (35, 75, 225),
    "yellow": (250, 215, 35),
    "purple": (150, 45, 190),
    "orange": (245, 125, 15),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
    "gray": (128, 128, 128),
}
SHAPE_COLOURS = ["red", "green", "blue", "yellow", "purple", "orange"]
BACKGROUNDS = ["black", "white", "gray", "red", "green", "blue", "yellow", "purple", "orange"]
BG_WEIGHTS = [4, 4, 2, 1, 1, 1, 1, 1, 1]
SHAPES = ["circle", "square", "triangle"]
MOTIONS = ["left", "right", "up", "down", "still", "growing", "shrinking"]
MOTION_WEIGHTS = [4, 4, 4, 4, 2, 2, 2]

MOTION_WORDS = {
    "left": [
        "moving left",
        "moves left",
        "moving to the left",
        "drifts left",
        "slides to the left",
        "sliding left",
        "travels from right to left",
        "goes left",
    ],
    "right": [
        "moving right",
        "moves right",
        "moving to the right",
        "drifts right",
        "slides to the right",
        "sliding right",
        "travels from left to right",
        "goes right",
    ],
    "up": ["moving up", "moves up", "moving upward", "drifts up", "rises", "rising", "floats upward", "goes up"],
    "down": [
        "moving down",
        "moves down",
        "moving downward",
        "drifts down",
        "falls",
        "falling",
        "sinks downward",
        "goes down",
    ],
    "still": ["standing still", "not moving", "stays still", "resting", "that does not move", "motionless"],
    "growing": ["growing", "grows", "getting bigger", "growing larger", "expands", "becomes bigger"],
    "shrinking": ["shrinking", "shrinks", "getting smaller", "shrinking away", "contracts", "becomes smaller"],
}
SHAPE_WORDS = {
    "circle": ["circle", "circle", "disc", "ball"],
    "square": ["square", "square", "box"],
    "triangle": ["triangle"],
}
COLOUR_WORDS = {"gray": ["gray", "grey"], "purple": ["purple", "violet"]}
BG_WORDS = [
    "on a {} background",
    "on a {} background",
    "over a {} background",
    "against a {} background",
    "over {}",
    "on {}",
    "in front of a {} backdrop",
]
SUBJECT = ["a {}", "a {}", "{}", "the {}", "a video of a {}", "one {}"]

# Every renderer's users may leave the stock Wan negative prompt in place: it is trained as "no caption" too.
WAN_NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)


def sample_spec(rng: random.Random) -> dict:
    colour = rng.choice(SHAPE_COLOURS)
    bg = colour
    while bg == colour:
        bg = rng.choices(BACKGROUNDS, BG_WEIGHTS)[0]
    return dict(shape=rng.choice(SHAPES), colour=colour, bg=bg, motion=rng.choices(MOTIONS, MOTION_WEIGHTS)[0])


def caption(spec: dict, rng: random.Random) -> str:
    word = lambda c: rng.choice(COLOUR_WORDS.get(c, [c]))
    subject = rng.choice(SUBJECT).format(f"{word(spec['colour'])} {rng.choice(SHAPE_WORDS[spec['shape']])}")
    if subject.startswith("a o"):
        subject = "an" + subject[1:]
    motion = rng.choice(MOTION_WORDS[spec["motion"]])
    bg = rng.choice(BG_WORDS).format(word(spec["bg"]))
    text = f"{bg}, {subject} {motion}" if rng.random() < 0.15 else f"{subject} {motion} {bg}"
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text.replace(" a orange", " an orange") + ("." if rng.random() < 0.2 else "")


def plain_prompt(spec: dict) -> str:
    motion = {"still": "standing still", "growing": "growing", "shrinking": "shrinking"}.get(
        spec["motion"], "moving " + spec["motion"]
    )
    return f"a {spec['colour']} {spec['shape']} {motion} on a {spec['bg']} background".replace(
        " a orange", " an orange"
    ).replace("a orange", "an orange")


def render(specs: list[dict], rng: random.Random, size: int = SIZE, times=None) -> torch.Tensor:
    """-> float tensor [B, 3, frames, size, size] in [-1, 1], anti-aliased by signed distance.

    `times`: [B, frames] in 0..1 (default: the whole clip of FRAMES frames)."""
    u = rng.uniform
    rows = []
    for s in specs:
        m, r0 = s["motion"], u(9, 12)
        r1, travel = r0, u(24, 32)
        if m in ("growing", "shrinking"):
            r0, r1 = u(5, 7), u(14, 17)
            x0 = x1 = 32 + u(-7, 7)
            y0 = y1 = 32 + u(-7, 7)
            if m == "shrinking":
                r0, r1 = r1, r0
        elif m == "still":
            x0 = x1 = 32 + u(-14, 14)
            y0 = y1 = 32 + u(-14, 14)
        else:
            mid, other = 32 + u(-4, 4), 32 + u(-12, 12)
            a, b = mid - travel / 2, mid + travel / 2
            if m in ("left", "up"):
                a, b = b, a
            x0, x1, y0, y1 = (a, b, other, other) if m in ("left", "right") else (other, other, a, b)
        rows.append((x0, x1, y0, y1, r0, r1))
    k = size / 64
    x0, x1, y0, y1, r0, r1 = (torch.tensor(rows) * k).T[..., None]
    t = torch.linspace(0, 1, FRAMES).expand(len(specs), -1) if times is None else times
    cx, cy, r = ((a + (b - a) * t)[:, :, None, None] for a, b in ((x0, x1), (y0, y1), (r0, r1)))
    g = torch.arange(size) + 0.5
    dx, dy = g[None, None, None, :] - cx, g[None, None, :, None] - cy
    kind = torch.tensor([SHAPES.index(s["shape"]) for s in specs])[:, None, None, None]
    circle = torch.sqrt(dx * dx + dy * dy) - r
    square = torch.maximum(dx.abs(), dy.abs()) - 0.9 * r
    triangle = torch.maximum(0.866 * dx.abs() - 0.5 * dy, dy) - 0.62 * r  # apex up
    sd = torch.where(kind == 0, circle, torch.where(kind == 1, square, triangle))
    alpha = (0.5 - sd).clamp(0, 1)[:, None]
    rgb = lambda key: (torch.tensor([COLOURS[s[key]] for s in specs]) / 127.5 - 1)[:, :, None, None, None]
    return alpha * rgb("colour") + (1 - alpha) * rgb("bg")
