/* Chapter 03: the KL as a landscape over (mu, log variance), its integrand, and what the misread formula does to the bound. */
"use strict";
(() => {
  const F = Formulas;
  const MODEL = F.linearModel({ w: 2, noiseVar: 0.25, x: 2.5 }); // the chapter's
  const LEVELS = [6, 5, 4, 3, 2, 1.5, 1, 0.5, 0.25, 0.05]; // of the contours, nats
  const LOG_VARS = [-4.8, 1.8];
  const Z = Array.from({ length: 513 }, (_, i) => -3.2 + i / 80);
  const fixed = (value) => value.toFixed(2).replace("-", "−");
  const LOWEST = -6; // of the bars, nats
  const FORMULAS = {
    f: { value: F.kl, gradient: F.klGradient },
    g: { value: F.klMisread, gradient: F.klMisreadGradient },
  };

  /** All that is shown, of one state. */
  function numbers({ mu, log_var: logVar, formula }) {
    const reconstruction = MODEL.reconstruction(mu, logVar);
    const [f, g] = [F.kl(mu, logVar), F.klMisread(mu, logVar)];
    const variance = Math.exp(logVar);
    const q = Z.map((z) => Math.exp(F.normalLogDensity(z, mu, variance)));
    const p = Z.map((z) => Math.exp(F.normalLogDensity(z, 0, 1)));
    const integrand = Z.map((z, i) => q[i] * (F.normalLogDensity(z, mu, variance) - F.normalLogDensity(z, 0, 1)));
    // Both areas over all of the line: the gain by sums over nodes that follow q, the loss as what is left of the KL.
    let gain = 0;
    for (let e = -8; e <= 8; e += 0.01) {
      const z = mu + e * Math.sqrt(variance);
      const log = F.normalLogDensity(z, mu, variance) - F.normalLogDensity(z, 0, 1);
      if (log > 0) gain += 0.01 * Math.exp(F.normalLogDensity(e, 0, 1)) * log;
    }
    return {
      f, g, q, p, integrand, gain, loss: gain - f, std: Math.sqrt(variance),
      evidence: MODEL.logEvidence, elbo: { f: reconstruction - f, g: reconstruction - g },
      gradient: FORMULAS[formula].gradient(mu, logVar),
    };
  }

  function build(ui) {
    const { state, short } = ui;
    const panels = ui.box("panels");
    const [left, right] = [ui.box("panel", panels), ui.box("panel", panels)];
    const land = ui.plane(left, {
      label: "Contours of the KL over the mean and the log variance of q", x: [-3, 3], y: LOG_VARS, ratio: 1.04,
      xLabel: "mean μ of q", yLabel: "log variance of q",
    });
    const margin = { left: 62, right: 10, bottom: 4, top: 18 };
    const shapes = ui.plane(right, { label: "Densities of q and of the prior", x: [-3.2, 3.2], y: [0, 1], ratio: 3.4, margin });
    const areas = ui.plane(right, {
      label: "The integrand q log(q / p)", x: [-3.2, 3.2], y: [0, 1], ratio: 2.8, margin: { ...margin, bottom: 22 },
    });
    const bars = ui.plane(right, {
      label: "The ELBO with f and with g, against the exact evidence", x: [LOWEST, 0], y: [0, 2], ratio: 3.1,
      margin: { ...margin, bottom: 38 }, xLabel: "nats, for x = 2.5 of a linear model",
    });

    land.handle({
      label: "q, by its mean and log variance", hue: "encoder", step: [0.1, 0.1],
      at: () => [state.mu, state.log_var],
      words: () => `mean ${short(state.mu)}, log variance ${short(state.log_var)}`,
      move: (mu, log_var) => { ui.stop(); ui.set({ mu, log_var }); },
    });

    /** Let q follow minus the gradient of the KL alone, or of minus the "ELBO", by the formula chosen. */
    function roll(withData) {
      const slope = (mu, logVar) => {
        const [a, b] = FORMULAS[state.formula].gradient(mu, logVar);
        const [c, d] = withData ? MODEL.reconstructionGradient(mu, logVar) : [0, 0];
        return [a - c, b - d];
      };
      const descend = (seconds) => {
        let { mu, log_var } = state;
        for (let t = 0; t < seconds; t += 0.002) {
          const [a, b] = slope(mu, log_var);
          mu -= 0.002 * a;
          log_var -= 0.002 * b;
        }
        ui.set({ mu, log_var });
        return Math.hypot(...slope(mu, log_var)) > 1e-3;
      };
      if (ui.still) descend(40);
      else ui.run((passed) => descend((withData ? 2 : 3) * passed / 1000));
    }
    const row = ui.box("row");
    ui.choice(row, "formula", { label: "Nats by", words: { f: "f", g: "g, fed the std" } });
    ui.button(row, "roll on the KL", () => roll(false));
    ui.button(row, "roll on the loss", () => roll(true));
    ui.ending(row);
    ui.sentence();

    /** The contours are closed forms: at each log variance, the mean that the level leaves room for. */
    function contours({ colors } = ui) {
      const { value } = FORMULAS[state.formula];
      const [low, high] = LOG_VARS;
      const logVars = Array.from({ length: 401 }, (_, i) => low + (high - low) * (i / 400));
      for (const level of LEVELS) {
        const on = logVars.filter((logVar) => value(0, logVar) <= level);
        const mus = on.map((logVar) => Math.sqrt(2 * (level - value(0, logVar))));
        const around = [[...mus, ...mus.map((mu) => -mu).reverse()], [...on, ...[...on].reverse()]];
        land.line(...around, { fill: colors.page });
        land.line(...around, { fill: colors.kl, alpha: 0.6 * Math.sqrt(level / LEVELS[0]), color: colors.page, width: 1 });
      }
      const words = { align: "center", base: "middle", size: 12, color: colors["kl-ink"], halo: true };
      for (const level of [0.5, 2, 4]) land.text(-Math.sqrt(2 * level), 0, short(level), words);
    }

    function drawLand({ gradient }, { colors } = ui) {
      land.begin();
      const half = (LOG_VARS[1] - LOG_VARS[0]) * (land.inner.width / land.inner.height) / 2;
      land.x = [-half, half]; // equal units, so that the steepest way crosses the contours at right angles
      land.inside(() => {
        land.area(land.x, [LOG_VARS[0], LOG_VARS[0]], [LOG_VARS[1], LOG_VARS[1]], { color: colors.kl, alpha: 0.75 });
        contours();
        const { mean, logVar } = MODEL.posterior;
        land.dots([0], [0], { color: colors["prior-ink"], radius: 4 });
        land.text(0, 0, "prior", { dx: 7, base: "middle", color: colors["prior-ink"], halo: true });
        land.dots([mean], [logVar], { color: colors["posterior-ink"], radius: 6, ring: 2 });
        land.text(mean, logVar, "posterior", { dx: 11, dy: -6, color: colors["posterior-ink"], halo: true });
        const [x, y] = [land.px(state.mu), land.py(state.log_var)];
        const [dx, dy] = [-gradient[0], gradient[1]].map((part) => 30 * part);
        const longest = Math.min(1, 80 / Math.hypot(dx, dy));
        land.arrow([x, y], [x + longest * dx, y + longest * dy], { color: colors.text });
      });
      land.axes({ x: [-2, 0, 2], y: [-4, -2, 0] });
      land.end();
    }

    function drawShapes({ q, p, integrand, gain, loss, f }, { colors } = ui) {
      const flat = Z.map(() => 0);
      shapes.y = [0, 1.15 * Math.max(0.8, ...q)];
      shapes.begin();
      shapes.inside(() => {
        shapes.area(Z, flat, q, { color: colors.encoder, alpha: 0.3 });
        shapes.line(Z, q, { color: colors.encoder });
        shapes.line(Z, p, { color: colors.prior, dash: [6, 4] });
      });
      shapes.axes();
      shapes.write(62, 13, "q(z)", { color: colors["encoder-ink"], weight: 600 });
      shapes.write(100, 13, "prior p(z), dashed", { color: colors["prior-ink"], weight: 600 });
      areas.y = [1.3 * Math.min(-0.3, ...integrand), 1.2 * Math.max(0.6, ...integrand)];
      areas.begin();
      areas.inside(() => {
        areas.area(Z, flat, integrand.map((v) => Math.max(0, v)), { color: colors.kl, alpha: 0.55 });
        areas.area(Z, flat, integrand.map((v) => Math.min(0, v)), { color: colors.muted, alpha: 0.55 });
        areas.line(Z, integrand, { color: colors.kl });
        areas.rule({ y: 0 }, { color: colors.guide, width: 1 });
      });
      areas.axes({ x: [-2, 0, 2] });
      areas.write(62, 13, "q log(q/p)", { color: colors["kl-ink"], weight: 600 });
      areas.write(areas.px(3.2), 13, `+${fixed(gain)} − ${fixed(loss)} = ${fixed(f)}`, { align: "right" });
    }

    function drawBars({ evidence, elbo }, { colors } = ui) {
      bars.begin();
      bars.axes({ x: [-6, -4, -2, 0] });
      [["f", 1.5, "elbo"], ["g", 0.5, elbo.g > evidence ? "wrong" : "data"]].forEach(([name, y, hue]) => {
        const value = Math.max(LOWEST, elbo[name]);
        bars.area([LOWEST, value], [y - 0.3, y - 0.3], [y + 0.3, y + 0.3], { color: colors[hue], alpha: 0.85 });
        const words = { align: "right", base: "middle", weight: 600, color: colors[`${hue}-ink`] };
        bars.write(56, bars.py(y), `with ${name}`, words);
        bars.write(bars.px(0) - 6, bars.py(y), fixed(elbo[name]), words);
      });
      bars.rule({ x: evidence }, { color: colors.posterior, width: 2.5 });
      const words = { align: "right", color: colors["posterior-ink"], weight: 600 };
      bars.write(bars.px(0), 13, `log p(x) = ${fixed(evidence)}`, words);
      bars.write(62, 13, "“ELBO”", { weight: 600 });
    }

    function tell({ f, g, std, evidence, elbo }) {
      const here = `q = N(${fixed(state.mu)}, ${fixed(std)}²)`;
      const [below, excess] = [fixed(evidence - elbo.f), elbo.g - evidence];
      const facts = f < 0.002
        ? `${here} is the prior: the KL is 0, and x is ignored. The ELBO is ${below} nats below log p(x)`
        : `${here}: the KL is ${fixed(f)} nats, but g counts ${fixed(g)}. The ELBO, with f, is ${below} below log p(x)`;
      const verdict = excess > 0 ? ui.el("span", { class: "wrong" }, `with g it is ${fixed(excess)} above: no bound.`)
        : `with g it seems ${fixed(-excess)} below.`;
      ui.say([facts, "; ", verdict], excess > 0 ? "wrong" : "");
    }

    function draw() {
      const now = numbers(state);
      drawLand(now);
      drawShapes(now);
      drawBars(now);
      tell(now);
    }
    return { draw };
  }

  Explorable.define("kl-landscape", {
    caption: "The KL is the difference of two areas, and its landscape leads down to the prior. Drag the amber point, or let "
      + "it roll. On the loss, with one x of a linear model, it comes to rest on the exact posterior, where the ELBO meets "
      + "log p(x). Choose g and let it roll again: it passes the posterior, and the “ELBO” passes log p(x).",
    state: {
      mu: { value: 1.176, min: -3.2, max: 3.2 },
      log_var: { value: -3.643, min: LOG_VARS[0], max: LOG_VARS[1] }, // where g, fed the std, puts its optimum
      formula: { value: "f", options: ["f", "g"] },
    },
    build,
  });
})();
