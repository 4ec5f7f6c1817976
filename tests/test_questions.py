"""The questions page answers what people ask, and its links and those of the corrections lead somewhere."""

import functools
import re

import pytest
import questions
from docutils import nodes
from sphinx import addnodes

from tools.checks import equation_labels, repeated
from tools.notebooks import ROOT
from tools.plain import TARGET, places

QUESTION = re.compile(r"\((q-[a-z0-9-]+)\)=\n### ([^\n]+)\n\n(.+?)(?=\n\n\(q|\Z)", re.DOTALL)
ENTRY = re.compile(r"^([^\n(:#][^\n]*)\n: (.+?)(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
# What the book promises to answer, in a word or two, and where.
PROMISED = {
    "sum or mean": "q-sum-or-mean",
    "weight should the KL have": "q-kl-weight",
    "exp(logvar)": "q-exp-logvar",
    "KL formula": "q-kl-formula",
    "negative log-variance": "q-negative-logvar",
    "BCE or MSE": "q-bce-or-mse",
    "random decoded sample": "q-random-sample",
    "decoder is deterministic": "q-deterministic",
    "loss is negative": "q-loss-negative",
    "loss is NaN": "q-nan",
    "KL goes to 0": "q-kl-zero",
    "KL = 0 the goal": "q-kl-goal",
    "bad samples": "q-bad-samples",
    "at test time": "q-mean-or-draw",
    "sample() or rsample()": "q-rsample",
    "blurry": "q-blurry",
    "force every posterior to N(0, 1)": "q-all-posteriors",
    "classes group": "q-classes",
    "prior, posterior, likelihood, evidence": "q-who-is-who",
    "Don't Blame the ELBO": "q-sigma-in-paper",
    "softplus or exp": "q-softplus",
    "NLL of test data in a paper": "q-nll",
    "how many latents": "q-how-many-latents",
    "decoder with a mean and a variance": "q-two-heads",
    "B/N": "q-b-over-n",
    "prior be N(0, I)": "q-prior",
    "my KL is negative": "q-kl-negative",
    "warm-up": "q-warm-up",
    "generate: z from N(0, I)": "q-generate",
    "ELBO or IWAE": "q-iwae",
    "AE, PCA or VAE": "q-compression",
    "free bits": "q-free-bits",
    "bits per dimension": "q-bits-per-dim",
    "half precision": "q-half",
    "my number good": "q-good-number",
    "sigma, or which beta, did my loss assume": "q-which-sigma",
    "log p(x|z)": "q-what-is-log-p",
    "sign of my KL": "q-kl-sign",
    "0.18215": "q-latent-diffusion",
    "in the millions": "q-kl-huge",
    "Gumbel": "q-gumbel",
    "Graph VAE": "q-graph-vae",
    "M2": "q-semi-supervised",
    "mixture": "q-mixture-prior",
    "IWAE's gradient": "q-iwae-gradient",
    "lerp or slerp": "q-interpolate",
    "mu, z or logvar": "q-features",
    "MMD": "q-mmd",
    "anomaly": "q-anomaly",
    "total correlation": "q-total-correlation",
    "BCE on grey pixels": "q-bce-grey",
    "ReLU": "q-heads",
    "8-bit": "q-8-bit",
    "early stopping": "q-early-stopping",
    "standard deviation of 0.01": "q-eps-small",
    "conditional": "q-conditional",
    "F.kl_div": "q-f-kl-div",
    "Pyro": "q-pyro",
    "3,500": "q-elbo-3500",
    "moving along a latent": "q-latent-does-nothing",
    "generates well": "q-bad-reconstructions",
    "number of pixels": "q-divide-by-pixels",
    "not their average": "q-why-each-q",
    "mu^2 + (sigma - 1)^2": "q-kl-replaced",
    "images or the losses": "q-average-draws",
    "KL(q||p)": "q-direction",
    "reparameterized": "q-reparam-which",
    "count data": "q-counts",
    "beta > 1": "q-disentangle",
    "likelihood falls": "q-elbo-up-likelihood-down",
    "intractable": "q-intractable",
    "(B, 1)": "q-shapes",
    "clamp": "q-clamp",
    "autocast": "q-half",
}


def page(name: str) -> str:
    return (ROOT / "back" / f"{name}.md").read_text(encoding="utf-8")


@functools.cache
def targets() -> set[str]:
    """Whatever a page of the book can link to by name."""
    texts = [path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("back/*.md")]]
    anchors = [anchor for text in texts for anchor in TARGET.findall(text)]
    return {*places(), *anchors, *(label for text in texts for label in equation_labels(text))}


