"""Render a fully drawn scene to a picture and its masks: textures, damage, light, shadow and camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.datasets.synthetic.deformations import DEFORMATIONS, amount_of, deformed
from fastener.datasets.synthetic.material import (
    BACKGROUND_LEVEL,
    Damage,
    fractal_noise,
    lay_background,
    linear_to_srgb,
    pit_damage,
    rust_damage,
    scratch_damage,
    shade_metal,
)
from fastener.datasets.synthetic.shapes import PartShape, Surface, draw_part

SUPERSAMPLING = 2
TILE = 384  # side of the textures that travel with the part; they cover -1.3 to 1.3 of its half-length
CAMERA_BLUR = 0.6  # sigma in pixels
SENSOR_NOISE = 1.2  # sigma in grey levels of 255
PART, SKIN, DAMAGE, BACKGROUND, SENSOR, SHOT = range(6)  # streams of the seed


@dataclass(frozen=True)
class RenderedPart:
    """Hold one picture and the truth about it."""

    image: np.ndarray  # uint8 (H, W, 3) RGB
    part_mask: np.ndarray  # bool (H, W), the part's own pixels, holes out
    # bool (H, W), the defect's pixels, within part_mask; of a bend: the displaced region; of another deformation: where
    # material is missing or too much, or the whole part if it is oval or of a wrong length
    defect_mask: np.ndarray
    kind: str  # "bolt" | "nut" | "washer"
    finish: str  # "silver" | "grey" | "black"
    defect: str  # "none" | "rust" | "pit" | "scratch" | one of DEFORMATIONS
    rust_share: float  # share of the part's pixels that are rust, 0..1
    amount: float = 0.0  # of the deformation, in the unit of DEFORMATIONS


@dataclass(frozen=True)
class Scene:
    """Hold everything that was drawn at random for one shot, except the textures."""

    seed: int
    shape: PartShape
    finish: str
    background: str
    angle: float  # radians, of the part's axis, clockwise from image x
    scale: float  # half-length of the part, in parts of the shorter image side
    shift: tuple[float, float]  # of the centre, in parts of the shorter image side
    light: tuple[float, float, float]  # unit vector to the lamp, image frame
    tone: tuple[float, float, float]  # factor on the finish's reflectance
    exposure: float = 1.0
    shot: int = 0  # number of the shot, which selects its sensor noise
    blur: float = CAMERA_BLUR  # sigma of lens and focus, in pixels


@dataclass(frozen=True)
class LaidPart:
    """Hold the geometry of one shot: samples of the fine grid that can lie on the part, and its masks."""

    rows: np.ndarray  # int (N,), rows of the samples on the fine grid
    cols: np.ndarray  # int (N,), columns of the samples
    surface: Surface  # normals, sky and cover of the samples
    solid: np.ndarray  # bool (h, w), the part on the fine grid
    part_mask: np.ndarray  # bool (H, W), the part in the picture

    @property
    def fine(self) -> tuple[int, int]:
        """Height and width of the fine grid."""
        return self.solid.shape[0], self.solid.shape[1]


def stream(seed: int, *which: int) -> np.random.Generator:
    """Make an independent generator for one use of the seed, so that draws of one use never shift draws of another."""
    return np.random.default_rng([seed, *which])


def render_scene(
    scene: Scene,
    defect: str,
    size: tuple[int, int],
    rust_share: float,
    light_rgb: Sequence[float],
    amount: float | None = None,
) -> RenderedPart:
    """Render a scene at ``size`` (height, width), supersampled; masks hold the pixels covered by half or more."""
    sound = scene
    if defect in DEFORMATIONS:
        rng = stream(scene.seed, DAMAGE)
        scene = replace(scene, shape=deformed(scene.shape, defect, amount, rng))
    fine = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    laid = lay_part(scene, size)
    solid, part_mask = laid.solid, laid.part_mask

    rng = stream(scene.seed, DAMAGE)
    damage = Damage.none(fine)
    defect_mask = np.zeros(size, bool)
    if defect == "rust":
        damage, defect_mask = _grow_rust(rng, scene, fine, part_mask, rust_share)
    elif defect == "bend":
        displaced = np.zeros(fine, np.float32)
        displaced[laid.rows, laid.cols] = laid.surface.displaced
        defect_mask = shrink(displaced, size) >= 0.5
    elif defect in ("oval", "wrong length"):
        defect_mask = part_mask.copy()
    elif defect in DEFORMATIONS:
        changed = solid ^ lay_part(sound, size).solid
        defect_mask = shrink(changed.astype(np.float32), size) >= 0.5
    elif defect in ("pit", "scratch"):
        draw = pit_damage if defect == "pit" else scratch_damage
        damage = draw(rng, solid, scene.scale * min(fine))
        touched = ((damage.darken > 0) | (damage.bare > 0)) & solid
        defect_mask = shrink(touched.astype(np.float32), size) >= 0.5
    if defect not in DEFORMATIONS or defect == "bend":
        defect_mask = defect_mask & part_mask

    image = photograph_part(scene, laid, damage, light_rgb)
    share = float(defect_mask.sum() / max(part_mask.sum(), 1)) if defect == "rust" else 0.0
    shape = scene.shape
    return RenderedPart(image, part_mask, defect_mask, shape.kind, scene.finish, defect, share, amount_of(shape))


def lay_part(scene: Scene, size: tuple[int, int]) -> LaidPart:
    """Draw the geometry of a scene at ``size`` (height, width), supersampled."""
    fine = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    rows, cols, p, q = _part_positions(scene, fine)
    surface = draw_part(scene.shape, p, q)
    solid = np.zeros(fine, bool)
    solid[rows, cols] = surface.mask
    return LaidPart(rows, cols, surface, solid, shrink(solid.astype(np.float32), size) >= 0.5)


def photograph_part(scene: Scene, laid: LaidPart, damage: Damage, light_rgb: Sequence[float]) -> np.ndarray:
    """Light and photograph a laid part with its damage: uint8 RGB (H, W, 3)."""
    size = (laid.part_mask.shape[0], laid.part_mask.shape[1])
    seen = laid.surface.mask
    at = (laid.rows[seen], laid.cols[seen])
    metal = np.zeros((*laid.fine, 3), np.float32)
    metal[at] = _light_part(scene, laid.surface.normal[seen], laid.surface.open_sky[seen], damage, at, laid.fine)
    cover = shrink(laid.solid.astype(np.float32), size)
    picture = _light_background(scene, cover) * (1 - cover[..., None]) + shrink(metal, size)
    return _photograph(picture, scene, light_rgb)


def _frame(scene: Scene, size: tuple[int, int]) -> np.ndarray:
    """Return the similarity from the part's frame (along, across) to pixels of a (height, width) grid: (2, 3)."""
    height, width = size
    unit = scene.scale * min(size)
    cos, sin = unit * np.cos(scene.angle), unit * np.sin(scene.angle)
    centre_x = width / 2 - 0.5 + scene.shift[0] * min(size)
    centre_y = height / 2 - 0.5 + scene.shift[1] * min(size)
    return np.array([[cos, -sin, centre_x], [sin, cos, centre_y]])


