/* The playground's model at work: its data, its weights, training in slices of time, and the exact numbers about it. Nothing of
   the page. */
"use strict";
globalThis.PlaygroundTraining = (() => {
  const E = VaeEngine;
  const STORED = VaeData.playground;
  const WIDTH = 32; // of the stored model
  const [PEAK, RAMP, HOLD, END] = [0.01, 200, 8000, 16_000]; // the rate, and the steps of its ramp, its plateau, its end
  const TRAINED = 13_000; // where the stored model stands on that way
  const FEWEST = 5; // points to train on
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

  // ---- points drawn by hand, as text: two digits of base 64 for each coordinate

  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const SIDE = 3; // of the plane, from its middle
  const written = (value) => {
    const level = Math.round(((Math.min(SIDE, Math.max(-SIDE, value)) + SIDE) / (2 * SIDE)) * 4095);
    return DIGITS[level >> 6] + DIGITS[level & 63];
  };
  const pointToText = (x0, x1) => written(x0) + written(x1);
  const textToPoints = (text) => Float64Array.from({ length: Math.floor(text.length / 2) }, (_, i) => {
    const level = 64 * DIGITS.indexOf(text[2 * i]) + DIGITS.indexOf(text[2 * i + 1]);
    return (level / 4095) * 2 * SIDE - SIDE;
  });

  // ---- the data of a state: seed 0 of 200 points is the book's own set

  function dataOf({ source, drawn, turns, noise, points, set }) {
    if (source === "drawn") return { x: textToPoints(drawn), t: null, fresh: null, curve: null };
    let next = 0;
    const own = set === 0 && points === STORED.noise.length / 2;
    const normal = own ? () => STORED.noise[next++] : E.random(2 * set + 1).normal;
    const fresh = E.spiral({ points: 200, turns, noise, ...E.random(2 * set + 2) }).x;
    return { ...E.spiral({ points, turns, noise, normal }), fresh, curve: E.curve(Array.from({ length: 300 }, (_, i) => 0.1 + (0.9 * i) / 299), turns) };
  }

  class Training {
    constructor(settings) {
      this.settings = { ...settings };
      this.renew();
      this.load();
    }

    /** New weights: seed 0 is the stored model, already trained. */
    renew() {
      const { width, seed, sigma } = this.settings;
      this.stored = seed === 0 && width === WIDTH;
      this.noise = E.random(seed + 12_345);
      this.theta = this.stored ? Float64Array.from(STORED.theta) : E.initial(width, this.noise, sigma);
      this.theta[this.theta.length - 1] = Math.log(sigma);
      this.grad = new Float64Array(this.theta.length);
      this.adam = E.adam(this.theta.length);
      this.steps = 0;
      this.age = this.stored ? TRAINED : 0;
      this.history = [];
      this.numbers = null;
      this.measuring = null;
    }

    load() {
      Object.assign(this, dataOf(this.settings));
      this.enough = this.x.length >= 2 * FEWEST;
      this.thresholds = this.enough ? { collapse: E.collapseThreshold(this.x), evidence: E.evidenceThreshold(this.x) } : null;
      this.history = [];
      this.measuring = null;
    }

    /** Take other settings: training goes on from where it is, unless they ask for other weights. */
    change(settings, keys) {
      Object.assign(this.settings, settings);
      this.wake();
      const changed = (...names) => names.some((name) => keys.includes(name));
      if (changed("width", "seed")) this.renew();
      if (changed("source", "drawn", "turns", "noise", "points", "set")) this.load();
      if (changed("sigma", "learn")) this.theta[this.theta.length - 1] = Math.log(settings.sigma);
    }

    /** The rate starts over, and what was measured is no longer so. */
    wake() {
      this.age = 0;
      this.measuring = null;
      this.stale = true;
    }

    get learns() { return this.settings.learn && this.settings.loss !== "mse"; }

    /** The sigma that the loss is told. */
    get told() { return this.learns ? Math.exp(this.theta[this.theta.length - 1]) : this.settings.sigma; }

    /** The sigma of the Gaussian decoder whose ELBO it is. */
    get sigma() { return E.assumedSigma(this.settings.loss, this.told, this.settings.beta); }

    get resting() { return !this.enough || this.age >= END; }

    step() {
      const { width, loss, beta, draws } = this.settings;
      const count = (this.x.length / 2) * draws;
      if (this.eps?.length !== count) this.eps = new Float64Array(count);
      for (let i = 0; i < count; i++) this.eps[i] = this.noise.normal();
      const sigma = this.learns ? null : this.settings.sigma;
      E.objective(this.theta, width, this.x, this.eps, { loss, beta, sigma }, this.grad);
      const fall = this.age < HOLD ? 1 : 0.5 * (1 + Math.cos((Math.PI * (this.age - HOLD)) / (END - HOLD)));
      E.adamStep(this.theta, this.grad, this.adam, PEAK * fall * Math.min(1, (this.adam.t + 1) / RAMP));
      this.steps += 1;
      this.age += 1;
    }

    /** Train for some milliseconds, and at most some steps. */
    train(milliseconds, most) {
      const end = performance.now() + milliseconds;
      for (let done = 0; done < most && !this.resting; done++) {
        if (done % 4 === 0 && performance.now() > end) break;
        this.step();
      }
    }

    // ---- exact numbers, measured on a copy while training goes on

    q(theta = this.theta, x = this.x) {
      const { mu, logVar } = E.encode(theta, this.settings.width, x);
      const share = E.LOSSES[this.settings.loss].stdShare;
      return { mu, logVar, std: logVar.map((value) => Math.exp(share * value)) };
    }

    *measure() {
      const { settings: { width, loss }, steps, told, sigma, x } = this;
      const theta = this.theta.slice();
      const { mu, logVar, std } = this.q(theta);
      const train = mean(yield* E.logEvidenceInParts(theta, width, sigma, x));
      const fresh = this.fresh && mean(yield* E.logEvidenceInParts(theta, width, sigma, this.fresh));
      let reconstruction = 0;
      for (let n = 0; n < mu.length; n++) {
        if (n % 5 === 0) yield;
        const one = [x.subarray(2 * n, 2 * n + 2), mu.subarray(n, n + 1), std.subarray(n, n + 1)];
        reconstruction += E.reconstruction(theta, width, sigma, ...one)[0] / mu.length;
      }
      const kl = mean(mu.map((value, n) => E.kl(value, 2 * Math.log(std[n]))));
      const { misread } = E.LOSSES[loss];
      const counted = mean(mu.map((value, n) => (misread ? E.klMisread : E.kl)(value, logVar[n])));
      yield;
      const order = this.t && Math.abs(E.rankCorrelation(mu, this.t));
      const nats = { train, fresh, reconstruction, kl, elbo: reconstruction - kl, claimed: reconstruction - counted };
      this.numbers = { ...nats, steps, told, sigma, order, mu, std };
      this.history.push({ steps, ...nats });
      if (this.history.length > 400) this.history = this.history.filter((_, i) => i % 2 === 0);
    }

    /** Measure for some milliseconds; false when all is measured that there is. */
    look(milliseconds) {
      const end = performance.now() + milliseconds;
      if (!this.enough) return false;
      if (!this.measuring) {
        if (this.measured === this.steps && this.numbers && !this.stale) return false;
        [this.measured, this.stale] = [this.steps, false];
        this.measuring = this.measure();
      }
      while (performance.now() < end) {
        if (this.measuring.next().done) { this.measuring = null; break; }
      }
      return true;
    }

    /** What is exact about one place: its q, its posterior, and the curve. Null for a curve too steep for a page. */
    touch(x0, x1) {
      const grid = E.latentGrid(this.theta, this.settings.width, this.sigma);
      if (!grid) return null;
      const { mu: [mu], std: [std] } = this.q(this.theta, [x0, x1]);
      return { grid, mu, std, exact: E.posterior(grid, x0, x1) };
    }
  }

  return { SIDE, FEWEST, Training, pointToText };
})();
