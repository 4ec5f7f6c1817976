/* Chapter 05: the loss as your code says it -> the sigma and the beta that it assumes, and whether a latent survives them. */
"use strict";
(() => {
  const { el, short } = Explorable;
  const DATA = {
    discs: "28×28 images of discs, 0 to 1", digits: "scikit-learn's 8×8 digits, 0 to 1",
    noise: "normal noise of std 1, any D", columns: "standardised columns (wine, D = 13)", spiral: "the spiral of this book", yours: "yours: type √λmax below",
  };
  const ERRORS = {
    "mse-mean": { words: "mean of all: F.mse_loss(r, x), Keras mse", code: "F.mse_loss(r, x)" },
    "mse-batchmean": { words: "sum over D, mean of points: D * Keras mse", code: "(r - x).square().sum(1).mean()" },
    "mse-sum": { words: 'sum: F.mse_loss(r, x, reduction="sum")', code: 'F.mse_loss(r, x, reduction="sum")' },
    "bce-mean": { words: "cross-entropy, mean of all (default)", code: "bce(r, x)" },
    "bce-batchmean": { words: "cross-entropy, sum over D, mean of points", code: 'bce(r, x, reduction="none").sum(1).mean()' },
    "bce-sum": { words: "cross-entropy, sum", code: 'bce(r, x, reduction="sum")' },
  };
  const KLS = {
    batchmean: { words: "sum over d, mean: kl.sum(1).mean()", code: "kl.sum(1).mean()" },
    sum: { words: "sum of all: kl.sum()", code: "kl.sum()" },
    mean: { words: "mean of all: kl.mean(), reduce_mean(kl)", code: "kl.mean()" },
  };
  // The losses of the chapter's tables: error, KL, weight of the error, weight of the KL, whether it lacks the 1/2.
  const TABLE = {
    1: ["mse-mean", "sum"], 2: ["mse-mean", "batchmean"], 3: ["mse-mean", "mean"], 4: ["mse-sum", "sum", 0.5],
    5: ["mse-sum", "sum"], 6: ["mse-batchmean", "batchmean"], 7: ["mse-mean", "batchmean", "D"],
    8: ["mse-mean", "sum", 1, "1/BD"], 9: ["mse-mean", "batchmean", 1, 0.00025], 10: ["mse-sum", "batchmean"],
    11: ["bce-mean", "batchmean"], 12: ["bce-mean", "mean"], 13: ["bce-sum", "sum"], 14: ["bce-mean", "sum", 1, "1/BD"],
    15: ["bce-mean", "batchmean", "D"], 16: ["bce-mean", "mean", 1, 0.0005, true], 17: ["bce-sum", "batchmean"],
  };
  const LINES = { // with torch.distributions
    mse: [
      "log_sigma = nn.Parameter(torch.zeros(()))",
      "nll = -Normal(r, log_sigma.exp()).log_prob(x).sum(1)",
      "loss = (nll + kl.sum(1)).mean()",
    ],
    bce: [
      "nll = -Bernoulli(logits=r).log_prob(x).sum(1)",
      "# for grey x: ContinuousBernoulli(logits=r)",
      "loss = (nll + kl.sum(1)).mean()",
    ],
  };
  // A toy cloud along a toy curve, both of standard deviation 1 in their strongest direction.
  const CURVE = Array.from({ length: 161 }, (_, i) => {
    const t = 0.12 + 0.88 * (i / 160);
    return [(1.84 * t * Math.cos(8.8 * t)) + 0.15, (1.84 * t * Math.sin(8.8 * t)) - 0.1];
  });
  const CLOUD = Array.from({ length: 120 }, (_, i) => {
    const [x, y] = CURVE[Math.floor(160 * Math.sqrt((i + 0.5) / 120))];
    const angle = 2.4 * i; // golden angles scatter evenly without a generator
    const away = 0.16 * Math.sqrt(((i * 37) % 120) / 60);
    return [x + away * Math.cos(angle), y + away * Math.sin(angle)];
  });
  const column = (rows, axis) => rows.map((row) => row[axis]);

  const weightOf = (word, { D, B }) => (word === "D" ? D : word === "1/BD" ? Number((1 / (B * D)).toPrecision(6)) : word ?? 1);

  /** What the state's loss assumes, and what these data make of it. */
  function found(state) {
    const [kind, reconstruction] = state.error.split("-");
    const implied = Formulas.impliedSigma({
      loss: kind === "bce" ? "cross_entropy" : "squared_error", reconstruction, kl: state.kl,
      dataDim: state.D, latentDim: state.d, batchSize: state.B,
      errorWeight: state.error_weight, klWeight: state.kl_weight * (state.no_half ? 2 : 1),
    });
    const data = Formulas.SPREADS[state.data] ?? { edge: state.top };
    return { kind, ...implied, data, width: kind === "mse" ? implied.sigma : Math.sqrt(implied.beta) / 2 };
  }

  function written({ error, kl, no_half: noHalf, error_weight: a, kl_weight: b }) {
    const times = (weight, code) => (weight === 1 ? code : `${Number(weight.toPrecision(4))} * ${code}`);
    return `${times(a, ERRORS[error].code)} + ${times(b, KLS[kl].code.replace("kl", noHalf ? "(2 * kl)" : "kl"))}`;
  }

  function build(ui) {
    const { state } = ui;
    const panels = ui.box("panels");
    const [left, right] = [ui.box("panel stack", panels), ui.box("panel", panels)];
    const wordsOf = (table) => Object.fromEntries(Object.entries(table).map(([key, { words }]) => [key, words]));
    ui.select(left, "error", { label: "Your reconstruction term", words: wordsOf(ERRORS) });
    ui.select(left, "kl", { label: "Your KL term", words: wordsOf(KLS) });
    const weights = ui.box("row", left);
    ui.number(weights, "error_weight", { label: "error ×" });
    ui.number(weights, "kl_weight", { label: "KL ×" });
    const sizes = ui.box("row sizes", left);
    for (const [key, label] of [["D", "D"], ["d", "latents d"], ["B", "batch B"]]) ui.number(sizes, key, { label, step: 1 });
    ui.check(left, "no_half", { label: "my KL is written without its ½" });
    ui.select(left, "data", { label: "Your data", words: DATA });
    const top = ui.number(left, "top", { label: "their √λmax" });

    const code = right.appendChild(el("p", { class: "code-line" }));
    const margin = { left: 6, right: 6, top: 6, bottom: 6 };
    const plane = ui.plane(right, { label: "the tube", x: [-1, 1], y: [-1, 1], ratio: 1.3, margin });
    ui.sentence();
    const caveat = ui.root.appendChild(el("p", { class: "aside" }));
    const instead = el("pre", { tabindex: 0, role: "group", "aria-label": "the lines to write instead" });
    ui.root.append(el("p", { class: "title" }, "Write instead"), instead);
    const row = ui.box("row");
    const table = el("select", { "aria-label": "a loss of the chapter's tables", onchange: () => choose(table.value) });
    const numbered = Object.keys(TABLE).map((number) => el("option", { value: number }, `loss ${number}`));
    table.append(el("option", { value: "" }, "loss … of the tables"), ...numbered);
    row.append(table);
    ui.ending(row);

    function choose(number) {
      if (!number) return;
      const [error, kl, a, b, noHalf = false] = TABLE[number];
      ui.set({ error, kl, no_half: noHalf, error_weight: weightOf(a, state), kl_weight: weightOf(b, state) });
    }

    function drawTube({ width, kind, data }) {
      const { colors } = ui;
      const ratio = width / data.edge;
      const reach = Math.max(2.3, 1.25 * Math.min(ratio, 60) + 1.6);
      plane.begin();
      plane.x = [-reach * plane.inner.width / plane.inner.height, reach * plane.inner.width / plane.inner.height];
      plane.y = [-reach, reach];
      const [xs, ys] = [column(CURVE, 0), column(CURVE, 1)];
      plane.inside(() => {
        plane.tube(xs, ys, ratio, { color: colors.decoder });
        const radius = Math.max(1, Math.min(2.6, 10 / reach));
        plane.dots(column(CLOUD, 0), column(CLOUD, 1), { color: colors.data, radius });
        plane.line(xs, ys, { color: colors.decoder, width: reach > 8 ? 1 : 2 });
      });
      plane.axes();
      const name = kind === "mse" ? "σ" : "σ at a grey pixel";
      plane.write(14, 22, `tube: ${name} = ${short(width)}`, { color: colors["decoder-ink"], weight: 600, halo: true });
      const far = reach > 2.3 ? `your data, zoomed out ${short(reach / 2.3)} times` : "your data, as a toy cloud";
      plane.write(14, plane.height - 14, far, { color: colors["data-ink"], halo: true });
      const size = `${short(ratio)} times as wide as the data's top standard deviation`;
      plane.describe(`A cloud of data and a decoder's curve, with a tube ${size}`);
    }

    const link = (anchor, words) => el("a", { href: `../chapters/05_likelihood.html${anchor}` }, words);
    const edgeName = () => el("span", {}, "√λ", el("sub", {}, "max"));

    function tellGaussian({ sigma, data: { edge, limit } }) {
      const ratio = sigma / edge;
      const judge = (words, tone) => ui.say([
        `You train a Gaussian decoder with σ = ${short(sigma)}, which is ${short(ratio)} times `, edgeName(),
        " of these data. ",
        el("span", { class: tone }, words),
      ], tone);
      if (sigma > (limit ?? Infinity)) judge("No decoder beats a dead latent at this σ: expect collapse.", "wrong");
      else if (ratio > 1) judge("A dead latent is a stable state: expect collapse.", "wrong");
      else if (ratio > 0.7) judge("Only the strongest directions can pay for themselves: the latent nearly dies.", "");
      else if (ratio > 0.05) judge("The latent can live. Whether this σ fits your data is another matter: learn it.", "good");
      else judge("So thin a tube makes the KL hardly count: nearly an autoencoder, which may overfit.", "");
      const known = limit ? "no decoder beats a dead latent on these data." : "only the latent of skewed data can live on.";
      const above = limit > 1.01 * edge ? `and below σ* = ${short(limit)} a latent that lives may go on living.` : known;
      caveat.replaceChildren(`σ² = β = ${short(sigma * sigma)} beside half a squared error, by `,
        link("#equation-lik-implied-sigma", "the equation"), ", in units of your data: on pixels from 0 to 255, grey levels. ",
        "Above ", edgeName(), ` = ${short(edge)} ${above}`);
    }

    function tellBernoulli({ beta, data }) {
      const model = `You train a Bernoulli decoder with β = ${short(beta)}. `;
      const judge = (words, tone) => ui.say([model, el("span", { class: tone }, words)], tone);
      const deadFrom = `On these data a dead latent is stable for β above ${short(data.beta ?? 0)}: expect collapse.`;
      if (data.beta && beta > data.beta) judge(deadFrom, "wrong");
      else if (Math.abs(beta - 1) < 1e-6) judge("That is an ELBO, for pixels that are 0 or 1.", "good");
      else if (beta < 1) judge("The KL counts less than it should: the loss is no bound on log p(x).", "");
      else judge("The KL counts more than it should: the latent may say less than it could.", "");
      caveat.replaceChildren("A cross-entropy has no σ. Near its mean m a pixel costs what a squared error with ",
        "σ = √(β m (1 − m)) does, at most √β / 2. When the latent dies is decided by ",
        link("#bernoulli-collapse", "a test of its own"), ".");
    }

    function draw() {
      const now = found(state);
      code.textContent = `loss = ${written(state)}`;
      top.hidden = state.data !== "yours";
      instead.textContent = LINES[now.kind].join("\n");
      drawTube(now);
      if (now.kind === "mse") tellGaussian(now);
      else tellBernoulli(now);
      ui.root.dataset.sigma = now.sigma ?? "";
      ui.root.dataset.beta = now.beta;
    }

    /** Data bring their number of axes. */
    function changed(keys) {
      const dim = Formulas.SPREADS[state.data]?.dim;
      if (keys.includes("data") && !keys.includes("D") && dim) ui.set({ D: dim });
      if (!keys.includes("error")) table.value = "";
    }
    return { draw, changed };
  }

  const count = (value, max) => ({ value, min: 1, max, whole: true });
  const weight = { value: 1, min: 1e-9, max: 1e9 };
  Explorable.define("which-sigma", {
    caption: "Which σ did you assume? Choose what your code says. The picture is the model that it trains: a decoder’s curve "
      + "with its tube of width σ, over a cloud as wide as your data. It starts with a mean-squared error beside a KL, on 784 "
      + "pixels.",
    state: {
      error: { value: "mse-mean", options: Object.keys(ERRORS) },
      kl: { value: "batchmean", options: Object.keys(KLS) },
      error_weight: weight, kl_weight: weight, no_half: { value: false },
      D: count(784, 1e8), d: count(20, 1e6), B: count(128, 1e7),
      data: { value: "discs", options: Object.keys(DATA) },
      top: { value: 1, min: 1e-6, max: 1e6 },
    },
    build,
  });
})();