def _part_positions(scene: Scene, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """List row, column and position in the part's frame of each sample of the grid that can lie on the part."""
    inverse = cv2.invertAffineTransform(_frame(scene, size)).astype(np.float32)
    xs, ys = np.arange(size[1], dtype=np.float32)[None, :], np.arange(size[0], dtype=np.float32)[:, None]
    along = inverse[0, 0] * xs + inverse[0, 1] * ys + inverse[0, 2]
    across = inverse[1, 0] * xs + inverse[1, 1] * ys + inverse[1, 2]
    slim = scene.shape.kind == "bolt" and not scene.shape.bend and scene.shape.deformation is None
    rows, cols = np.nonzero((np.abs(along) < 1.3) & (np.abs(across) < (0.65 if slim else 1.25)))
    return rows, cols, along[rows, cols], across[rows, cols]


def lay_texture(texture: np.ndarray, scene: Scene, size: tuple[int, int]) -> np.ndarray:
    """Lay a texture tile of the part's frame over a (height, width) grid."""
    step = 2.6 / TILE
    to_part = np.array([[step, 0, -1.3 + step / 2], [0, step, -1.3 + step / 2], [0, 0, 1]])
    to_pixels = _frame(scene, size) @ to_part
    return cv2.warpAffine(texture, to_pixels, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def shrink(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(field, size[::-1], interpolation=cv2.INTER_AREA)


def _grow_rust(
    rng: np.random.Generator, scene: Scene, fine: tuple[int, int], part_mask: np.ndarray, share: float
) -> tuple[Damage, np.ndarray]:
    """Grow rust on the ``share`` of the part's pixels at which a fractal field, fixed to the part, is highest."""
    size = (part_mask.shape[0], part_mask.shape[1])
    field = fractal_noise(rng, TILE, 5, 160, gain=0.72)
    tone = fractal_noise(rng, TILE, 6, 192, gain=0.85)
    seen = lay_texture(field, scene, fine)
    pixels = shrink(seen, size)
    values = np.sort(pixels[part_mask])[::-1]
    wanted = round(share * len(values))
    if wanted == 0:
        return Damage.none(fine), np.zeros(size, bool)
    level = float(values[wanted - 1])
    mask = part_mask & (pixels >= level)
    # Even the smallest speck of rust has its pixel in the mask.
    within = cv2.resize(mask.astype(np.float32), fine[::-1], interpolation=cv2.INTER_NEAREST)
    return rust_damage(seen, lay_texture(tone, scene, fine), level, within), mask


def _light_part(
    scene: Scene,
    seen: np.ndarray,
    open_sky: np.ndarray,
    damage: Damage,
    at: tuple[np.ndarray, np.ndarray],
    fine: tuple[int, int],
) -> np.ndarray:
    """Compute the light (N, 3), linear, of the part's samples in white light; ``seen`` are their normals."""
    rng = stream(scene.seed, SKIN)
    brushed = lay_texture(fractal_noise(rng, TILE, 96, 192, gain=1.0, stretch=12).T.copy(), scene, fine)[at]
    mottle = lay_texture(fractal_noise(rng, TILE, 4, 64), scene, fine)[at]
    n_p, n_q, n_w = seen.T
    n_p = n_p + 0.025 * brushed
    cos, sin = float(np.cos(scene.angle)), float(np.sin(scene.angle))
    # Camera and lamp are near, so that flat faces are seen at slightly different angles from end to end.
    bulge = np.float32(0.16 / (scene.scale * min(fine)))
    near_x, near_y = bulge * (at[1] - fine[1] / 2), bulge * (at[0] - fine[0] / 2)
    normal = np.stack([n_p * cos - n_q * sin + near_x, n_p * sin + n_q * cos + near_y, n_w], axis=1, dtype=np.float32)
    normal[:, :2] -= damage.relief[at]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    tone, light = np.array(scene.tone, np.float32), np.array(scene.light, np.float32)
    ground = BACKGROUND_LEVEL[scene.background]
    return shade_metal(scene.finish, normal, open_sky, mottle, damage.at(at), light, tone, ground)


def _light_background(scene: Scene, cover: np.ndarray) -> np.ndarray:
    """Compute the light (H, W, 3), linear, of the background with the part's cast shadow and dark contact line."""
    light = np.array(scene.light, np.float32)
    bench = lay_background(scene.background, stream(scene.seed, BACKGROUND), (cover.shape[0], cover.shape[1]), light)
    unit = scene.scale * min(cover.shape) / 2
    thick = {"bolt": 0.28, "nut": 0.35, "washer": 0.10}[scene.shape.kind]
    away = -light[:2] / light[2] * thick * unit * 0.6
    half = cv2.resize(cover, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    offset = np.array([[1, 0, away[0]], [0, 1, away[1]]], np.float64)
    cast = cv2.GaussianBlur(cv2.warpAffine(half, offset, half.shape[::-1]), (0, 0), 0.09 * unit)
    contact = cv2.GaussianBlur(half, (0, 0), 0.035 * unit)
    shade = (1 - 0.38 * cast) * (1 - 0.35 * contact)
    return bench * cv2.resize(shade, cover.shape[::-1], interpolation=cv2.INTER_LINEAR)[..., None]


def _photograph(light: np.ndarray, scene: Scene, light_rgb: Sequence[float]) -> np.ndarray:
    """Apply lens blur, exposure, a soft shoulder instead of hard clipping, sRGB and sensor noise: uint8 (H, W, 3)."""
    light = cv2.GaussianBlur(np.maximum(light, 0), (0, 0), scene.blur)
    light = light * (scene.exposure * np.asarray(light_rgb, np.float32))
    shoulder = 0.85
    light = np.where(light < shoulder, light, 1 - (1 - shoulder) * np.exp((shoulder - light) / (1 - shoulder)))
    grey = linear_to_srgb(light.astype(np.float32))
    noise = stream(scene.seed, SENSOR, scene.shot).standard_normal(grey.shape, np.float32)
    return np.asarray(np.clip(np.rint(grey + SENSOR_NOISE * noise), 0, 255), np.uint8)
