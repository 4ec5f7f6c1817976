"""What axe finds on a page, in the light theme and in the dark one."""

from axe_playwright_python.sync_playwright import Axe

OPTIONS = {"resultTypes": ["violations"], "preload": False}  # of style sheets, which a page opened as a file may not ask for
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
# Contrast takes axe milliseconds for each text, and a page has thousands in a few dozen looks: mark the first of each look.
MARK = """(part) => {
  const looks = new Map([[null, ""]]);
  const look = (node) => {
    if (!looks.has(node)) {
      const { color, background, opacity, fontSize, fontWeight, textShadow, position } = getComputedStyle(node);
      const own = [node.localName, node.className, color, background, opacity, fontSize, fontWeight, textShadow, position];
      looks.set(node, `${look(node.parentElement)}/${own}`);
    }
    return looks.get(node);
  };
  const isText = (child) => child.nodeType === Node.TEXT_NODE && child.data.trim();
  const hasText = (node) => node.matches("input, select, textarea") || [...node.childNodes].some(isText);
  const first = new Map();
  for (const node of document.querySelectorAll(`${part}, ${part} *`)) {
    delete node.dataset.firstOfItsLook;
    if (node.checkVisibility() && hasText(node) && !first.has(look(node))) first.set(look(node), node);
  }
  for (const node of first.values()) node.dataset.firstOfItsLook = "";
  return first.size;
}"""


def violations(tab, part=None, **options):
    """The rules that are broken on the page or in a part of it, and where."""
    found = Axe().run(tab, context=part, options=OPTIONS | options).response["violations"]
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]


def faint(tab, theme, part="body"):
    """Texts with too little contrast in a theme, after colours that fade have changed."""
    tab.evaluate(
        """async (theme) => {
          document.documentElement.dataset.theme = theme;
          const fades = document.getAnimations().filter((one) => one instanceof CSSTransition);
          await Promise.allSettled(fades.map((fade) => fade.finished));
        }""",
        theme,
    )
    assert tab.evaluate(MARK, part), "no text"
    return violations(tab, "[data-first-of-its-look]", **CONTRAST)


def remove_formulas(tab):
    """Or axe takes a minute, for each of their strokes is an element."""
    tab.evaluate("document.querySelectorAll('mjx-container').forEach((formula) => formula.remove())")
