/* Chapter 07: the decoders of its sweep behind one dial. The chapter stored their weights, q, and the numbers of the curves. */
"use strict";
(() => {
  const { el } = Explorable;
  const DATA = VaeData.sigma_dial;
  const { ratios, sigma_data: NOISE, fresh, train, rate, distortion, ceiling } = DATA;
  const OPTIONS = ratios.map(String);
  const AT_THRESHOLD = DATA.sigma_c / NOISE;
  const BEST = Math.max(...fresh.filter((value) => value !== null));
  const GOOD = 0.05; // nats: the chapter's criterion for a good sigma
  const X = Networks.floats(DATA.x);
  const POINTS = X.length / 2;
  const axes = (flat) => [0, 1].map((axis) => Array.from({ length: flat.length / 2 }, (_, i) => flat[2 * i + axis]));
  const X_AXES = axes(X);
  const SPIRAL = axes(VaeEngine.curve(Array.from({ length: 200 }, (_, i) => 0.1 + (0.9 * i) / 199), 1.4));
  const Q = DATA.q.map((parts) => parts.map(Networks.floats));
  const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

  /** Decoder and curve of each sigma, made when first asked for. */
  const made = [];
  function model(at) {
    if (!made[at]) {
      const sigma = ratios[at] * NOISE;
      const decode = Networks.network(DATA.decoders[at], "decoder");
      const grid = Networks.grid(decode, sigma);
      const shown = axes(Array.from({ length: 1401 }, (_, i) => [...decode([-3.5 + i / 200])]).flat());
      made[at] = { sigma, decode, grid, shown };
    }
    return made[at];
  }

  /** 200 draws of the model, the same at each visit. */
  function samples({ decode, sigma }) {
    const { normal } = VaeEngine.random(7);
    return axes(Array.from({ length: 200 }, () => [...decode([normal()]).map((mean) => mean + sigma * normal())]).flat());
  }

  function verdict(at) {
    const ratio = ratios[at];
    if (ratio >= AT_THRESHOLD) return "dead";
    if (fresh[at] === null) return "darts";
    if (BEST - fresh[at] <= GOOD) return "right";
    return ratio < 1 ? "thin" : "wide";
  }

  const TELL = {
    darts: () => [["Far too thin. ", "wrong"], "The curve darts from point to point. Its training error is the smallest, "
      + `and fresh points get less than −20 nats. The best σ gives them ${fixed(BEST)}.`],
    thin: (at) => [["Too thin. ", "wrong"], "The curve follows the noise of its training points. "
      + `They get ${fixed(train[at])} nats; fresh ones get ${fixed(fresh[at])}, ${fixed(BEST - fresh[at])} below the best σ.`],
    right: (at) => [["Right. ", "good"], "The tube covers the cloud and follows its middle. "
      + `Fresh points get ${fixed(fresh[at])} nats; the process itself gives them ${fixed(ceiling)}.`],
    wide: (at) => [["Wide. ", ""], `One blob covers many points, so z has less to say: ${fixed(rate[at])} nats. `
      + `Fresh points get ${fixed(fresh[at])}, which is ${fixed(BEST - fresh[at])} below the best σ.`],
    dead: (at) => [["Dead. ", "wrong"], "One blob covers everything and z has nothing left to say: each posterior is the "
      + `prior, the KL is ${fixed(Math.abs(rate[at]))} nats. σ is past √λmax, ${fixed(AT_THRESHOLD)} times the noise here.`],
  };

  function build(ui) {
    const { state, colors } = ui;
    const index = () => OPTIONS.indexOf(state.ratio);
    const go = (at) => ui.set({ ratio: OPTIONS[Math.min(ratios.length - 1, Math.max(0, at))] });
    const panels = ui.box("panels");
    const [left, right] = [ui.box("panel", panels), ui.box("panel", panels)];

    const margin = { left: 2, right: 2, top: 2, bottom: 2 };
    const plane = ui.plane(left, {
      label: "Data, decoder curve and its tube", x: [-2.95, 2.75], y: [-2.35, 2.95], ratio: 5.7 / 5.3, margin,
    });
    const small = { left: 40, right: 8, top: 18, bottom: 20 };
    const latent = ui.plane(right, {
      label: "The latent axis", x: [-3.5, 3.5], y: [0, 1], ratio: 3.1, margin: small,
    });
    const charts = SigmaCharts(ui, right, DATA, go);

    // The dial: one stop for each sigma that was trained.
    const dial = el("input", { type: "range", min: 0, max: ratios.length - 1, step: 1, oninput: () => go(Number(dial.value)) });
    const box = ui.control(left, "range", "Assumed σ, in units of the true noise", dial);
    const value = el("span", { class: "value", "aria-hidden": "true" });
    dial.before(value);
    const stops = [["0.05", "0.05: darts"], ["1", "1: right"], ["3", "3: wide"], ["10", "10: dead"]];
    const marks = el("div", { class: "ticks", style: "--rows: 1" }, ...stops.map(([name, words]) => el("button", {
      type: "button",
      style: `--part: ${OPTIONS.indexOf(name) / (ratios.length - 1)}; --row: 0`,
      onclick: () => ui.set({ ratio: name }),
    }, words)));
    box.append(marks);
    ui.controls.push(() => {
      dial.value = index();
      value.textContent = state.ratio;
      dial.setAttribute("aria-valuetext", `${state.ratio} times the true noise`);
    });
    ui.sentence(left);
    ui.spoken.style.minHeight = "8.2em"; // of its longest text: what stands below does not move
    const row = ui.box("row");
    ui.check(row, "samples", { label: "200 samples of the model" });
    ui.ending(row);

    const place = (n) => [X[2 * n], X[2 * n + 1]];
    const far = ([x, y], n) => Math.hypot(X[2 * n] - x, X[2 * n + 1] - y);
    const all = Array.from({ length: POINTS }, (_, n) => n);
    const nearest = (there) => all.reduce((best, n) => (far(there, n) < far(there, best) ? n : best));
    const knob = plane.handle({
      label: "the touched point", hue: "curve", step: [0, 0],
      at: () => place(state.point),
      words: () => `point ${state.point + 1} of ${POINTS}, at ${place(state.point).map(ui.short).join(", ")}`,
      move: (...there) => ui.set({ point: nearest(there) }),
    });
    // By key: along the spiral, in whose order the points are stored.
    knob.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (way) ui.set({ point: state.point + way * (event.shiftKey ? 5 : 1) });
    });

    /** Those stretches of the decoder's curve whose nodes pass a test. */
    function stretches({ grid }, admits, style) {
      let run = [];
      for (let i = 0; i <= grid.z.length; i++) {
        if (i < grid.z.length && admits(i)) run.push(grid.means[2 * i], grid.means[2 * i + 1]);
        else if (run.length) { plane.line(...axes(run), style); run = []; }
      }
    }

    /** The band of all blobs' centres, drawn whole and then made pale, so that it is even where it crosses itself. */
    function drawTube([xs, ys], width) {
      const apart = [];
      for (const place of plane.points(xs, ys)) {
        const last = apart.at(-1);
        if (!last || Math.hypot(place[0] - last[0], place[1] - last[1]) > 2) apart.push(place);
      }
      plane.mark(apart, { color: colors.decoder, width });
      plane.dots([xs[0], xs.at(-1)], [ys[0], ys.at(-1)], { color: colors.decoder, radius: width / 2 });
      plane.area(plane.x, [plane.y[0], plane.y[0]], [plane.y[1], plane.y[1]], { color: colors.page, alpha: 0.78 });
    }

    function drawPlane(now, { mu, std, posterior }) {
      plane.begin();
      const scale = Math.max(0, plane.inner.width) / (plane.x[1] - plane.x[0]); // hidden, as for print, it has no width
      plane.inside(() => {
        drawTube(now.shown, 2 * now.sigma * scale);
        plane.dots(...X_AXES, { color: colors.data, radius: 2.2, alpha: 0.8 });
        if (state.samples) plane.dots(...samples(now), { color: colors.samples, radius: 2.2, ring: 1.2 });
        plane.line(...SPIRAL, { color: colors.curve, width: 1.2, dash: [5, 4] });
        plane.line(...now.shown, { color: colors.decoder, width: 2.2 });
        const { z } = now.grid;
        const high = Math.exp(-2) * posterior.density.reduce((a, b) => Math.max(a, b)); // two std of a normal
        stretches(now, (i) => posterior.density[i] > high, { color: colors.posterior, width: 8, alpha: 0.75 });
        stretches(now, (i) => Math.abs(z[i] - mu) < 2 * std, { color: colors.encoder, width: 3.5 });
      });
      const words = { size: 12, halo: true };
      plane.write(6, 14, "decoder’s curve and its tube, ±σ", { ...words, color: colors["decoder-ink"] });
      plane.write(6, plane.height - 8, "dashed: true spiral", words);
      plane.end();
    }

    function drawLatent(now, { mu, std, posterior, gap }) {
      const bins = 340;
      const zs = Array.from({ length: bins }, (_, i) => -3.5 + (7 * (i + 0.5)) / bins);
      const exact = new Float64Array(bins);
      now.grid.z.forEach((z, i) => {
        const bin = Math.floor(((z + 3.5) / 7) * bins);
        if (bin >= 0 && bin < bins) exact[bin] = Math.max(exact[bin], posterior.density[i]);
      });
      const q = zs.map((z) => {
        const nearby = Math.max(0, Math.abs(z - mu) - 3.5 / bins); // a q thinner than a bin shows its top
        return Math.exp(-0.5 * (nearby / std) ** 2) / (std * Math.sqrt(2 * Math.PI));
      });
      const flat = zs.map(() => 0);
      latent.y = [0, 1.1 * Math.max(0.5, ...exact, ...q)];
      latent.begin();
      latent.inside(() => {
        latent.area(zs, flat, exact, { color: colors.posterior, alpha: 0.35 });
        latent.line(zs, exact, { color: colors.posterior });
        latent.line(zs, q, { color: colors.encoder, width: 2.5, dash: [7, 3] });
        latent.line(zs, zs.map((z) => Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI)), { color: colors.prior, dash: [2, 4] });
      });
      latent.axes({ x: [[-3, "z = −3"], 0, 3] });
      const words = { size: 12, weight: 600 };
      latent.write(40, 12, "q(z|x)", { ...words, color: colors["encoder-ink"] });
      latent.write(84, 12, "p(z|x)", { ...words, color: colors["posterior-ink"] });
      latent.write(130, 12, "prior", { ...words, color: colors["prior-ink"] });
      latent.write(latent.width - 2, 12, `gap ${fixed(gap)} nats`, { size: 12, align: "right" });
      latent.end();
    }

    function draw() {
      const at = index();
      const now = model(at);
      const [mu, logVar] = Q[at].map((part) => part[state.point]);
      const posterior = VaeEngine.posterior(now.grid, ...place(state.point));
      const gap = Networks.gap(now, place(state.point), mu, logVar, posterior.logEvidence);
      const touched = { mu, std: Math.exp(0.5 * logVar), posterior, gap };
      drawPlane(now, touched);
      drawLatent(now, touched);
      charts.draw(at);
      const kind = verdict(at);
      const [[word, tone], text] = TELL[kind](at);
      ui.say([`σ is ${state.ratio} times the true noise. `, el("strong", { class: tone }, word), text], tone);
    }
    return { draw };
  }

  Explorable.define("sigma-dial", {
    caption: "σ is the width of the brush. Turn it from 0.05 to 10 times the true noise: the curve darts, follows the cloud, "
      + "then shrinks to a point. Touch a point to see its q (amber) and its exact posterior (blue), on the curve and on the "
      + "latent axis. The small panels: the sweep’s own numbers on its first data set.",
    state: {
      ratio: { value: "1", options: OPTIONS },
      point: { value: 124, min: 0, max: POINTS - 1, whole: true },
      samples: { value: false },
    },
    build,
  });
})();
