"""Axes helpers and the book's colours. Takes arrays, draws, returns the Axes; computes and saves nothing."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

# One colour per quantity through the whole book; the palette of Okabe and Ito, safe for colour-blind readers.
COLORS = {
    "data": "#8C8C8C",
    "true_curve": "#000000",
    "reconstruction": "#D55E00",
    "prior": "#56B4E9",
    "posterior": "#0072B2",
    "encoder": "#E69F00",
    "elbo": "#009E73",
    "evidence": "#0072B2",
    "kl": "#CC79A7",
    "samples": "#5B2A86",
    "wrong": "#A50F15",
    "neutral": "#444444",
    "guide": "#BBBBBB",
}
# The same hues for words: where a colour is too light to read on white, a darker one that is not (4.5 to 1 or better).
INK = COLORS | {
    "data": "#6B6B6B",
    "reconstruction": "#B34700",
    "prior": "#1B6E9C",
    "encoder": "#8A5F00",
    "elbo": "#00735A",
    "kl": "#9B4A76",
    "guide": "#6B6B6B",
}


def plot_points(x: np.ndarray, *, ax: Axes | None = None, color: str = COLORS["data"], **style: Any) -> Axes:
    """Scatter points of the plane on equal axes.

    Args:
        x: Points, shape ``(N, 2)``.
        ax: Where to draw; the current Axes if None.
        color: Colour of the points.
        **style: Passed to ``Axes.scatter``.

    Returns:
        The Axes.
    """
    ax = ax or plt.gca()
    x = np.asarray(x)
    ax.scatter(x[:, 0], x[:, 1], color=color, **{"s": 10, "alpha": 0.7, "linewidths": 0, **style})
    ax.set_aspect("equal")
    return ax


def plot_curve(x: np.ndarray, *, ax: Axes | None = None, color: str = COLORS["true_curve"], **style: Any) -> Axes:
    """Draw an ordered sequence of points of the plane as a line on equal axes.

    Args:
        x: Points in order, shape ``(N, 2)``.
        ax: Where to draw; the current Axes if None.
        color: Colour of the line.
        **style: Passed to ``Axes.plot``.

    Returns:
        The Axes.
    """
    ax = ax or plt.gca()
    x = np.asarray(x)
    ax.plot(x[:, 0], x[:, 1], color=color, **style)
    ax.set_aspect("equal")
    return ax


def label_line(ax: Axes, x: float, y: float, text: str, color: str, **style: Any) -> Axes:
    """Write a direct label beside a line, in the line's colour or, where that is too light for words, in its `INK`.

    Args:
        ax: Where to write.
        x: Horizontal position, in data units.
        y: Vertical position, in data units.
        text: The label.
        color: The line's colour.
        **style: Passed to ``Axes.annotate``.

    Returns:
        The Axes.
    """
    ink = next((INK[name] for name, hue in COLORS.items() if hue == color), color)
    ax.annotate(text, (x, y), color=ink, **{"xytext": (4, 4), "textcoords": "offset points", **style})
    return ax


def plot_band(x: Sequence[float], values: np.ndarray, *, ax: Axes | None = None, color: str, **style: Any) -> Axes:
    """Median over the last axis as a line, its smallest and largest value as a band.

    Args:
        x: Horizontal positions, shape ``(S,)``.
        values: One row a position, shape ``(S, K)``.
        ax: Where to draw; the current Axes if None.
        color: Colour of line and band.
        **style: Passed to ``Axes.plot``.

    Returns:
        The Axes.
    """
    ax = ax or plt.gca()
    values = np.asarray(values)
    ax.fill_between(x, values.min(-1), values.max(-1), color=color, alpha=0.2, linewidth=0)
    ax.plot(x, np.median(values, -1), color=color, **style)
    return ax


def plain_ticks(ax: Axes, *, x: Sequence[float] | None = None, y: Sequence[float] | None = None) -> Axes:
    """Mark the values given, written as a reader would, and nothing between them: for logarithmic axes.

    Args:
        ax: Whose ticks to set.
        x: Values on the horizontal axis; its ticks stay as they are if None.
        y: Values on the vertical axis, likewise.

    Returns:
        The Axes.
    """
    for axis, values in ((ax.xaxis, x), (ax.yaxis, y)):
        if values is not None:
            axis.set_ticks(values, [_plain(value) for value in values])
            axis.set_minor_locator(NullLocator())
    return ax


def _plain(value: float) -> str:
    """A number as a reader would write it: 0.05, 20, and a power of ten where zeros would have to be counted."""
    exponent = round(np.log10(value)) if value > 0 else 0
    return f"$10^{{{exponent}}}$" if abs(exponent) > 3 and np.isclose(value, 10.0**exponent) else f"{value:g}"
