/* Chapter 04: the same draws of epsilon under a moving q, and the two gradient estimators that they give. */
"use strict";
(() => {
  const F = Formulas;
  const MOST = 100; // draws
  const REACH = 2.2; // of the z axis, to both sides
  const CENTIMETRES = Math.log(100); // what log p(x|z) loses when x, one number, is told in centimetres
  const Z = Array.from({ length: 261 }, (_, i) => -REACH + (i * REACH) / 130);
  const STRIP = 52; // pixels above the plane, for the line of epsilon
  const signed = (value) => {
    const size = Math.abs(value).toFixed(2);
    return size === "0.00" ? size : `${value < 0 ? "−" : "+"}${size}`;
  };

  function chosen({ f, k, centimetres }) {
    if (f === "wave") return F.wave(k);
    return { value: (z) => F.bend.value(z) - (centimetres ? CENTIMETRES : 0), slope: F.bend.slope };
  }

  /** All that is shown, of one state. */
  function numbers(state) {
    const { mu, sigma, mu_0: mu0, L, seed, baseline } = state;
    const f = chosen(state);
    const { normal } = VaeEngine.random(seed);
    const eps = Array.from({ length: MOST }, normal);
    const exact = F.estimators(f, mu, sigma, baseline);
    const z = eps.map((e) => mu + sigma * e);
    const before = eps.map((e) => mu0 + sigma * e); // where the draws were made
    const logQ = (at, mean) => F.normalLogDensity(at, mean, sigma ** 2);
    const weight = before.map((at) => Math.exp(logQ(at, mu) - logQ(at, mu0)));
    const running = (draws) => draws.reduce((means, draw, i) => [...means, ((means[i - 1] ?? 0) * i + draw) / (i + 1)], []);
    const c = baseline ? exact.objective : 0;
    return {
      f, eps, exact, z, before, weight, L,
      pathwise: running(z.map(f.slope)),
      score: running(z.map((at, i) => ((f.value(at) - c) * eps[i]) / sigma)),
    };
  }

  function build(ui) {
    const { state, short } = ui;
    const panels = ui.box("panels");
    const heights = () => (state.f === "wave" ? [-2.1, 1.5] : [-15.5 - 5 * state.centimetres, 2 - 5 * state.centimetres]);
    const [score, pathwise] = [
      ["score", "Score: draws stay, weights change"], ["pathwise", "Pathwise: weights stay, draws slide"],
    ].map(([name, title]) => {
      const panel = ui.box("panel", panels);
      panel.append(ui.el("p", { class: "title" }, title));
      const plane = ui.plane(panel, {
        label: title, x: [-REACH, REACH], y: heights(), ratio: 1.22, margin: { top: STRIP, bottom: 26 },
      });
      plane.handle({
        label: `mean μ of q, ${name}`, hue: "encoder", step: [0.05, 0], at: () => [state.mu, plane.y[0]],
        words: () => `μ = ${short(state.mu)}`, move: (mu) => ui.set({ mu }),
      });
      return plane;
    });
    ui.root.append(ui.el("p", { class: "title" }, "Estimates of ∂J/∂μ after L draws, and one standard error"));
    const means = ui.plane(ui.root, {
      label: "Both estimates of the gradient after L draws", x: [1, MOST], logX: true, y: [-1, 1], ratio: 5.2,
      margin: { top: 4, left: 48, bottom: 36, right: 74 }, xLabel: "draws L",
    });
    ui.sentence();
    const sliders = ui.box("sliders");
    ui.range(sliders, "mu", { label: "μ" });
    ui.range(sliders, "sigma", { label: "σ of q", log: true });
    ui.range(sliders, "L", { label: "draws L" });
    const k = ui.range(sliders, "k", { label: "wave number k", steps: 70 }).parentElement;
    const row = ui.box("row");
    ui.choice(row, "f", { label: "ψ(z)", words: { bend: "log p(x|z)", wave: "a wave" } });
    const centimetres = ui.check(row, "centimetres", { label: "x in cm" });
    ui.check(row, "baseline", { label: "baseline" });
    ui.button(row, "redraw", () => ui.set({ seed: (state.seed % 9999) + 1, mu_0: state.mu }));
    ui.ending(row);

    function drawRoute(plane, now, slides, { colors } = ui) {
      const { f, eps, z, before, weight, L } = now;
      const [low, high] = heights();
      plane.y = [low, high];
      plane.begin();
      const { left, top, width } = plane.inner;
      const [shown, hue] = [[...eps.keys()].slice(0, L), slides ? "elbo" : "samples"];
      const take = (values) => shown.map((i) => values[i]);
      const bell = (mean) => Z.map((at) => low + 0.24 * (high - low) * Math.exp(-0.5 * ((at - mean) / state.sigma) ** 2));
      plane.inside(() => {
        plane.area(Z, Z.map(() => low), bell(state.mu), { color: colors.encoder, alpha: 0.35 });
        plane.line(Z, bell(state.mu_0), { color: colors.data, dash: [4, 3], width: 1.5 });
        plane.line(Z, Z.map(f.value), { color: colors.decoder, width: 2.5 });
        plane.dots(take(before), take(before).map(f.value), { color: colors.data, radius: 4, ring: 1.2 });
        const at = take(slides ? z : before);
        if (slides) at.forEach((place) => tangent(plane, place, f, colors.elbo));
        const radius = slides ? 4 : take(weight).map((w) => Math.min(14, 4 * Math.sqrt(w)));
        plane.dots(at, at.map(f.value), { color: colors[hue], radius, alpha: 0.6 });
      });
      plane.axes({ x: [-2, 0, 2], y: state.f === "wave" ? [-1, 0, 1] : [-15, -10, -5, 0] });
      // The line of epsilon above, and its threads: to where q puts each draw now, or put it when it was made.
      plane.mark([[left, 16], [left + width, 16]], { color: colors.guide, width: 1 });
      plane.write(left - 6, 16, "ε", { align: "right", base: "middle", color: colors.muted });
      plane.write(left - 6, top, "z", { align: "right", base: "middle", color: colors.muted });
      for (const i of shown) {
        const [from, to] = [plane.px(0.65 * eps[i]), plane.px(slides ? z[i] : before[i])];
        plane.mark([[from, 13], [from, 19]], { color: colors[hue], width: 1.5 });
        plane.mark([[from, 16], [to, top]], { color: colors[hue], width: 1, alpha: 0.45 });
      }
      plane.end();
    }

    /** A short piece of the tangent: the slope that a draw carries. */
    function tangent(plane, z, { value, slope }, color) {
      const [across, up] = [plane.px(z + 1) - plane.px(z), plane.py(value(z) + slope(z)) - plane.py(value(z))];
      const scale = 13 / Math.hypot(across, up);
      const [x, y] = [plane.px(z), plane.py(value(z))];
      plane.mark([[x - scale * across, y - scale * up], [x + scale * across, y + scale * up]], { color, width: 1.5 });
    }

    function drawMeans({ exact, pathwise, score, L }, { colors } = ui) {
      const counts = pathwise.map((_, i) => i + 1);
      const reach = 1.3 * Math.max(exact.pathwise, exact.score) / Math.sqrt(3);
      means.y = [exact.gradient - reach, exact.gradient + reach];
      means.begin();
      means.inside(() => {
        for (const [name, hue] of [["score", "samples"], ["pathwise", "elbo"]]) {
          const side = (sign) => counts.map((n) => exact.gradient + (sign * exact[name]) / Math.sqrt(n));
          means.area(counts, side(-1), side(1), { color: colors[hue], alpha: 0.18 });
        }
        means.rule({ y: exact.gradient }, { color: colors.text, width: 1.5, dash: [2, 3] });
        means.rule({ x: L }, { color: colors.guide, width: 2 });
        means.line(counts, score, { color: colors.samples, dash: [7, 4] });
        means.line(counts, pathwise, { color: colors.elbo });
      });
      const zero = Math.abs(exact.gradient) > 0.3 * reach ? [0] : [];
      means.axes({ x: [1, 3, 10, 30, 100], y: [...zero, [exact.gradient, signed(exact.gradient)]] });
      const names = [["score", score, "samples"], ["pathwise", pathwise, "elbo"]];
      const places = names.map(([, values]) => Math.min(means.height - 42, Math.max(12, means.py(values[MOST - 1]))));
      if (Math.abs(places[0] - places[1]) < 16) places[0] += places[0] < places[1] ? -16 : 16;
      names.forEach(([name, , hue], i) => {
        means.write(means.px(MOST) + 5, places[i], name, { base: "middle", color: colors[`${hue}-ink`], weight: 600 });
      });
      means.end();
    }

    function tell({ exact, pathwise, score, L }) {
      const size = (value, sd) => `${signed(value[L - 1])} ± ${(sd / Math.sqrt(L)).toFixed(2)}`;
      const draws = L === 1 ? "One draw says" : `${L} draws say`;
      const [path, values] = [size(pathwise, exact.pathwise), size(score, exact.score)];
      const facts = `The exact gradient is ${signed(exact.gradient)}. ${draws} ${path} by the path, ${values} by the score. `;
      const ratio = exact.score / exact.pathwise;
      const better = `The trick is ${short(ratio)} times less noisy: worth ${short(ratio ** 2)} times as many draws.`;
      const worse = `The order has turned: here the score is ${short(1 / ratio)} times less noisy than the path.`;
      ui.say([facts, ui.el("b", {}, ratio >= 1 ? better : worse)], ratio >= 1 ? "good" : "");
    }

    function draw() {
      const now = numbers(state);
      k.hidden = state.f !== "wave";
      centimetres.hidden = state.f === "wave";
      drawRoute(score, now, false);
      drawRoute(pathwise, now, true);
      drawMeans(now);
      tell(now);
      Object.assign(ui.root.dataset, { gradient: now.exact.gradient, pathwise: now.exact.pathwise, score: now.exact.score });
    }
    return { draw };
  }

  Explorable.define("trick", {
    caption: "The same draws of ε, twice, under a q that has moved (dashed: where it was when they were made). Drag its mean. "
      + "Score: the draws stay, and grow or shrink by how likely they have become. Pathwise: they slide along ψ, each with "
      + "its slope. Last, what both say about the gradient. Then try the wave.",
    state: {
      mu: { value: -0.2, min: -2, max: 2 },
      mu_0: { value: -0.6, min: -2, max: 2 }, // where the draws were made
      sigma: { value: 0.45, min: 0.1, max: 1.2 },
      L: { value: 30, min: 1, max: MOST, whole: true },
      k: { value: 4, min: 1, max: 8 },
      seed: { value: 1, min: 1, max: 9999, whole: true },
      f: { value: "bend", options: ["bend", "wave"] },
      centimetres: { value: false },
      baseline: { value: false },
    },
    build,
  });
})();
