/* The closed forms behind the small explorables. Numbers in, numbers out; equal to vaelib's, which tests/explorables holds. */
"use strict";
globalThis.Formulas = (() => {
  // ---- chapter 03: two formulas for a KL, and a linear model in which everything is exact

  /** KL(N(mu, e^logVar) || N(0, 1)), nats. expm1 keeps the digits near the prior. */
  const kl = (mu, logVar) => 0.5 * (mu * mu + Math.expm1(logVar) - logVar);

  const klGradient = (mu, logVar) => [mu, 0.5 * Math.expm1(logVar)];

  /** The formula g, right for a variance, fed the standard deviation: the KL of another normal. */
  const klMisread = (mu, logVar) => kl(mu, 0.5 * logVar);

  const klMisreadGradient = (mu, logVar) => [mu, 0.25 * Math.expm1(0.5 * logVar)];

  const normalLogDensity = (x, mean, variance) => -0.5 * ((x - mean) ** 2 / variance + Math.log(2 * Math.PI * variance));

  /** z ~ N(0, 1), x ~ N(w z, noiseVar): evidence and posterior of one point x. */
  function linearModel({ w, noiseVar, x }) {
    const total = w * w + noiseVar;
    return {
      logEvidence: normalLogDensity(x, 0, total),
      posterior: { mean: (w * x) / total, logVar: Math.log(noiseVar / total) },
      /** E_q[log p(x|z)] under q = N(mu, e^logVar). */
      reconstruction: (mu, logVar) => normalLogDensity(x, w * mu, noiseVar) - (w * w * Math.exp(logVar)) / (2 * noiseVar),
      reconstructionGradient: (mu, logVar) => [(w * (x - w * mu)) / noiseVar, -(w * w * Math.exp(logVar)) / (2 * noiseVar)],
    };
  }

  // ---- chapter 05: the sigma and the beta of a loss as it is written

  /** As vaelib.likelihood.implied_sigma. Reductions are "sum", "mean" or "batchmean"; sigma is null for a cross-entropy. */
  function impliedSigma({ loss, reconstruction, kl: ofKl, dataDim, latentDim, batchSize, errorWeight = 1, klWeight = 1 }) {
    const divisor = (reduction, axes) => ({ sum: 1, mean: batchSize * axes, batchmean: batchSize })[reduction];
    const beta = (klWeight * divisor(reconstruction, dataDim)) / (errorWeight * divisor(ofKl, latentDim));
    return loss === "cross_entropy" ? { sigma: null, beta } : { sigma: Math.sqrt(beta / 2), beta: beta / 2 };
  }

  // ---- chapter 04: what both gradient estimators do, exactly

  const STEP = 0.01; // of the nodes of eps: the trapezoid rule has all digits for smooth functions under a normal

  /** E[h(eps)] over eps ~ N(0, 1). */
  function expectation(h) {
    let sum = 0;
    for (let i = -1000; i <= 1000; i++) sum += STEP * Math.exp(normalLogDensity(STEP * i, 0, 1)) * h(STEP * i);
    return sum;
  }

  /** J = E[f(z)] for z = mu + sigma eps, its gradient in mu, and the standard deviation of one draw of each estimator. With
      `baseline`, the score function multiplies f - J. */
  function estimators({ value, slope }, mu, sigma, baseline = false) {
    const objective = expectation((e) => value(mu + sigma * e));
    const gradient = expectation((e) => slope(mu + sigma * e));
    const c = baseline ? objective : 0;
    const pathwise = Math.sqrt(expectation((e) => (slope(mu + sigma * e) - gradient) ** 2));
    const score = Math.sqrt(expectation((e) => (((value(mu + sigma * e) - c) * e) / sigma - gradient) ** 2));
    return { objective, gradient, pathwise, score };
  }

  /** log N(x; 2 tanh z, 0.25) for x = 1.2: a decoder of one tanh unit, and its slope. */
  const bend = {
    value: (z) => normalLogDensity(1.2, 2 * Math.tanh(z), 0.25),
    slope: (z) => 8 * (1.2 - 2 * Math.tanh(z)) * (1 - Math.tanh(z) ** 2),
  };

  const wave = (k) => ({ value: (z) => Math.sin(k * z), slope: (z) => k * Math.cos(k * z) });

  /** n draws of N(0, 1); the same for the same seed (mulberry32, Box and Muller). */
  function normals(seed, n) {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  return {
    kl, klGradient, klMisread, klMisreadGradient, normalLogDensity, linearModel, impliedSigma, estimators, bend, wave, normals,
  };
})();
