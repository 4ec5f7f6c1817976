/* The playground's pictures: the plane of the data, the latent axis, the bars of nats and their history. */
"use strict";
globalThis.PlaygroundPicture = (() => {
  const fixed = (value, digits) => PlaygroundWords.fixed(value, digits); // loaded later
  const SEEN = 3.5; // of the latent axis, to both sides
  const axis = (points, which) => Array.from({ length: points.length / 2 }, (_, i) => points[2 * i + which]);
  const density = (z, mu, std) => Math.exp(-0.5 * ((z - mu) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));

  /** The grid's curve between two nodes, with no more corners than a screen shows. */
  function stretch({ means }, from, to) {
    const stride = Math.max(1, Math.floor((to - from) / 700));
    const [xs, ys] = [[], []];
    for (let i = from; i <= to; i += stride) { xs.push(means[2 * i]); ys.push(means[2 * i + 1]); }
    return [xs, ys];
  }

  /** The stretches of the curve whose nodes pass a test. */
  function stretches(grid, admits) {
    const found = [];
    let from = -1;
    for (let i = 0; i <= grid.z.length; i++) {
      const inside = i < grid.z.length && admits(i);
      if (inside && from < 0) from = i;
      if (!inside && from >= 0) { found.push(stretch(grid, from, i - 1)); from = -1; }
    }
    return found;
  }

  /** 200 points of the model, from the same noise at each drawing. */
  function samples({ theta, sigma, settings: { width } }) {
    const { normal } = VaeEngine.random(7);
    const z = Float64Array.from({ length: 200 }, normal);
    return VaeEngine.decode(theta, width, z).map((value) => value + sigma * normal());
  }

  function drawPlane(ui, plane, training, touched, shown) {
    const { colors, state } = ui;
    plane.begin();
    plane.inside(() => {
      let curve = null;
      if (touched) {
        const { grid } = touched;
        const edge = Math.ceil(((grid.limit - SEEN) / (2 * grid.limit)) * (grid.z.length - 1));
        curve = stretch(grid, edge, grid.z.length - 1 - edge);
        plane.tube(...curve, training.sigma, { color: colors.decoder, alpha: 0.2 });
      }
      plane.dots(axis(training.x, 0), axis(training.x, 1), { color: colors.data, radius: 2.4, alpha: 0.85 });
      if (shown) {
        const points = samples(training);
        plane.dots(axis(points, 0), axis(points, 1), { color: colors.samples, radius: 2.4, ring: 1.2 });
      }
      if (training.curve) plane.line(axis(training.curve, 0), axis(training.curve, 1), { color: colors.curve, width: 1.2, dash: [5, 4] });
      if (!curve) return;
      const { grid, exact: { density: exact }, mu, std } = touched;
      plane.line(...curve, { color: colors.decoder, width: 2.4 });
      const high = Math.exp(-2) * exact.reduce((a, b) => Math.max(a, b)); // two standard deviations, were it normal
      for (const part of stretches(grid, (i) => exact[i] > high)) plane.line(...part, { color: colors.posterior, width: 8, alpha: 0.75 });
      for (const part of stretches(grid, (i) => Math.abs(grid.z[i] - mu) < 2 * std)) plane.line(...part, { color: colors.encoder, width: 3.5 });
      const at = Math.round(((mu + grid.limit) / (2 * grid.limit)) * (grid.z.length - 1));
      if (at < 0 || at >= grid.z.length) return;
      const [m0, m1] = [grid.means[2 * at], grid.means[2 * at + 1]];
      plane.line([state.x, m0], [state.y, m1], { color: colors["encoder-ink"], width: 1.2 });
      plane.dots([m0], [m1], { color: colors["encoder-ink"], radius: 4.5 });
    });
    plane.axes();
    const words = { size: 12, halo: true };
    plane.write(8, plane.height - 10, "decoder and its tube ±σ", { ...words, color: colors["decoder-ink"], weight: 600 });
    if (training.curve) plane.write(plane.width - 8, plane.height - 10, "dashed: truth", { ...words, align: "right" });
    plane.end();
  }

  function drawLatent(ui, plane, training, touched) {
    const { colors } = ui;
    const zs = Array.from({ length: 211 }, (_, i) => -SEEN + (i * SEEN) / 105);
    const flat = zs.map(() => 0);
    const numbers = training.numbers;
    const prior = zs.map((z) => density(z, 0, 1));
    const mixed = ({ mu, std }) => zs.map((z) => mu.reduce((sum, at, n) => sum + density(z, at, Math.max(0.02, std[n])), 0) / mu.length);
    const aggregate = numbers && (numbers.aggregate ??= mixed(numbers)); // once for each measurement
    let [exact, q] = [flat, flat];
    if (touched) {
      const { grid, mu, std } = touched;
      const each = 2 * SEEN / (zs.length - 1) / 2; // a density thinner than a pixel shows its top
      q = zs.map((z) => density(mu + Math.max(0, Math.abs(z - mu) - each), mu, std));
      const tops = new Float64Array(zs.length);
      for (let i = 0; i < grid.z.length; i++) {
        const bin = Math.round(((grid.z[i] + SEEN) / (2 * SEEN)) * (zs.length - 1));
        if (bin >= 0 && bin < tops.length) tops[bin] = Math.max(tops[bin], touched.exact.density[i]);
      }
      exact = Array.from(tops);
    }
    plane.y = [0, 1.1 * Math.max(0.6, ...exact, ...q)];
    plane.begin();
    plane.inside(() => {
      if (aggregate) plane.area(zs, flat, aggregate, { color: colors.encoder, alpha: 0.22 });
      plane.line(zs, prior, { color: colors["prior-ink"], dash: [2, 4], width: 1.6 });
      plane.area(zs, flat, exact, { color: colors.posterior, alpha: 0.3 });
      plane.line(zs, exact, { color: colors.posterior });
      plane.line(zs, q, { color: colors.encoder, width: 2.5, dash: [7, 3] });
    });
    plane.axes({ x: [[-3, "z = −3"], 0, 3] });
    const words = { size: 12, weight: 600 };
    let at = plane.margin.left;
    for (const [word, hue] of [["q(z|x)", "encoder"], ["exact p(z|x)", "posterior"], ["prior", "prior"], ["all q", "encoder"]]) {
      plane.write(at, 12, word, { ...words, color: colors[`${hue}-ink`], weight: word === "all q" ? 400 : 600 });
      at += plane.pen.measureText(word).width + 12;
    }
    plane.end();
    if (touched) {
      const { mu, std, exact: { mean, std: width, logEvidence } } = touched;
      plane.describe(`The latent axis. For the touched point q is N(${fixed(mu)}, ${fixed(std)} squared); its exact posterior has mean ${fixed(mean)} and `
        + `standard deviation ${fixed(width)}; log p(x) is ${fixed(logEvidence)} nats.`);
    }
  }

  /** The ends of an axis of nats around these values, in halves, so that it rests while they move. */
  function range(values) {
    const finite = values.filter(Number.isFinite);
    if (!finite.length) return [-4, 0];
    const low = Math.max(-12, Math.floor(2 * Math.min(...finite) - 0.4) / 2);
    return [low, Math.max(low + 1, Math.ceil(2 * Math.max(...finite) + 0.4) / 2)];
  }

  function drawBars(ui, plane, training) {
    const { colors } = ui;
    const { numbers: now, settings: { loss } } = training;
    plane.begin();
    if (now) {
      const broken = loss === "g" || loss === "std";
      const shown = [now.train, now.elbo - 0.3, ...(ui.small ? [] : [now.fresh ?? now.train, now.reconstruction]), ...(broken ? [now.claimed] : [])];
      const [low] = plane.x = range(shown);
      const named = [
        ...(ui.small || now.fresh === null ? [] : [["fresh log p", now.fresh, "posterior"]]),
        ["log p(x)", now.train, "posterior"],
        ["ELBO, gap", now.elbo, "elbo"],
        ...(ui.small ? [] : [["rec. − KL", now.elbo, "elbo"]]),
        ...(broken ? [["its “ELBO”", now.claimed, now.claimed > now.train ? "wrong" : "data"]] : []),
      ];
      const row = plane.inner.height / named.length;
      const bar = (from, to, place, style) => {
        const [x0, x1] = [from, to].map((value) => plane.px(Math.max(low, value)));
        const [y0, y1] = [place + 0.16 * row, place + 0.84 * row];
        plane.mark([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], style);
      };
      named.forEach(([name, value, hue], i) => {
        const place = plane.margin.top + i * row;
        const [middle, words] = [place + 0.5 * row, { base: "middle", size: 11.5, weight: 600, color: colors[`${hue}-ink`] }];
        const inner = { ...words, align: "center", color: colors.text, size: 11 };
        bar(low, value, place, { fill: colors[hue], alpha: name === "fresh log p" ? 0.45 : 0.85 });
        if (name === "fresh log p") bar(low, value, place, { color: colors.posterior, width: 1.5 });
        const beside = (from, to, text) => {
          const [x0, x1] = [plane.px(Math.max(low, from)), plane.px(Math.max(low, to))];
          if (x1 - x0 > plane.pen.measureText(text).width + 4) plane.write((x0 + x1) / 2, middle, text, inner);
        };
        if (name === "ELBO, gap") {
          bar(value, now.train, place, { fill: colors.posterior, alpha: 0.25 });
          beside(value, now.train, "gap");
        }
        if (name === "rec. − KL") {
          bar(value, now.reconstruction, place, { fill: colors.kl, alpha: 0.55 });
          beside(value, now.reconstruction, `KL ${fixed(now.kl)}`);
        }
        plane.write(plane.margin.left - 6, middle, name, { ...words, align: "right" });
        const told = { "ELBO, gap": `${fixed(value)}, ${fixed(now.train - value)}`, "rec. − KL": `${fixed(now.reconstruction)} − ${fixed(now.kl)}` }[name] ?? fixed(value);
        plane.write(plane.width - 2, middle, told, { ...words, align: "right" });
      });
      plane.mark([[plane.px(now.train), plane.margin.top], [plane.px(now.train), plane.margin.top + plane.inner.height]], { color: colors.posterior, width: 2 });
      plane.axes({ x: plane.x });
      plane.describe(`Nats a point. Exact log evidence: ${fixed(now.train, 3)} for training points`
        + `${now.fresh === null ? "" : `, ${fixed(now.fresh, 3)} for fresh points`}. ELBO ${fixed(now.elbo, 3)}, gap ${fixed(now.train - now.elbo, 3)}; `
        + `reconstruction ${fixed(now.reconstruction, 3)}, KL ${fixed(now.kl, 3)}.`);
    }
    plane.end();
  }

  function drawHistory(ui, plane, training) {
    const { colors } = ui;
    const { history, numbers } = training;
    plane.begin();
    if (history.length > 1) {
      plane.y = range(history.slice(-60).flatMap((record) => [record.train, record.fresh ?? record.train, record.elbo]));
      plane.x = [history[0].steps, history.at(-1).steps];
      const steps = history.map((record) => record.steps);
      const trace = (name, style) => plane.line(steps, history.map((record) => Math.max(plane.y[0] - 1, record[name])), style);
      plane.inside(() => {
        if (numbers.fresh !== null) trace("fresh", { color: colors.posterior, width: 1.6, dash: [5, 3] });
        trace("train", { color: colors.posterior });
        trace("elbo", { color: colors.elbo });
        if (training.settings.loss === "g" || training.settings.loss === "std") trace("claimed", { color: colors.wrong });
      });
      const [low, high] = plane.y;
      plane.axes({ y: [low, high] });
      plane.write(plane.width - plane.margin.right, plane.height - 3, `step ${numbers.steps}`, { align: "right", size: 12, color: colors.muted });
    }
    let at = plane.margin.left;
    for (const [word, hue] of [["log p", "posterior"], ["(dashed: fresh)", "posterior"], ["ELBO", "elbo"]]) {
      plane.write(at, 12, word, { size: 12, weight: 600, color: colors[`${hue}-ink`] });
      at += plane.pen.measureText(word).width + 8;
    }
    plane.end();
  }

  return { drawPlane, drawLatent, drawBars, drawHistory };
})();
