"""A formula as a line of text, for where none is drawn: in search results, the finder, descriptions and page titles."""

import re

GREEK = dict(
    zip(
        "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega ell".split()
        + "Gamma Delta Theta Lambda Pi Sigma Phi Psi Omega varepsilon varphi varrho".split(),
        "αβγδεζηθκλμνξπρστφχψωℓ" + "ΓΔΘΛΠΣΦΨΩεφϱ",
        strict=True,
    )
)
SIGNS = dict(
    zip(
        "partial nabla sum prod int infty le ge ne approx sim pm times cdot to iff gg ll in propto mapsto odot".split()
        + "Vert | lvert rvert langle rangle dots ldots cdots top star ast { }".split(),
        "∂∇ΣΠ∫∞≤≥≠≈~±×·→⇔≫≪∈∝↦⊙" + "‖‖||⟨⟩………T**{}",
        strict=True,
    )
)
WORDS = {
    "log",
    "exp",
    "max",
    "min",
    "sin",
    "cos",
    "tanh",
    "det",
    "Pr",
    "arg",
    "argmax",
    "argmin",
    "lim",
    "sup",
    "inf",
    "tr",
    "ln",
}
GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"


def to_unicode(formula: str) -> str:
    r"""The formula in Unicode: ``\frac{a}{b}`` becomes a/b and ``\sigma_\phi`` becomes σ_φ."""
    text = re.sub(r"\s*\\mid\s*", "|", formula)
    text = re.sub(r"~|\\(begin|end)\{[^}]*\}|\\\\(\[[^]]*\])?|&", " ", text)
    text = re.sub(r"\\(text|mathrm|mathbb|mathcal|mathbf|boldsymbol|operatorname\*?|textbf|textit)\s*" + GROUP, r"\2", text)
    for _ in range(4):  # fractions stand in fractions
        text = re.sub(r"\\[td]?frac\s*" + GROUP + r"\s*" + GROUP, lambda match: f"{side(match[1])}/{side(match[2])}", text)
        text = re.sub(r"\\sqrt\s*" + GROUP, lambda match: f"√{side(match[1])}", text)
    text = re.sub(r"\\[td]?frac\s*(\w|\\[A-Za-z]+)\s*(\w)", r"\1/\2", text)
    text = re.sub(r"\\([A-Za-z]+|[|{}])", named, text)
    text = re.sub(r"\\.", " ", text)
    text = re.sub(r"([_^])" + GROUP, lambda match: match[1] + side(match[2].strip()), text)
    text = text.replace("{", "").replace("}", "")
    return re.sub(r"\s+([,.;:)\]])|([\[(])\s+|\s+(?=\()", r"\1\2", " ".join(text.split()))


def named(match: re.Match) -> str:
    name = match[1]
    return f" {name} " if name in WORDS - {"max", "min"} else name if name in WORDS else SIGNS.get(name, GREEK.get(name, ""))


def side(part: str) -> str:
    """A numerator, denominator or index, in brackets where the line would be misread without."""
    return f"({part})" if re.search(r"[^\w.*]", part.strip().lstrip("-")) else part.strip()
