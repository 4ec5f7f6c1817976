import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from vaelib.plotting import COLORS, INK, label_line, plain_ticks, plot_band, plot_curve, plot_points


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_helpers_draw_what_they_are_given_and_return_the_axes(ax):
    x = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 4.0]])
    assert plot_points(x, ax=ax) is ax and plot_curve(x, ax=ax) is ax
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), x)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), x)
    assert ax.get_aspect() == 1
    assert ax.get_xlabel() == ax.get_ylabel() == ""  # the caption says what a plane shows
    plot_points(x, ax=ax, label="points", alpha=0.25)  # what a helper does not know goes to matplotlib
    assert ax.collections[1].get_label() == "points" and ax.collections[1].get_alpha() == 0.25


def test_band_is_median_and_extremes(ax):
    plot_band([1.0, 2.0], np.array([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]]), ax=ax, color=COLORS["evidence"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, 2.0])
    assert ax.collections[0].get_datalim(ax.transData).ymax == 5


def test_label_stands_in_the_colour_of_its_line(ax):
    label_line(ax, 1.0, 2.0, "ELBO", COLORS["elbo"])
    assert ax.texts[0].get_text() == "ELBO" and ax.texts[0].get_color() == INK["elbo"]
    label_line(ax, 1.0, 2.0, "mine", "#123456")
    assert ax.texts[1].get_color() == "#123456"


def luminance(color):
    channels = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("quantity", INK)
def test_words_can_be_read_on_white(quantity):
    """WCAG 2: a contrast of 4.5 to 1."""
    assert COLORS.keys() == INK.keys()
    assert 1.05 / (luminance(INK[quantity]) + 0.05) >= 4.5


def test_plain_ticks_are_the_values_and_nothing_between(ax):
    ax.set(xscale="log", yscale="log", xlim=(0.5, 3), ylim=(1e-7, 1e5))
    minor = len(ax.get_xticks(minor=True))
    assert plain_ticks(ax, x=[0.5, 1, 2]) is ax and minor > 0
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.5", "1", "2"]
    assert len(ax.get_xticks(minor=True)) == 0 and len(ax.get_yticks()) != 4
    plain_ticks(ax, y=[1e-6, 0.01, 0.3, 20_000, 1e5])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["$10^{-6}$", "0.01", "0.3", "20000", "$10^{5}$"]


def test_style_sheet_is_installed():
    with plt.style.context("vaelib.book"):
        assert plt.rcParams["axes.spines.top"] is False
