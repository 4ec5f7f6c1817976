/* The mathematics of the small explorables, beside engine.js. Numbers in, numbers out: vaelib's, which
   tests/browser/test_formulas.py holds. */
"use strict";
globalThis.Formulas = (() => {
  // ---- chapter 03: two formulas for a KL, and a linear model in which everything is exact

  const { kl, klMisread } = VaeEngine; // the formula f; and g, right for a variance, fed the standard deviation

  const klGradient = (mu, logVar) => [mu, 0.5 * Math.expm1(logVar)];

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

  /** Of some data: sigma_c = sqrt(lambda_max), sigma_*, and of data in [0, 1] the beta from which a Bernoulli decoder dies. */
  const SPREADS = {
    discs: { dim: 784, edge: 3.4528515, limit: 3.5840097, beta: 76.256496 },
    digits: { dim: 64, edge: 0.8359765, limit: 0.8657292, beta: 3.3521607 },
    noise: { edge: 1, limit: 1 },
    columns: { dim: 13, edge: 2.1692972, limit: 2.1797797 },
    spiral: { dim: 2, edge: 1.3591411, limit: 1.3640283 },
  };

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

  return {
    kl, klGradient, klMisread, klMisreadGradient, normalLogDensity, linearModel, impliedSigma, SPREADS, estimators, bend, wave,
  };
})();
