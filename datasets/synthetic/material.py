"""Compute the material of synthetic fasteners: noise fields, damage (rust, pits, scratches) and light.

Everything is computed in linear light, where a colour cast or an exposure is a plain factor; only the finished picture
is encoded as sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

# Mirror reflectance, matte reflectance, strength and sharpness of the highlight, and reflectance of a scratch's floor,
# which looks bright in dark metal and dark in bright metal, because it breaks the mirror image.
FINISHES = {
    "silver": ((0.62, 0.63, 0.62), 0.08, 0.28, 60.0, 0.10),
    "grey": ((0.36, 0.37, 0.38), 0.07, 0.22, 35.0, 0.80),
    "black": ((0.035, 0.040, 0.041), 0.022, 0.07, 14.0, 0.70),
}
# Matte reflectance of white deposit on each finish, from thin to thick: zinc salts are nearly white, and on black
# coatings they lie as a thin, slightly bluish haze first.
DEPOSITS = {
    "silver": ((0.72, 0.73, 0.73), (0.95, 0.95, 0.94)),
    "grey": ((0.55, 0.56, 0.56), (0.88, 0.88, 0.87)),
    "black": ((0.12, 0.14, 0.15), (0.50, 0.51, 0.50)),
}
# Matte reflectance of the base under lost coating.
_LOST_COATING = (0.030, 0.034, 0.032)
# sRGB of rust, from moist dark brown through red-brown and orange to dry ochre: CIELab hues 40 to 68 degrees.
RUST_PALETTE = ((62, 38, 28), (102, 54, 34), (150, 78, 40), (184, 104, 52), (190, 132, 80))
# sRGB of the sheet or bench that the part lies on.
BACKGROUNDS = {"white": (238, 238, 236), "light": (205, 206, 207), "bench": (139, 141, 142), "cloth": (56, 58, 63)}
BACKGROUND_LEVEL = {"white": 0.85, "light": 0.6, "bench": 0.26, "cloth": 0.04}  # their luminance in linear light


@dataclass
class Damage:
    """Hold the effect of a defect on the surface, sample by sample: float32 (H, W) arrays, zero without effect."""

    rust: np.ndarray  # 0..1, cover of rust
    rust_tone: np.ndarray  # 0..1, place in RUST_PALETTE
    darken: np.ndarray  # 0..1, light lost in a pit or a groove
    bare: np.ndarray  # 0..1, bare bright metal
    relief: np.ndarray  # (H, W, 2), tilt added to the normal, along image x and y
    white: np.ndarray  # 0..1, cover of white deposit
    white_tone: np.ndarray  # 0..1, from thin and grey to thick and white
    dark: np.ndarray  # 0..1, cover of dark matte base under lost coating
    dull: np.ndarray  # 0..1, lustre lost

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Damage:
        """Make an undamaged grid of this height and width."""
        rust, rust_tone, darken, bare, white, white_tone, dark, dull = np.zeros((8, *shape), np.float32)
        relief = np.zeros((*shape, 2), np.float32)
        return cls(rust, rust_tone, darken, bare, relief, white, white_tone, dark, dull)

    def at(self, where: tuple[np.ndarray, np.ndarray]) -> Damage:
        """Select the damage of some samples, flattened."""
        return Damage(*(getattr(self, field.name)[where] for field in fields(self)))


def srgb_to_linear(colour: np.ndarray) -> np.ndarray:
    """Decode sRGB values 0 to 255 to linear light 0 to 1 (IEC 61966-2-1)."""
    value = np.asarray(colour, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Encode linear light 0 to 1 as sRGB values 0 to 255, float32 (IEC 61966-2-1); it must not be negative."""
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, np.float32(1 / 2.4)) - 0.055)
    return (255 * value).astype(np.float32)


