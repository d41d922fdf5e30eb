"""The drawn head as a solid: where a point of the face lands in the picture, and which part of it can be seen.

The head is a stack of horizontal half ellipses, a front and a back one at every height, with the nose, lips and
chin standing out along the middle. So a turned head foreshortens, hides its far side and shows its profile by
projection, not by recipe. A point of the face is (u, v): its distance from the middle line and its height,
downwards from the middle of the head, in half head widths. Points of the whole head have an azimuth instead of u.
"""

from dataclasses import dataclass

import numpy as np

CROWN, TEMPLE = -1.3, -0.25  # heights of the skull's top and of its widest ring
HEIGHTS = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 40))  # -1 to 1, denser where the outline curves most
AZIMUTHS = np.linspace(-1.0, 1.0, 33)


@dataclass(frozen=True)
class Head:
    """One head in one pose in one picture.

    Args:
        person: `people.Person`.
        pose: `people.Pose`.
        drop: how far the chin hangs below its resting place.
        centre: pixel (x, y) of the middle of the head.
        scale: pixels of a half head width.
    """

    person: object
    pose: object
    drop: float
    centre: tuple
    scale: float

    @property
    def chin(self):
        return self.person.chin + self.drop

    def ring(self, v):
        """Half width, middle, front depth and back depth of the head at heights `v`, each shaped as `v`.

        Towards the chin the rings shrink and move forward, so that a profile has a jaw.
        """
        up = np.clip((TEMPLE - v) / (TEMPLE - CROWN), 0.0, 1.0)
        down = np.clip((v - TEMPLE) / (self.chin - TEMPLE), 0.0, 1.0)
        skull = (1 - up**2.5) ** (1 / 2.2)
        width = self.person.face_width * skull * (1 - down**self.person.jaw) ** (1 / 1.7)
        reach = skull * (1 - 0.05 * down - 0.17 * down**7)
        middle = np.minimum(0.75 * np.clip((down - 0.45) / 0.55, 0, 1) ** 1.2, reach)
        back = 1.1 * skull * np.sqrt(1 - down**1.5)
        return width, middle, reach - middle, back

    def relief(self, u, v):
        """How far nose, lips and chin stand out of the front ring at (u, v)."""
        tip = 0.33 + self.person.nose_length
        end = self.chin
        nose = (-0.3, 0.04), (-0.14, 0.02), (tip - 0.2, 0.16), (tip, 0.29), (tip + 0.08, 0.2), (tip + 0.15, 0.03)
        lips = (0.64, 0.09), (0.72, 0.06), (0.8, 0.09), (0.9, 0.01)
        chin = (end - 0.16, 0.06), (end - 0.06, 0.06), (end, 0.0)
        spread = np.where(v < tip + 0.12, 0.13, 0.4)
        return np.interp(v, *zip(*nose, *lips, *chin, strict=True)) * np.exp(-((u / spread) ** 2))

    def place(self, u, v):
        """Points (u, v) on the face -> pixels (n, 2) and `facing` (n,): above 0 where the skin is turned to us."""
        u, v = np.broadcast_arrays(np.asarray(u, float), np.asarray(v, float))
        width, middle, front, _ = self.ring(v)
        across = np.clip(u / np.maximum(width, 1e-6), -1.0, 1.0)
        forward = np.sqrt(1 - across**2)
        z = middle + front * forward + self.relief(u, v)
        return self._project(u, v, z), self._facing(across / self.person.face_width, forward)

    def band(self, v, left, right):
        """Outline of the skin between two azimuths at every height, as far as it is visible.

        Args:
            v: heights, (n,).
            left, right: azimuths in degrees, (n,) or scalars; 0 is the middle of the face, 180 that of the back.

        Returns:
            Pixels (m, 2) of a closed polygon, or (0, 2) where nothing of it can be seen.
        """
        azimuth = _between(v, left, right)
        u, z = self._around(v, azimuth)
        z = z + np.where(np.cos(azimuth) > 0, self.relief(u, v[:, None]), 0.0)
        return self._outline(u, np.broadcast_to(v[:, None], u.shape), z, azimuth)

    def hair(self, v, left, right, thickness):
        """As `band`, for hair that grows from nothing at its edge on the forehead to `thickness` further back."""
        azimuth = _between(v, left, right)
        # Below the ears hair hangs straight down: it does not follow the jaw.
        u, z = self._around(np.minimum(v, 0.3), azimuth)
        from_edge = np.abs(azimuth) - np.radians(np.minimum(np.abs(left), np.abs(right)))[:, None]
        above = (self.person.hairline - v[:, None]) / 0.3
        swell = 1 + thickness * np.clip(np.maximum(from_edge / 0.6, above), 0, 1)
        y = np.where(v[:, None] < 0, swell, 1.0) * v[:, None]
        return self._outline(swell * u, y, swell * z, azimuth)

    def _around(self, v, azimuth):
        width, middle, front, back = (size[:, None] for size in self.ring(v))
        z = middle + np.where(np.cos(azimuth) > 0, front, back) * np.cos(azimuth)
        return width * np.sin(azimuth), z

    def _outline(self, u, v, z, azimuth):
        """The outermost visible points of every row of a grid, left ones downwards, then right ones upwards."""
        pixels = self._project(u, v, z)
        seen = self._facing(np.sin(azimuth) / self.person.face_width, np.cos(azimuth)) > -0.1
        rows = np.flatnonzero(seen.any(axis=1))
        across = self._unroll(pixels)
        first = np.where(seen, across, np.inf).argmin(axis=1)[rows]
        last = np.where(seen, across, -np.inf).argmax(axis=1)[rows]
        return np.concatenate([pixels[rows, first], pixels[rows, last][::-1]])

    def heights(self, top, bottom):
        """Heights from `top` to `bottom`, denser towards both."""
        return (top + bottom) / 2 + (bottom - top) / 2 * HEIGHTS

    def flat(self, x, y):
        """Pixels (n, 2) of points that no rotation moves (body, loose hair), given from the middle of the head."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        return np.stack([x, y], -1) * self.scale + self.centre

    def _project(self, u, v, z):
        yaw, pitch, roll = np.radians([self.pose.yaw, self.pose.pitch, self.pose.roll])
        x = u * np.cos(yaw) + z * np.sin(yaw)
        z = z * np.cos(yaw) - u * np.sin(yaw)
        y = v * np.cos(pitch) - z * np.sin(pitch)
        turned = np.stack([x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)], -1)
        return turned * self.scale + self.centre

    def _unroll(self, pixels):
        # The outline's left and right are those of the head, not of a tilted picture.
        roll = np.radians(self.pose.roll)
        return pixels[..., 0] * np.cos(roll) + pixels[..., 1] * np.sin(roll)

    def _facing(self, across, forward):
        yaw = np.radians(self.pose.yaw)
        return forward * np.cos(yaw) - across * np.sin(yaw)


def _between(v, left, right):
    left, right = np.broadcast_to(left, v.shape)[:, None], np.broadcast_to(right, v.shape)[:, None]
    return np.radians((left + right) / 2 + (right - left) / 2 * AZIMUTHS)
