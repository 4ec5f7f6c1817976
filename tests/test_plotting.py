import matplotlib.pyplot as plt
import numpy as np
import pytest

from vaelib.plotting import COLORS, label_line, plot_band, plot_curve, plot_points


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


def test_band_is_median_and_extremes(ax):
    plot_band([1.0, 2.0], np.array([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]]), ax=ax, color=COLORS["evidence"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, 2.0])
    assert ax.collections[0].get_datalim(ax.transData).ymax == 5


def test_label_stands_in_the_colour_of_its_line(ax):
    label_line(ax, 1.0, 2.0, "ELBO", COLORS["elbo"])
    assert ax.texts[0].get_text() == "ELBO" and ax.texts[0].get_color() == COLORS["elbo"]


def test_style_sheet_is_installed():
    with plt.style.context("vaelib.book"):
        assert plt.rcParams["axes.spines.top"] is False
