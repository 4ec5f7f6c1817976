"""Axes helpers and the book's colours. Takes arrays, draws, returns the Axes; computes and saves nothing."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

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
    "wrong": "#A50F15",
    "neutral": "#444444",
}


def plot_points(x: np.ndarray, *, ax: Axes | None = None, color: str = COLORS["data"], label: str | None = None, **style) -> Axes:
    """Scatter points of the plane on equal axes.

    Args:
        x: Points, shape ``(N, 2)``.
        ax: Where to draw; the current Axes if None.
        color: Colour of the points.
        label: Name for a legend.
        **style: Passed to ``Axes.scatter``.

    Returns:
        The Axes.
    """
    ax = ax or plt.gca()
    x = np.asarray(x)
    ax.scatter(x[:, 0], x[:, 1], color=color, label=label, **{"s": 10, "alpha": 0.7, "linewidths": 0, **style})
    ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return ax


def plot_curve(x: np.ndarray, *, ax: Axes | None = None, color: str = COLORS["true_curve"], label: str | None = None, **style) -> Axes:
    """Draw an ordered sequence of points of the plane as a line on equal axes.

    Args:
        x: Points in order, shape ``(N, 2)``.
        ax: Where to draw; the current Axes if None.
        color: Colour of the line.
        label: Name for a legend.
        **style: Passed to ``Axes.plot``.

    Returns:
        The Axes.
    """
    ax = ax or plt.gca()
    x = np.asarray(x)
    ax.plot(x[:, 0], x[:, 1], color=color, label=label, **style)
    ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return ax


def label_line(ax: Axes, x: float, y: float, text: str, color: str, **style) -> Axes:
    """Write a direct label beside a line, in the line's colour.

    Args:
        ax: Where to write.
        x: Horizontal position, in data units.
        y: Vertical position, in data units.
        text: The label.
        color: Its colour.
        **style: Passed to ``Axes.annotate``.

    Returns:
        The Axes.
    """
    ax.annotate(text, (x, y), color=color, **{"xytext": (4, 4), "textcoords": "offset points", **style})
    return ax


def plot_band(
    x: Sequence[float], values: np.ndarray, *, ax: Axes | None = None, color: str, label: str | None = None, **style
) -> Axes:
    """Median over the last axis as a line, its smallest and largest value as a band.

    Args:
        x: Horizontal positions, shape ``(S,)``.
        values: One row a position, shape ``(S, K)``.
        ax: Where to draw; the current Axes if None.
        color: Colour of line and band.
        label: Name for a legend.
        **style: Passed to ``Axes.plot``.

    Returns:
        The Axes.
    """
    ax = ax or plt.gca()
    values = np.asarray(values)
    ax.fill_between(x, values.min(-1), values.max(-1), color=color, alpha=0.2, linewidth=0)
    ax.plot(x, np.median(values, -1), color=color, label=label, **style)
    return ax