def fractal_noise(
    rng: np.random.Generator, side: int, coarsest: int, finest: int, gain: float = 0.7, stretch: int = 1
) -> np.ndarray:
    """Draw a sum of octaves of smooth noise, float32 (side, side), with mean 0 and deviation 1.

    Cells per side double from ``coarsest`` to ``finest`` while the amplitude falls by ``gain``; ``stretch`` makes them
    longer along rows than across.
    """
    total = np.zeros((side, side), np.float32)
    cells, amplitude = coarsest, 1.0
    while cells <= finest:
        grid = rng.standard_normal((cells, max(cells // stretch, 2)), np.float32)
        total += np.float32(amplitude) * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        cells, amplitude = cells * 2, amplitude * gain
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6))


def rust_damage(field: np.ndarray, tone: np.ndarray, level: float, within: np.ndarray) -> Damage:
    """Lay rust where ``field`` exceeds ``level`` and ``within`` is 1: soft at its border, thick and rough inside."""
    damage = Damage.none(field.shape[:2])
    damage.rust = np.clip((field - level) / 0.10, 0, 1) * 0.96 * within
    inner = np.clip((field - level) / 1.5, 0, 1)
    damage.rust_tone = np.clip(0.47 + 0.24 * tone - 0.12 * inner, 0, 1)
    damage.darken = damage.rust * np.clip(-0.9 - tone, 0, 1) * 0.5
    damage.relief = slope(tone) * damage.rust[..., None] * 0.9
    return damage


def pit_damage(rng: np.random.Generator, mask: np.ndarray, unit: float) -> Damage:
    """Draw three to seven ragged craters in the part; ``unit`` is the part's half-length in samples."""
    damage = Damage.none(mask.shape)
    depth = np.zeros(mask.shape, np.float32)
    room = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    rows, cols = np.nonzero(room > min(0.05 * unit, 0.7 * float(room.max())))
    ys, xs = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]].astype(np.float32)
    for pick in rng.integers(0, len(rows), int(rng.integers(3, 8))):
        radius = unit * rng.uniform(0.035, 0.075)
        phases = rng.uniform(0, 2 * np.pi, 2)
        reach = int(2 * radius) + 2
        window = np.s_[max(rows[pick] - reach, 0) : rows[pick] + reach, max(cols[pick] - reach, 0) : cols[pick] + reach]
        dy, dx = ys[window] - rows[pick], xs[window] - cols[pick]
        around = np.arctan2(dy, dx)
        ragged = radius * (1 + 0.18 * np.cos(2 * around + phases[0]) + 0.09 * np.cos(3 * around + phases[1]))
        depth[window] = np.maximum(depth[window], np.clip(1 - (np.hypot(dx, dy) / ragged) ** 2, 0, 1))
    depth *= mask
    damage.darken = np.clip(depth * 1.7, 0, 1) * 0.78
    damage.relief = -slope(np.minimum(depth, 0.75)) * (0.06 * unit)
    damage.rust = np.clip(depth * 1.5, 0, 1) * 0.25
    damage.rust_tone += 0.15
    return damage


def scratch_damage(rng: np.random.Generator, mask: np.ndarray, unit: float) -> Damage:
    """Draw two to four slightly curved gouges in the part's surface, with a dark burr and a floor of bare metal."""
    damage = Damage.none(mask.shape)
    rows, cols = np.nonzero(mask)
    heading = rng.uniform(0, np.pi)
    profile = np.zeros(len(rows), np.float32)
    for pick in rng.integers(0, len(rows), int(rng.integers(2, 5))):
        angle = heading + rng.normal(0, 0.25)
        reach, sag = unit * rng.uniform(0.4, 0.7), unit * rng.uniform(-0.08, 0.08)
        width = max(unit * rng.uniform(0.010, 0.019), 1.4)
        dx, dy = cols - cols[pick], rows - rows[pick]
        along = (dx * np.cos(angle) + dy * np.sin(angle)) / reach
        swell = np.maximum(1 - along**2, 0)  # fades out towards both ends
        away = np.abs(dy * np.cos(angle) - dx * np.sin(angle) - sag * swell)
        depth = np.clip(1.5 - away / (width * np.sqrt(swell) + 1e-6), 0, 1)
        profile = np.maximum(profile, depth.astype(np.float32))
    lines = np.zeros(mask.shape, np.float32)
    lines[rows, cols] = profile
    damage.bare = np.clip(3 * lines - 2, 0, 1)
    damage.darken = np.clip(4 * lines, 0, 0.6) * (1 - damage.bare)
    damage.relief = -slope(lines) * 1.5
    return damage


def slope(field: np.ndarray) -> np.ndarray:
    """Compute central differences along x and y: (H, W, 2)."""
    kernel = np.array([-0.5, 0, 0.5], np.float32)
    one = np.ones(1, np.float32)
    return np.stack(
        [cv2.sepFilter2D(field, cv2.CV_32F, kernel, one), cv2.sepFilter2D(field, cv2.CV_32F, one, kernel)], -1
    )


