"""The questions page in a browser: the field finds, an address opens its answer, and without scripts everything is there."""

from conftest import DESKTOP, PHONE, SITE, sync_api

PAGE = "back/questions.html"
SHOWN = "sections => sections.filter(section => section.checkVisibility()).map(section => section.id)"
# What people type, and the question that must be among those left.
TYPED = {
    "logvar negative": "q-negative-logvar",
    "exp(logvar)": "q-exp-logvar",
    "annealing": "q-warm-up",
    "clusters": "q-classes",
    "iwae": "q-iwae",
    "KL weight": "q-kl-weight",
    "loss nan": "q-nan",
    "posterior collapse": "q-kl-zero",
    "blurry": "q-blurry",
    "mse or bce": "q-bce-or-mse",
    "why is my loss negative?": "q-loss-negative",
    "fp16": "q-half",
    "stable diffusion": "q-latent-diffusion",
    "how many latents": "q-how-many-latents",
    "outlier": "q-anomaly",
    "kld zero": "q-kl-zero",
}


def shown(tab) -> list[str]:
    return tab.eval_on_selector_all('section[id^="q-"]', SHOWN)


def is_open(tab, anchor: str) -> bool:
    return tab.locator(f"#{anchor} > h3 > button").get_attribute("aria-expanded") == "true"


def test_the_field_finds_what_people_type(visit):
    tab = visit(PAGE, **DESKTOP)
    everything = shown(tab)
    assert len(everything) >= 100
    for typed, anchor in TYPED.items():
        tab.fill("#finder-field", typed)
        found = shown(tab)
        assert anchor in found, typed
        assert len(found) < len(everything) * 0.7, typed
        assert tab.inner_text(".finder-status") == f"{len(found)} of {len(everything)} questions"
    tab.press("#finder-field", "Escape")
    assert shown(tab) == everything


def test_an_address_opens_its_answer_and_no_other(visit):
    tab = visit(PAGE, "?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%20zebra#q-b-over-n", **PHONE)
    assert is_open(tab, "q-b-over-n")  # though the field had hidden it
    assert not is_open(tab, "q-kl-weight")
    sync_api.expect(tab.locator("#q-b-over-n p").first).to_be_in_viewport()
    tab.fill("#finder-field", "<img src=x onerror=alert(1)> zebra")
    assert not shown(tab)
    assert "Nothing fits" in tab.inner_text(".finder-status")
    assert not tab.query_selector(".finder img")
    tab.evaluate("location.hash = 'q-nan'")
    sync_api.expect(tab.locator("#q-nan p").first).to_be_in_viewport()


def test_answers_open_by_keyboard_all_at_once_and_on_paper(visit):
    tab = visit(PAGE, **DESKTOP)
    tab.locator("#q-nan > h3 > button").focus()
    for expected in (True, False):
        tab.keyboard.press("Enter")
        assert is_open(tab, "q-nan") is expected
        assert tab.locator("#q-nan p").first.is_visible() is expected
    tab.click("text=Open all")
    assert all(is_open(tab, anchor) for anchor in ("q-nan", "q-flow", "q-iwae"))
    tab.click("text=Close all")
    assert not is_open(tab, "q-iwae")
    tab.emulate_media(media="print")
    assert tab.locator("#q-iwae p").first.is_visible()


def test_without_scripts_every_answer_stands_open(browser):
    context = browser.new_context(java_script_enabled=False, **DESKTOP)
    tab = context.new_page()
    tab.goto((SITE / PAGE).as_uri())
    assert tab.locator("#q-nan p").first.is_visible()
    assert not tab.locator(".finder").is_visible()
    context.close()


def test_another_page_lists_what_fits_with_its_answer(visit):
    tab = visit("back/notation.html", **DESKTOP)
    tab.evaluate(
        r"""() => {
        window.QUESTIONS = {page: "questions.html", questions: [
          {text: "My loss is NaN", anchor: "q-nan", answer: "In float32 \\(e^x\\) overflows."},
          {text: "Does a warm-up of the KL help?", anchor: "q-warm-up", answer: "Against early collapse."},
          {text: "Why blurry?", anchor: "q-blurry", answer: "It is a mean, <b>no</b> draw."}]};
        document.querySelector("article h1").insertAdjacentHTML("afterend", "<div class='finder'></div>");
    }"""
    )
    tab.add_script_tag(path=SITE / "_static" / "explorables" / "finder.js")
    assert not tab.query_selector_all(".finder-list li")
    tab.fill("#finder-field", "mean")
    assert tab.get_attribute(".finder-list a", "href") == "questions.html#q-blurry"
    assert "<b>no</b> draw" in tab.inner_text(".finder-list")
    tab.fill("#finder-field", "annealing")  # the other name alone finds it: neither the question nor its answer has the word
    assert tab.get_attribute(".finder-list a", "href") == "questions.html#q-warm-up"
    tab.fill("#finder-field", "loss overflow")
    assert tab.get_attribute(".finder-list a", "href") == "questions.html#q-nan"
    assert tab.get_attribute(".finder-list li:last-child a", "href") == "questions.html?q=loss%20overflow"
