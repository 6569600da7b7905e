"""Compute the geometry of synthetic fasteners: the surface that each pixel sees, and its normal.

Every part is made of prisms and turned surfaces round one axis, seen in parallel projection, so that each surface is
found in closed form (no ray marching). In the part's own frame u runs along the axis, v across it in the picture and z
across it towards the viewer. The axis is tipped by ``tilt`` out of the picture: a point (u, v, z) is seen at
p = u cos(tilt) + z sin(tilt), q = v, and the near end face (u = 0) turns towards the viewer. tilt 0 is a bolt seen from
the side, tilt 90 degrees a nut seen from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastener.datasets.synthetic.sections import Circle, Hexagon, Section

_STRIPPED_TO = 0.12  # share of its depth that a stripped thread keeps
_FLATTENED_LENGTH = 0.6  # share of the thread's length over which crests are flattened

COUNTERSINK = 1.14  # radius of the bevel round a threaded hole, in hole radii


@dataclass(frozen=True)
class Deformation:
    """Hold a deformation other than a bend, see deformations.py."""

    kind: str
    amount: float  # in the unit of its kind
    place: float  # 0..1, where along the thread it begins
    direction: float  # radians, 0..pi: the long axis of an oval, the corner of a chip


@dataclass(frozen=True)
class PartShape:
    """Hold the proportions of one part, in units of the shank radius (bolt) or half the outer width (nut, washer)."""

    kind: str
    tilt: float  # radians
    roll: float  # radians, turn of the hexagon round the axis
    length: float  # of the shank; thickness of a nut or a washer
    head: str  # "hex" | "socket", bolts only
    head_width: float
    head_length: float
    hole: float  # radius
    pitch: float
    plain: float  # share of the shank without thread
    bend: float = 0.0  # radians
    deformation: Deformation | None = None

    def amount(self, kind: str) -> float:
        """Return the amount of a deformation as a share of 1; 0 where the part has none of this kind."""
        return self.deformation.amount / 100 if self.deformation and self.deformation.kind == kind else 0.0


@dataclass
class Surface:
    """Hold the surface that the viewer sees at N positions, as ``draw_part`` fills it in; float32 unless stated."""

    normal: np.ndarray  # (N, 3): along the axis as seen, across it, towards the viewer; unit length
    mask: np.ndarray  # (N,) bool
    open_sky: np.ndarray  # (N,) 0..1, how much of the surroundings reaches the surface
    displaced: np.ndarray  # (N,) bool, moved by a bend


def draw_part(shape: PartShape, p: np.ndarray, q: np.ndarray) -> Surface:
    """Find the visible surface at the positions p, q, float32 (N,); the part reaches from about -1 to 1 along p."""
    surface = Surface(
        normal=np.zeros((len(p), 3), np.float32),
        mask=np.zeros(p.shape, bool),
        open_sky=np.ones(p.shape, np.float32),
        displaced=np.zeros(p.shape, bool),
    )
    if shape.kind == "bolt":
        _draw_bolt(surface, shape, p, q)
    else:
        _draw_ring(surface, shape, p, q)
    surface.normal /= np.maximum(np.linalg.norm(surface.normal, axis=1, keepdims=True), 1e-6)
    return surface


def _draw_bolt(surface: Surface, shape: PartShape, p: np.ndarray, q: np.ndarray) -> None:
    cos, sin = float(np.cos(shape.tilt)), float(np.sin(shape.tilt))
    near, far = -shape.head_width * sin, (shape.head_length + shape.length) * cos + sin
    p, q = p * ((far - near) / 2) + (far + near) / 2, q * ((far - near) / 2)
    turn = np.zeros_like(p)
    if shape.bend:
        start = shape.head_length + 0.4 * shape.length
        p, q, turn = _unbend(p, q, start, shape.bend)
        surface.displaced = turn != 0
    _paint_shank(surface, shape, p, q)
    if swell := shape.amount("mushroomed head"):
        q = _unswell(p, q, shape, swell)
    if shape.head == "hex":
        section: Section = Hexagon(shape.head_width, shape.roll)
        _paint_prism(surface, shape, p, q, section, shape.head_length, chamfer=(0.97 * shape.head_width, 0.55))
    else:
        section = Circle(shape.head_width)
        _paint_prism(surface, shape, p, q, section, shape.head_length, chamfer=(0.9 * shape.head_width, 0.8))
        _paint_hole(surface, shape, p, q, Hexagon(0.52 * shape.head_width, shape.roll), 0.5 * shape.head_length, False)
    surface.displaced &= surface.mask
    if shape.bend:
        n_p, n_q = surface.normal[:, 0].copy(), surface.normal[:, 1].copy()
        surface.normal[:, 0] = n_p * np.cos(turn) - n_q * np.sin(turn)
        surface.normal[:, 1] = n_p * np.sin(turn) + n_q * np.cos(turn)


def _draw_ring(surface: Surface, shape: PartShape, p: np.ndarray, q: np.ndarray) -> None:
    """Draw a nut or a washer: a prism with a hole right through it."""
    turn = np.zeros_like(p)
    if shape.bend:  # a wing of the washer is folded up: it looks narrower and faces another way
        fold = 0.15
        wing = np.maximum(q - fold, 0)
        turn = shape.bend * np.clip(wing / 0.06, 0, 1)
        surface.displaced = q > fold
        q = q + wing * float(1 / np.cos(shape.bend) - 1)
    if shape.deformation and (oval := shape.amount("oval")):
        p, q = _unstretch(p, q, 1 + oval, shape.deformation.direction)
    p = p + float(shape.length * np.cos(shape.tilt) / 2)
    nut = shape.kind == "nut"
    section: Section = Circle(1.0)
    if nut:
        corner = int(shape.deformation.direction / np.pi * 6) if shape.deformation else 0
        depth = shape.amount("chipped corner") / float(np.cos(np.pi / 6))
        section = Hexagon(1.0, shape.roll, depth, corner)
    _paint_prism(surface, shape, p, q, section, shape.length, chamfer=(0.97, 0.6) if nut else (0.96, 0.7))
    _paint_hole(surface, shape, p, q, Circle(shape.hole), shape.length, True)
    surface.displaced &= surface.mask
    if shape.bend:
        n_q, n_w = surface.normal[:, 1].copy(), surface.normal[:, 2].copy()
        surface.normal[:, 1] = n_q * np.cos(turn) - n_w * np.sin(turn)
        surface.normal[:, 2] = n_q * np.sin(turn) + n_w * np.cos(turn)


def _unbend(p: np.ndarray, q: np.ndarray, start: float, angle: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map the positions p, q on a bent part to positions on the straight part; also return the local turn in radians.

    The axis follows a circle of radius 3 from ``start`` until it has turned by ``angle``, then goes straight on.
    """
    sign = float(np.sign(angle))
    radius = 3.0 * sign
    along, across = p - start, q - radius
    turn = np.clip(np.arctan2(along, -across * sign), 0, abs(angle))
    turn = np.where(p > start, turn, 0.0).astype(np.float32) * np.float32(sign)
    cos, sin = np.cos(turn), np.sin(turn)
    straight_p = start + radius * turn + along * cos + across * sin
    straight_q = -along * sin + across * cos + radius
    bent = turn != 0
    return np.where(bent, straight_p, p), np.where(bent, straight_q, q), turn


