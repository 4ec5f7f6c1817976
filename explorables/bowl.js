/* Chapter 08: the loss around the collapsed state as a surface, a bowl above sigma_c and a saddle below, and a ball on it. */
"use strict";
(() => {
  const { el } = Explorable;
  const { change, gradient, kl, growth, rest } = CollapseLoss;
  const [ALONG, ACROSS] = [1.3, 0.42]; // how far the surface reaches, along the push and across it
  const [COLUMNS, ROWS] = [52, 14];
  const TALL = 2.4; // of a nat, beside a unit along the push
  const [COS, SIN] = [Math.cos(0.42), Math.sin(0.42)]; // the turn of the view
  const TILT = 0.5;
  const CAPTION = "The loss around collapse, for a linear VAE with one latent. Decoder and encoder tilt together along the "
    + "valley (the push), and against each other across it. Move σ past √λmax, then push the ball.";
  const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
  const slopes = (u, v) => [(u + v) * Math.SQRT1_2, (u - v) * Math.SQRT1_2];
  const steps = (count, reach) => Array.from({ length: count + 1 }, (_, i) => -reach + (2 * reach * i) / count);

  /** From along, across and height to the picture, and back at a given height. */
  const project = (u, v, height) => [u * COS + v * SIN, TILT * (v * COS - u * SIN) + TALL * height * 0.6];
  function unproject(x, y, height) {
    const w = (y - TALL * height * 0.6) / TILT;
    return [x * COS - w * SIN, x * SIN + w * COS];
  }

  /** Where a ball rolls from (a, d), step by step, along minus the gradient. */
  function descend(r, [a, d], time, step = 0.02) {
    for (let t = 0; t < time; t += step) {
      const [da, dd] = gradient(r, a, d);
      [a, d] = [a - step * da, d - step * dd];
    }
    return [a, d];
  }

  function build(ui) {
    const { state, colors } = ui;
    const at = () => [state.decoder, state.encoder];
    const place = ([decoder, encoder]) => ui.set({ decoder, encoder });
    const panels = ui.box("panels");
    const [left, right] = [ui.box("panel", panels), ui.box("panel", panels)];
    const bare = { left: 1, right: 1, top: 1, bottom: 1 };
    const view = ui.plane(left, {
      label: "The loss around collapse, as a surface", x: [-1.45, 1.45], y: [-0.7, 1.38], ratio: 2.9 / 2.08, margin: bare,
    });
    view.handle({
      label: "the ball: slopes of decoder and encoder", hue: "decoder", step: [0.05, 0.05], anywhere: false,
      at: () => {
        const [a, d] = at();
        return project((a + d) * Math.SQRT1_2, (a - d) * Math.SQRT1_2, change(state.ratio, a, d));
      },
      words: () => `decoder ${ui.short(state.decoder)}, encoder ${ui.short(state.encoder)}`,
      move: (x, y) => {
        ui.stop();
        const [u, v] = unproject(x, y, change(state.ratio, ...at()));
        place(slopes(Math.max(-ALONG, Math.min(ALONG, u)), Math.max(-ACROSS, Math.min(ACROSS, v))));
      },
    });
    const margin = { left: 44, right: 8, top: 18, bottom: 34 };
    const profile = ui.plane(right, {
      label: "The loss along the push",
      x: [-ALONG, ALONG], y: [-0.2, 0.3], ratio: 1.4, margin, xLabel: "push of both together",
    });
    const living = ui.plane(right, {
      label: "The KL where the ball comes to rest",
      x: [0.7, 1.3], y: [-0.03, 0.4], ratio: 1.35, margin: { ...margin, top: 30 }, xLabel: "σ / √λmax",
    });
    ui.range(left, "ratio", {
      label: "σ / √λmax", steps: 120, format: (value) => value.toFixed(3),
      ticks: () => [{ at: 0.8, label: "saddle" }, { at: 1, label: "√λmax" }, { at: 1.2, label: "bowl" }],
    });
    const actions = ui.box("row", left);
    ui.button(actions, "Push it from collapse", () => {
      place([0.04, 0.03]);
      roll();
    });
    ui.button(actions, "Let it roll", roll);
    ui.sentence(left);
    ui.spoken.style.minHeight = "8.2em"; // of its longest text: what stands below does not move
    ui.ending(ui.box("row"));

    function roll() {
      if (ui.still) return place(descend(state.ratio, at(), 400));
      ui.run((passed) => {
        place(descend(state.ratio, at(), (4 * passed) / 1000));
        return Math.hypot(...gradient(state.ratio, ...at())) > 2e-4;
      });
    }

    function drawView(r) {
      const [us, vs] = [steps(COLUMNS, ALONG), steps(ROWS, ACROSS)];
      const height = vs.map((v) => us.map((u) => change(r, ...slopes(u, v))));
      const corner = vs.map((v, j) => us.map((u, i) => project(u, v, height[j][i])));
      const tiles = [];
      for (let j = 0; j < ROWS; j++) {
        for (let i = 0; i < COLUMNS; i++) {
          const fall = (height[j][i + 1] - height[j][i]) / (us[1] - us[0]);
          const lit = (0.6 - 1.4 * fall) / Math.hypot(1, 1.6 * fall); // from the left
          const corners = [corner[j][i], corner[j][i + 1], corner[j + 1][i + 1], corner[j + 1][i]];
          tiles.push({ far: vs[j] * COS - us[i] * SIN, lit, corners });
        }
      }
      tiles.sort((a, b) => b.far - a.far);
      view.begin();
      for (const { corners, lit } of tiles) {
        const places = corners.map(([x, y]) => [view.px(x), view.py(y)]);
        view.mark(places, { fill: colors.page });
        view.mark(places, { fill: colors.elbo, alpha: Math.min(0.95, Math.max(0.2, 0.35 + 0.5 * lit)) });
      }
      function on(u, v) {
        const [x, y] = project(u, v, change(r, ...slopes(u, v)));
        return [view.px(x), view.py(y)];
      }
      view.mark(us.map((u) => on(u, 0)), { color: colors.page, width: 1.5 });
      // The way that the ball will take.
      const way = [at()];
      while (way.length < 400 && Math.hypot(...gradient(r, ...way.at(-1))) > 1e-3) way.push(descend(r, way.at(-1), 0.25));
      view.mark(way.map(([a, d]) => on((a + d) * Math.SQRT1_2, (a - d) * Math.SQRT1_2)), { color: colors.text, width: 2.5 });
      const words = { halo: true, size: 12, align: "center" };
      const [x, y] = on(0, 0);
      view.mark([[x - 5, y], [x + 5, y]], { color: colors.text });
      view.mark([[x, y - 5], [x, y + 5]], { color: colors.text });
      view.write(x, y + 22, "collapsed", words);
      const s = rest(r) * Math.SQRT2;
      for (const u of s > 0.05 ? [-s, s] : []) {
        const [rx, ry] = on(u, 0);
        view.pen.beginPath();
        view.pen.arc(rx, ry, 6, 0, 2 * Math.PI);
        Object.assign(view.pen, { strokeStyle: colors.text, lineWidth: 2 });
        view.pen.stroke();
        if (s > 0.4) view.write(rx, ry + 22, "alive", words);
      }
      view.write(4, 14, "loss, less that of collapse", { size: 12, weight: 600, color: colors["elbo-ink"] });
      view.end();
    }

    function drawProfile(r) {
      const us = steps(120, ALONG);
      const along = us.map((u) => change(r, ...slopes(u, 0)));
      const bending = us.map((u) => 0.25 * (1 - 1 / (r * r)) * u * u); // the Hessian along this line
      profile.begin();
      profile.inside(() => {
        profile.rule({ y: 0 }, { color: colors.guide, width: 1 });
        profile.line(us, bending, { color: colors.muted, width: 1.5, dash: [4, 3] });
        profile.line(us, along, { color: colors.elbo, width: 2.5 });
        const [a, d] = at();
        profile.dots([(a + d) * Math.SQRT1_2], [change(r, a, d)], { color: colors.decoder, radius: 6 });
      });
      profile.axes({ x: [-1, 0, 1], y: [[-0.1, "−0.1"], 0, 0.2] });
      profile.write(44, 12, "loss, nats", { size: 12, weight: 600, color: colors["elbo-ink"] });
      profile.write(profile.width - 8, 12, "dashed: second order", { size: 12, align: "right", color: colors.muted });
      profile.end();
    }

    function drawLiving(r) {
      const rs = Array.from({ length: 121 }, (_, i) => 0.7 + i / 200);
      const atRest = (ratio) => kl(ratio, rest(ratio), rest(ratio));
      living.begin();
      living.inside(() => {
        living.rule({ x: 1 }, { color: colors.muted, width: 1, dash: [3, 3] });
        living.line(rs, rs.map(atRest), { color: colors.kl, width: 2.5 });
        living.dots([r], [atRest(r)], { color: colors.kl, radius: 6 });
      });
      living.axes({ x: [0.8, 0.9, 1, 1.1, 1.2], y: [0, 0.2] });
      living.write(44, 24, `KL at rest: ${fixed(atRest(r))} nats`, { size: 12, weight: 600, color: colors["kl-ink"] });
      living.end();
    }

    function tell(r) {
      const rate = growth(r);
      const here = `σ is ${r.toFixed(3)} √λmax. `;
      if (Math.abs(r - 1) < 0.0025) {
        return ui.say([here, el("strong", {}, "Flat. "), "To second order a push along the valley neither costs nor gains; "
          + "only the fourth order still holds the ball."]);
      }
      const time = `A push ${rate > 0 ? "grows" : "shrinks"} e-fold in a time of ${fixed(1 / Math.abs(rate), 1)}`;
      if (r > 1) {
        const back = "Every push costs, so the ball rolls back to collapse: each posterior is the prior. ";
        return ui.say([here, el("strong", { class: "wrong" }, "A bowl. "), back, `${time}.`], "wrong");
      }
      const s = rest(r);
      ui.say([here, el("strong", { class: "good" }, "A saddle. "), "Tilt both together and the loss falls: the ball comes to "
        + `rest alive, ${fixed(-change(r, s, s), 3)} nats lower. ${time}${r > 0.93 ? ": slow, near √λmax" : ""}.`], "good");
    }

    function draw() {
      const r = state.ratio;
      drawView(r);
      drawProfile(r);
      drawLiving(r);
      tell(r);
    }
    return { draw };
  }

  Explorable.define("bowl", {
    caption: CAPTION,
    state: {
      ratio: { value: 0.8, min: 0.7, max: 1.3 },
      decoder: { value: 0.1, min: -1.3, max: 1.3 },
      encoder: { value: 0.02, min: -1.3, max: 1.3 },
    },
    build,
  });
})();