def shade_metal(
    finish: str,
    normal: np.ndarray,
    open_sky: np.ndarray,
    mottle: np.ndarray,
    damage: Damage,
    light: np.ndarray,
    tone: np.ndarray,
    ground: float,
) -> np.ndarray:
    """Compute the light (N, 3), linear, that leaves the N samples of a part.

    The metal mirrors a simple room (bright ceiling, dark horizon, soft lamp) and has a Blinn-Phong highlight.

    Parameters
    ----------
    finish
        Key of ``FINISHES``.
    normal
        Unit vectors (N, 3) in the image frame: x to the right, y down, z to the viewer.
    open_sky
        Share of the surroundings that reaches each sample, 0 to 1, (N,).
    mottle
        Unevenness of the reflectance, (N,).
    damage
        Damage of the N samples.
    light
        Unit vector to the lamp, (3,).
    tone
        Factor of this part on its finish, (3,).
    ground
        Luminance of the background, which steep faces mirror.
    """
    mirror, matte, glint, sharpness, floor = FINISHES[finish]
    n_x, n_y, n_z = normal[:, 0], normal[:, 1], np.clip(normal[:, 2], 0, 1)
    facing = np.clip(normal @ light, 0, 1)
    reflected_z = 2 * n_z**2 - 1
    toward_lamp = 2 * n_z * (n_x * light[0] + n_y * light[1]) + reflected_z * light[2]
    ceiling = _smoothstep(-0.75, 0.95, reflected_z)
    room = 0.10 + 0.45 * ground * (1 - _smoothstep(-1.0, 0.2, reflected_z))
    room += 0.50 * ceiling * (1 + 0.35 * np.sin(3.0 * n_z * (n_x * light[1] - n_y * light[0]) + 0.8))
    room += 0.45 * _smoothstep(0.55, 1.0, toward_lamp)
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    highlight = np.clip(normal @ half, 0, 1) ** np.float32(sharpness)
    bare = damage.bare[:, None]
    reflectance = np.asarray(mirror, np.float32) * tone * (1 - bare) + floor * bare
    reflectance = reflectance * (1 + 0.06 * mottle[:, None])
    metal = reflectance * (room * open_sky)[:, None]
    metal += (matte * (0.35 + 0.65 * facing) * open_sky + glint * highlight * open_sky**2)[:, None] * tone
    # A dull surface scatters what a bright one mirrors: it shows the mean of the room, whatever its slope.
    scattered = reflectance * (0.55 * (0.35 + 0.65 * facing) * open_sky)[:, None]
    metal = metal + (scattered - metal) * damage.dull[:, None]
    matte_light = ((0.30 + 0.75 * facing) * (0.35 + 0.65 * open_sky))[:, None]
    thin, thick = (np.asarray(level, np.float32) for level in DEPOSITS[finish])
    mixed = metal + (_rust_reflectance(damage.rust_tone) * matte_light - metal) * damage.rust[:, None]
    mixed += (np.asarray(_LOST_COATING, np.float32) * matte_light - mixed) * damage.dark[:, None]
    white = (thin + (thick - thin) * damage.white_tone[:, None]) * matte_light
    mixed += (white - mixed) * damage.white[:, None]
    return np.asarray(mixed * (1 - damage.darken[:, None]))


def _rust_reflectance(tone: np.ndarray) -> np.ndarray:
    palette = srgb_to_linear(np.array(RUST_PALETTE)) * 1.15
    stops = np.linspace(0, 1, len(palette))
    return np.stack([np.interp(tone, stops, palette[:, k]) for k in range(3)], axis=1).astype(np.float32)


def _smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lay_background(name: str, rng: np.random.Generator, shape: tuple[int, int], light: np.ndarray) -> np.ndarray:
    """Compute the light (H, W, 3), linear, of a sheet, bench or cloth: darker away from the lamp, with a fine grain."""
    height, width = shape
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    fall = 1 + rng.uniform(0.03, 0.08) * (xs * light[0] + ys * light[1]) - 0.04 * (xs**2 + ys**2)
    noise = fractal_noise(rng, max(shape), 4, 128, gain=0.8)[:height, :width]
    grain = {"white": 0.006, "light": 0.012, "bench": 0.04, "cloth": 0.06}[name]
    if name == "cloth":  # the weave
        period = max(shape) / 80
        weave = np.sin(np.pi * max(shape) / period * xs) * np.sin(np.pi * max(shape) / period * ys)
        noise = noise + 1.5 * weave
    colour = srgb_to_linear(np.array(BACKGROUNDS[name])) * rng.uniform(0.94, 1.03)
    return np.asarray(colour * (fall * (1 + grain * noise))[..., None])
