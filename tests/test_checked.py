"""How the site shows a printed check."""

from types import SimpleNamespace

import checked
from docutils import nodes, utils

PRINTED = "[ok] a: 1\n[ok] b: 2\n[ok] a: 1\nrate 3\n[ok] a: 9\n[no] c: below <1\n[ok] a: 1\n"
HELD = ' <a class="held" href="../back/replication.html">held 19 of 20</a></p>'
SHOWN = [
    '<p class="check ok" id="check-a"><code>a</code> 1 <span class="together">(3 checks)</span>' + HELD,
    '<p class="check ok" id="check-b"><code>b</code> 2</p>',
    "rate 3",
    '<p class="check ok"><code>a</code> 9' + HELD,
    '<p class="check no" id="check-c"><code>c</code> below &lt;1</p>',
]


def test_a_line_that_was_printed_again_is_shown_once(tmp_path):
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "replication.csv").write_text(
        "label,kind,held,runs\na,claim,19,20\nb,equation,20,20\n", encoding="utf-8"
    )
    builder, env = SimpleNamespace(format="html", fignumbers={}), SimpleNamespace(toc_fignumbers={})
    document = utils.new_document("")
    document += nodes.literal_block(PRINTED, PRINTED, classes=["output", "stream"])
    document += nodes.literal_block("[ok] z: 1", "[ok] z: 1")
    checked.show_checks(SimpleNamespace(builder=builder, env=env, srcdir=tmp_path), document, "chapters/01")
    marks = {
        '<span class="tick" role="img" aria-label="checked">✓</span> ',
        '<span class="tick" role="img" aria-label="does not hold">✗</span> ',
    }
    shown = [node.astext() for node in document.children]
    assert shown.pop() == "[ok] z: 1"
    assert [text.replace(min(marks), "").replace(max(marks), "") for text in shown] == SHOWN