QUESTIONS = {anchor: (heading, answer) for anchor, heading, answer in QUESTION.findall(page("questions"))}
ENTRIES = ENTRY.findall(page("corrections"))


def missing(text: str) -> list[str]:
    """Links and equations of a text that lead nowhere."""
    names = re.findall(r"\]\(#([^)]+)\)", text.replace("\n", " ")) + re.findall(r"\{eq\}`([^`]+)`", text)
    return [name for name in names if name not in targets()]


def leads_somewhere(text: str) -> bool:
    return bool(re.search(r"\]\((#|api\.md|replication\.md)|\{(eq|numref)\}`", text.replace("\n", " ")))


def test_every_heading_is_a_question_with_an_anchor_of_its_own():
    text = page("questions")
    anchors = re.findall(r"^\((q-[\w-]+)\)=$", text, re.MULTILINE)
    assert len(re.findall(r"^### ", text, re.MULTILINE)) == len(anchors) == len(QUESTIONS) >= 100
    assert not repeated(anchors)
    assert not repeated([heading for heading, _ in QUESTIONS.values()])


@pytest.mark.parametrize("anchor", QUESTIONS)
def test_a_question_has_a_short_answer_and_a_link(anchor):
    answer = QUESTIONS[anchor][1]
    first = re.match(r"(?:\$[^$]*\$|[^$])+?[.?!](?=\s)", answer)
    assert first, "no first sentence"
    assert 4 <= len(first[0].split()) <= 45, first[0]
    assert len(answer.split()) <= 125
    assert leads_somewhere(answer)
    assert not missing(answer)


@pytest.mark.parametrize(("phrase", "anchor"), PROMISED.items())
def test_a_promised_question_is_asked_where_its_address_says(phrase, anchor):
    assert phrase.lower() in QUESTIONS[anchor][0].lower()


@pytest.mark.parametrize(("claim", "truth"), ENTRIES)
def test_a_correction_leads_to_where_the_book_shows_it(claim, truth):
    assert leads_somewhere(truth), claim
    assert not missing(truth)


def test_there_are_corrections_of_texts_of_code_and_of_our_own():
    parts = re.split(r"^\((corrections-\w+)\)=$", page("corrections"), flags=re.MULTILINE)
    counts = {name: len(ENTRY.findall(text)) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert counts["corrections-texts"] >= 25
    assert counts["corrections-code"] >= 8
    assert counts["corrections-ours"] >= 20


def test_every_reference_has_a_note():
    keys = re.findall(r"^@\w+\{([^,]+),", (ROOT / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) > 50
    assert not [key for key in keys if f"`{key}`" not in page("bibliography")]


def test_the_finder_gets_the_first_sentence_with_its_formulas_and_without_references():
    section = nodes.section(ids=["q-beta", "is-beta-a-knob"])
    section += nodes.title("", "Is beta a knob?")
    equation = addnodes.pending_xref("", nodes.literal("", "beta-is-variance"), refdomain="math")
    answer = ["No: it is ", nodes.math("", r"\sigma^2"), ", ", equation, ". At 0.5 too."]
    section += nodes.paragraph("", "", *(nodes.Text(part) if isinstance(part, str) else part for part in answer))
    found = list(questions.questions(section))
    assert found == [("Is beta a knob?", "q-beta", "No: it is σ^2.")]
