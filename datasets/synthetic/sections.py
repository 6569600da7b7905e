"""Cross-sections of synthetic fasteners, across the axis: v in the picture, z towards the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Section(Protocol):
    """Describe a cross-section that is symmetric about its centre."""

    def upper(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the upper edge (0 beyond the section), and whether there is one, bool."""

    def normal(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the outward unit normal of the upper edge, in v and in z."""

    def contains(self, v: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Tell whether the points lie inside, bool."""


@dataclass(frozen=True)
class Circle:
    """Describe a round section."""

    radius: float

    def upper(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sqrt(np.maximum(self.radius**2 - v * v, 0)), np.abs(v) < self.radius

    def normal(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return v / self.radius, self.upper(v)[0] / self.radius

    def contains(self, v: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.asarray(v * v + z * z < self.radius**2)


@dataclass(frozen=True)
class Hexagon:
    """Describe a hexagonal section, turned by ``roll`` radians; ``chip`` is the depth cut off one corner, if any."""

    apothem: float
    roll: float
    chip: float = 0.0
    chip_corner: int = 0

    def _faces(self) -> list[tuple[float, float, float]]:
        """Return the outward normals (v, z) of all faces, and their distances from the centre."""
        angles = self.roll % (np.pi / 3) + np.pi / 3 * np.arange(6)
        faces = [(float(np.sin(a)), float(np.cos(a)), self.apothem) for a in angles]
        if self.chip:
            a = self.roll % (np.pi / 3) + np.pi / 6 + np.pi / 3 * self.chip_corner
            faces.append((float(np.sin(a)), float(np.cos(a)), self.apothem / float(np.cos(np.pi / 6)) - self.chip))
        return faces

    def _reach(self) -> tuple[float, float]:
        """Return the least and the greatest v of the section."""
        faces = sorted(self._faces(), key=lambda face: float(np.arctan2(face[0], face[1])))
        corners = [
            np.linalg.solve(np.array([one[:2], other[:2]]), np.array([one[2], other[2]]))[0]
            for one, other in zip(faces, faces[1:] + faces[:1], strict=True)
        ]
        return float(min(corners)), float(max(corners))

    def upper(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = np.full_like(v, np.inf)
        for face_v, face_z, distance in self._faces():
            if face_z > 1e-6:
                z = np.minimum(z, (distance - face_v * v) / face_z)
        low, high = self._reach()
        inside = (v > low) & (v < high)
        return np.where(inside, z, np.float32(0)), inside

    def normal(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, n_v, n_z = np.full_like(v, np.inf), np.zeros_like(v), np.ones_like(v)
        for face_v, face_z, distance in self._faces():
            if face_z <= 1e-6:
                continue
            here = (distance - face_v * v) / face_z
            closer = here < z
            z[closer], n_v[closer], n_z[closer] = here[closer], face_v, face_z
        return n_v, n_z

    def contains(self, v: np.ndarray, z: np.ndarray) -> np.ndarray:
        inside = np.ones(np.shape(v), bool)
        for face_v, face_z, distance in self._faces():
            inside &= face_v * v + face_z * z < distance
        return inside
