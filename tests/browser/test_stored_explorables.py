"""The sigma dial, the bowl and the latent plane on the built site: what they say of the stored numbers, and how they are used."""

import re
from pathlib import Path

import pytest

import explorables
from conftest import DESKTOP, PHONE, settle
from vaelib.spiral import SIGMA

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"sigma-dial": "07_sigma_as_weight", "bowl": "08_posterior_collapse", "latent-plane": "12_digits"}
STORED = {
    name: explorables.stored(ROOT / "chapters" / f"{PAGES[name]}.ipynb", name.replace("-", "_"))
    for name in ("sigma-dial", "latent-plane")
}
INK = "0123456789abcdefg"


@pytest.fixture
def touch(visit):
    """Opens an explorable with an address, on a device, and waits until it has drawn."""

    def touch(name, query="", motion="reduce", **device):
        tab = visit(f"chapters/{PAGES[name]}.html", f"#{name}?{query}", **device or DESKTOP)
        tab.emulate_media(reduced_motion=motion)
        root = tab.locator(f"#{name}")
        root.scroll_into_view_if_needed()
        tab.wait_for_function(f"document.querySelector('#{name} .sentence').textContent")
        return tab, root

    return touch


def says(root, text):
    """Wait until the sentence says it."""
    root.locator(".sentence", has_text=text).wait_for(timeout=5_000)


def state(tab):
    """What the address tells, once the hand rests."""
    settle(tab, tab.evaluate("location.hash.slice(1).split('?')[0]"))
    return dict(re.findall(r"([a-z_0-9]+)=([^&]*)", tab.evaluate("location.hash")))


def comes_to_rest(tab, slope):
    """Wait until the address, which is written when nothing moves, has both slopes there."""
    tab.wait_for_function(
        """slope => ["decoder", "encoder"].every((name) => {
          const [, text] = location.hash.match(new RegExp(`${name}=([^&]*)`)) ?? [];
          return text !== undefined && Math.abs(Number(text) - slope) < 0.01;
        })""",
        arg=slope,
    )


def number(value):
    return f"{value:.2f}".replace("-", "−")


def test_the_dial_says_the_sweeps_own_numbers(touch):
    data = STORED["sigma-dial"]
    tab, root = touch("sigma-dial", "ratio=0.05")
    dial = root.get_by_role("slider", name="Assumed σ")
    best = max(value for value in data["fresh"] if value is not None)
    for ratio, fresh in zip(data["ratios"], data["fresh"], strict=True):
        says(root, f"σ is {ratio:g} times the true noise")
        text = root.locator(".sentence").text_content()
        if fresh is None:
            assert "Far too thin" in text
        elif ratio * SIGMA > data["sigma_c"]:
            assert "Dead" in text
            assert "the KL is 0.00 nats" in text
        else:
            assert number(fresh) in text
            assert ("Right" in text) == (best - fresh <= 0.05)
            assert ("Too thin" in text) == (ratio < 1 and best - fresh > 0.05)
        assert dial.get_attribute("aria-valuetext") == f"{ratio:g} times the true noise"
        dial.press("ArrowRight")
    assert state(tab) == {"ratio": "10"}
    root.get_by_role("button", name="1: right").press("Enter")
    says(root, "Right")


def test_the_dials_point_goes_along_the_spiral_by_key_and_to_the_nearest_by_pointer(touch):
    tab, root = touch("sigma-dial")
    knob = root.get_by_role("slider", name="the touched point")
    knob.press("ArrowRight")
    knob.press("Shift+ArrowLeft")
    assert state(tab) == {"point": "120"}
    assert "point 121 of 200" in knob.get_attribute("aria-valuetext")
    root.locator(".plane").first.click(position={"x": 20, "y": 120})  # left of the spiral's outer end
    points = STORED["sigma-dial"]["x"]
    assert points
    assert int(state(tab)["point"]) > 190


def test_a_hostile_address_does_nothing(touch):
    _, root = touch("sigma-dial", "ratio=%3Cimg%20src=x%3E&point=1e99&samples=yes")
    says(root, "σ is 1 times the true noise")
    assert "point 200 of 200" in root.get_by_role("slider", name="the touched point").get_attribute("aria-valuetext")
    _, plane = touch("latent-plane", "drawn=%3Cimg%20src=x%20onerror=alert(1)%3E&from=12&z1=NaN&along=-4&ground=up")
    says(plane, "Classes share this place")
    assert plane.locator("img").count() == 0
    assert plane.get_by_role("combobox", name="Walk from").input_value() == "6"


def test_a_digit_is_drawn_by_keys_and_by_pointer(touch):
    tab, root = touch("latent-plane")
    root.get_by_role("button", name="clear").press("Enter")
    assert state(tab) == {"drawn": "0" * 64}
    pad = root.get_by_role("application")
    pad.focus()
    for key in ("ArrowRight", "ArrowDown", "Space"):
        pad.press(key)
    assert "row 5, column 5: ink 16 of 16" in root.get_by_role("status").text_content()
    drawn = state(tab)["drawn"]
    ink = {(i // 8, i % 8): INK.index(level) for i, level in enumerate(drawn) if level != "0"}
    assert ink == {(4, 4): 16, (3, 4): 4, (5, 4): 4, (4, 3): 4, (4, 5): 4}
    pad.press("Space")  # rubs it out
    assert state(tab)["drawn"][4 * 8 + 4] == "0"
    box = pad.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 16, box["y"] + 4)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 16, box["y"] + box["height"] - 4, steps=12)
    tab.mouse.up()
    assert [state(tab)["drawn"][8 * row] for row in range(8)] == ["g"] * 8


def test_the_walk_moves_z_from_one_class_to_the_other(touch):
    tab, root = touch("latent-plane")
    root.get_by_role("combobox", name="Walk from").select_option("0")
    says(root, "A patch of 0s")
    slider = root.get_by_role("slider", name="put z on the way")
    slider.press("End")
    says(root, "A patch of 7s")
    assert {"from": "0", "along": "1"}.items() <= state(tab).items()
    root.get_by_role("button", name="reset").press("Enter")
    assert state(tab) == {}


def test_a_tap_decodes_elsewhere(touch):
    tab, root = touch("latent-plane", **PHONE)
    root.locator(".plane").first.tap(position={"x": 12, "y": 300})
    says(root, "No image sends its code here")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_ball_rolls_to_life_below_the_threshold_and_back_above(touch, motion):
    tab, root = touch("bowl", "ratio=0.7", motion=motion)
    says(root, "A saddle")
    root.get_by_role("button", name="Push it from collapse").press("Enter")
    comes_to_rest(tab, 0.714)  # the root of 1 - 0.7^2
    root.get_by_role("button", name="√λmax : set").press("Enter")
    says(root, "Flat")
    root.get_by_role("slider", name="σ / √λmax").press("End")
    says(root, "A bowl")
    root.get_by_role("button", name="Let it roll").press("Enter")
    comes_to_rest(tab, 0)