def _unstretch(p: np.ndarray, q: np.ndarray, ratio: float, direction: float) -> tuple[np.ndarray, np.ndarray]:
    """Map positions on an oval part, long by ``ratio`` along ``direction``, to positions on the round part."""
    cos, sin, root = float(np.cos(direction)), float(np.sin(direction)), float(np.sqrt(ratio))
    along, across = (p * cos + q * sin) / root, (q * cos - p * sin) * root
    return along * cos - across * sin, along * sin + across * cos


def _unswell(p: np.ndarray, q: np.ndarray, shape: PartShape, swell: float) -> np.ndarray:
    """Map q on a head that was hammered wider towards its near end to q on the sound head."""
    near = shape.head_width * float(np.sin(shape.tilt))
    depth = np.clip((p + near) / (near + 0.8 * shape.head_length), 0, 1)
    return np.asarray(q / (1 + swell * (1 - depth) ** 1.5), np.float32)


def _damaged_thread(shape: PartShape, u: np.ndarray, crest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of the crests, 1 whole to 0 gone, and the share of the groove that was cut, at each ``u``.

    ``crest`` is where the thread begins to be full, in shares of the shank.
    """
    whole = np.ones_like(u)
    damage = shape.deformation
    if damage is None or not damage.kind.endswith("thread"):
        return whole, whole
    share = damage.amount / 100
    length = _FLATTENED_LENGTH if damage.kind == "flattened thread" else share
    first = crest + (1 - crest) * damage.place * (1 - length)
    end = first + (1 - crest) * length
    at = u / shape.length
    # Damage ends over a fifth of a turn.
    soft = 0.2 * shape.pitch / shape.length
    inside = np.clip((at - first) / soft, 0, 1) * np.clip((end - at) / soft, 0, 1)
    if damage.kind == "missing thread":
        return whole, whole - inside
    lost = share if damage.kind == "flattened thread" else 1 - _STRIPPED_TO
    return whole - lost * inside, whole


def _thread(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth of a rounded thread profile, 0 (crest) to 1 (root), and its slope per turn."""
    angle = 2 * np.pi * phase
    return 0.5 - 0.5 * np.cos(angle), np.pi * np.sin(angle)


def _paint(
    surface: Surface, where: np.ndarray, tilt: float, normal: tuple[np.ndarray | float, ...], sky: np.ndarray | float
) -> None:
    """Write a surface over what lies behind it; ``normal`` is (along u, v, z) in the part's frame."""
    n_u, n_v, n_z = (np.broadcast_to(np.asarray(n, np.float32), where.shape)[where] for n in normal)
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    surface.normal[where] = np.stack([n_u * cos + n_z * sin, n_v, n_z * cos - n_u * sin], axis=1)
    surface.open_sky[where] = np.broadcast_to(np.asarray(sky, np.float32), where.shape)[where]
    surface.mask |= where


def _paint_prism(
    surface: Surface,
    shape: PartShape,
    p: np.ndarray,
    q: np.ndarray,
    section: Section,
    length: float,
    chamfer: tuple[float, float],
) -> None:
    """Draw the sides and the near end face of a prism from u = 0 on; ``chamfer`` is (radius at its start, slope)."""
    cos, sin = float(np.cos(shape.tilt)), float(np.sin(shape.tilt))
    start, slope = chamfer[0], min(chamfer[1], 0.8 * sin / cos)  # steeper ones would turn away from the viewer
    top, there = section.upper(q)
    u = (p - top * sin) / cos
    cut = slope * np.maximum(np.hypot(q, top) - start, 0)
    side = there & (u >= cut) & (u <= length - (cut if shape.kind == "nut" else 0))
    _paint(surface, side, shape.tilt, (0.0, *section.normal(q)), 1.0)
    z = p / sin
    for _ in range(3):  # Newton: the chamfer lies deeper than the face, which moves the point that is seen
        radius = np.hypot(q, z)
        beyond = radius > start
        excess = sin * z + slope * cos * np.where(beyond, radius - start, 0) - p
        z = z - excess / (sin + slope * cos * np.where(beyond, z / np.maximum(radius, 1e-6), 0))
    radius = np.hypot(q, z)
    bevel = np.clip((radius - start) / 0.02, 0, 1) * slope / np.maximum(radius, 1e-3)
    _paint(surface, section.contains(q, z), shape.tilt, (-1.0, bevel * q, bevel * z), 1.0)


def _paint_hole(
    surface: Surface, shape: PartShape, p: np.ndarray, q: np.ndarray, section: Section, depth: float, through: bool
) -> None:
    """Draw a hole in the near end face: its bevel, its wall, and its floor or, right through, the background."""
    cos, sin = float(np.cos(shape.tilt)), float(np.sin(shape.tilt))
    near, far = p / sin, (p - depth * cos) / sin
    mouth = section.contains(q, near)
    if shape.kind == "nut":
        radius = np.hypot(q, near)
        rim = (radius < COUNTERSINK * shape.hole) & ~mouth
        _paint(surface, rim, shape.tilt, (-1.0, -0.9 * q / shape.hole, -0.9 * near / shape.hole), 0.9)
    bottom = -section.upper(-q)[0]  # the lower wall is the upper one mirrored, and faces the axis
    u = np.clip((p - bottom * sin) / cos, 0, depth)
    sky = 0.75 - 0.45 * u / depth
    n_u = np.zeros_like(p)
    if shape.kind == "nut":
        turn = np.arctan2(q, bottom) / (2 * np.pi)
        groove, slope = _thread(u / shape.pitch + turn)
        n_u, sky = 0.35 * slope, sky * (1 - 0.6 * groove)
    _paint(surface, mouth, shape.tilt, (n_u, *section.normal(-q)), sky)
    end = mouth & section.contains(q, far)
    if through:
        surface.mask &= ~end
    else:
        _paint(surface, end, shape.tilt, (-1.0, 0.0, 0.0), 0.35)


def _paint_shank(surface: Surface, shape: PartShape, p: np.ndarray, q: np.ndarray) -> None:
    """Draw a turned rod of radius 1 behind the head: plain, then a helical thread, then a chamfered tip."""
    cos, sin = float(np.cos(shape.tilt)), float(np.sin(shape.tilt))
    round_z = np.sqrt(np.maximum(1 - q**2, 0))
    u = (p - round_z * sin) / cos - shape.head_length
    turn = np.arctan2(q, round_z) / (2 * np.pi)
    groove, slope = _thread(u / shape.pitch + turn)
    cut_in = np.clip((u - shape.plain * shape.length) / shape.pitch, 0, 1)  # the first turn deepens slowly
    depth = 0.55 * shape.pitch
    crest, cut = _damaged_thread(shape, u, shape.plain)
    cut_in = cut_in * cut
    worn = (1 - crest) > groove * cut_in
    groove = np.where(worn, (1 - crest) / np.maximum(cut_in, 1e-3), groove)
    radius = 1 - depth * groove * cut_in
    growth = -0.55 * slope * cut_in * 0.8  # dr/du, softened: steeper flanks would only mirror the dark bench
    growth = np.where(worn, 0, growth)
    tip = 1 - 0.9 * np.maximum(u - (shape.length - 0.3), 0)
    growth = np.where(tip < radius, -0.9, growth)
    radius = np.minimum(radius, tip)
    z2 = radius**2 - q**2
    where = (z2 > 0) & (u >= -0.5) & (u <= shape.length)
    z = np.sqrt(np.maximum(z2, 0))
    rod = np.maximum(radius, 0.05)  # beyond the tip, where nothing is painted, the radius runs through 0
    under_head = np.clip(u / 0.5, 0, 1)
    sky = (1 - 0.5 * groove * cut_in) * (0.45 + 0.55 * under_head)
    _paint(surface, where, shape.tilt, (-growth, q / rod, z / rod), sky)
