/* The three small curves of the sigma dial: evidence, KL, and what a nat buys, each with its present point. */
"use strict";
globalThis.SigmaCharts = (ui, parent, data, go) => {
  const { colors } = ui;
  const { ratios, sigma_data: noise, fresh, train, rate, distortion, ceiling } = data;
  const threshold = data.sigma_c / noise;
  const logDistortion = distortion.map(Math.log);
  const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
  const margin = { left: 40, right: 8, top: 18, bottom: 20 };
  const along = { x: [0.04, 12.5], logX: true, ratio: 2.45, margin };
  const nats = ui.plane(parent, { ...along, label: "Log evidence of fresh and training points by sigma", y: [-3.75, -2.1] });
  const kl = ui.plane(parent, { ...along, label: "KL against sigma", y: [-0.4, 9] });
  const trade = ui.plane(parent, {
    label: "Squared error against KL", x: [-0.2, 8.7], y: [Math.log(0.018), Math.log(6)], ratio: 2.45, margin,
  });

  for (const chart of [nats, kl]) {
    chart.canvas.addEventListener("click", (event) => {
      const far = (ratio) => Math.abs(Math.log(ratio / chart.at(event)[0]));
      go(ratios.indexOf(ratios.reduce((best, ratio) => (far(ratio) < far(best) ? ratio : best))));
    });
  }

  /** The curve of all sigmas, its present point, and a rule at it. */
  function trace(chart, xs, ys, hue, at) {
    const known = [xs.filter((_, i) => ys[i] !== null), ys.filter((value) => value !== null)];
    chart.line(...known, { color: colors[hue] });
    chart.dots(...known, { color: colors[hue], radius: 2.5 });
    if (ys[at] === null) return;
    chart.dots([xs[at]], [ys[at]], { color: colors.page, radius: 7 });
    chart.dots([xs[at]], [ys[at]], { color: colors[hue], radius: 5 });
  }

  const TICKS = [0.05, 0.2, 0.5, 1, 2, 5, 10];
  function title(chart, hue, text) {
    chart.write(chart.margin.left, 12, text, { size: 12, weight: 600, color: colors[`${hue}-ink`] });
  }

  function drawNats(at) {
    nats.begin();
    nats.inside(() => {
      nats.rule({ x: ratios[at] }, { color: colors.guide, width: 2 });
      nats.rule({ x: threshold }, { color: colors.muted, width: 1, dash: [3, 3] });
      nats.rule({ y: ceiling }, { color: colors.curve, width: 1 });
      const known = ratios.map((_, i) => i).filter((i) => train[i] !== null);
      nats.line(known.map((i) => ratios[i]), known.map((i) => train[i]), { color: colors.muted, width: 1.5, dash: [5, 3] });
      trace(nats, ratios, fresh, "posterior", at);
    });
    nats.axes({ x: TICKS, y: [-3.5, -3, -2.5] });
    title(nats, "posterior", `log p(x) of fresh points: ${fresh[at] === null ? "below −20" : fixed(fresh[at])} nats`);
    nats.text(0.045, ceiling, "ceiling: the process", { dy: 13, size: 12, halo: true });
    nats.text(0.47, -3.02, "dashed: training", { align: "right", size: 11, color: colors.muted });
    nats.end();
  }

  function drawKl(at) {
    kl.begin();
    kl.inside(() => {
      kl.rule({ x: ratios[at] }, { color: colors.guide, width: 2 });
      kl.rule({ x: threshold }, { color: colors.muted, width: 1, dash: [3, 3] });
      trace(kl, ratios, rate, "kl", at);
    });
    kl.axes({ x: TICKS, y: [0, 4, 8] });
    title(kl, "kl", `KL, what z tells: ${fixed(Math.abs(rate[at]))} nats`);
    kl.text(0.045, 0.6, "σ / true noise", { size: 12, color: colors.muted });
    kl.text(threshold, 6.8, "√λmax", { dx: -4, align: "right", size: 12, color: colors.muted });
    kl.end();
  }

  function drawTrade(at) {
    const slope = -2 * (ratios[at] * noise) ** 2;
    trade.begin();
    trade.inside(() => {
      trace(trade, rate, logDistortion, "elbo", at);
      const tangent = (nat) => distortion[at] + slope * nat; // straight, and bent by the log axis
      const beside = Array.from({ length: 61 }, (_, i) => -0.6 + i / 50).filter((nat) => tangent(nat) > 0.4 * distortion[at]);
      const style = { color: colors.decoder, width: 3.5 };
      trade.line(beside.map((nat) => rate[at] + nat), beside.map((nat) => Math.log(tangent(nat))), style);
    });
    trade.axes({ x: [0, 2, 4, 6, 8], y: [0.02, 0.1, 0.5, 2].map((v) => [Math.log(v), String(v)]) });
    title(trade, "elbo", "squared error Δ (log) against KL");
    trade.write(trade.width - trade.margin.right, 32, `slope −2σ² = ${fixed(slope, ratios[at] < 1 ? 4 : 2)}`, {
      size: 12, align: "right", color: colors["decoder-ink"], weight: 600,
    });
    trade.end();
  }

  function draw(at) {
    drawNats(at);
    drawKl(at);
    drawTrade(at);
  }
  return { draw };
};
