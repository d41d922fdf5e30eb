"""Fills and strokes outlines that are given on the surface of a head."""

import numpy as np

INVISIBLE = 0.02  # opacity below which nothing is drawn


class Pen:
    """Draws on one head; what is turned away from us is clipped.

    Args:
        head: `Head`.
        draw: a Pillow `ImageDraw` in mode "RGBA" on an RGB image, so that opacity works.
    """

    def __init__(self, head, draw):
        self.head, self.draw, self.person = head, draw, head.person

    def polygon(self, pixels, colour, opacity=1.0):
        """Fills a closed outline of pixels (n, 2)."""
        if len(pixels) > 2 and opacity > INVISIBLE:
            self.draw.polygon(pixels.ravel().tolist(), fill=(*colour, round(255 * min(opacity, 1.0))))

    def fill(self, u, v, colour, opacity=1.0):
        """Fills the closed outline (u, v) on the face."""
        if opacity > INVISIBLE:
            self.polygon(_towards_us(*self.head.place(u, v)), colour, opacity)

    def between(self, u, top, bottom, colour):
        """Fills what lies between the lines (u, top) and (u, bottom) on the face."""
        self.fill(np.concatenate([u, u[::-1]]), np.concatenate([top, bottom[::-1]]), colour)

    def stroke(self, u, v, thickness, colour, opacity=1.0):
        """Strokes the line (u, v) on the face; `thickness`, one number or one a point, in half head widths."""
        if opacity <= INVISIBLE:
            return
        pixels, facing = self.head.place(u, v)
        seen = facing > 0.02
        if np.count_nonzero(seen) < 2:
            return
        pixels = pixels[seen]
        half = np.broadcast_to(thickness, facing.shape)[seen, None] * self.head.scale / 2
        along = np.empty_like(pixels)
        along[1:-1], along[0], along[-1] = pixels[2:] - pixels[:-2], pixels[1] - pixels[0], pixels[-1] - pixels[-2]
        along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-6)
        across = along[:, ::-1] * (-1, 1) * half
        self.polygon(np.concatenate([pixels + across, (pixels - across)[::-1]]), colour, opacity)


def _towards_us(pixels, facing):
    """Clips a closed outline to its part with `facing` > 0 (Sutherland and Hodgman, one edge)."""
    if (facing > 0).all():
        return pixels
    kept = []
    for here, there, a, b in zip(pixels, np.roll(pixels, -1, 0), facing, np.roll(facing, -1), strict=True):
        if a > 0:
            kept.append(here)
        if (a > 0) != (b > 0):
            kept.append(here + (there - here) * (a / (a - b)))
    return np.array(kept).reshape(-1, 2)


def tone(colour, factor):
    """An RGB colour made darker (`factor` below 1) or lighter."""
    return tuple(int(min(255, channel * factor)) for channel in colour)


def mix(first, second, share):
    """An RGB colour between two: `share` of the second."""
    return tuple(int(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True))
