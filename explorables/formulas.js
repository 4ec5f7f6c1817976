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

  return { kl, klGradient, klMisread, klMisreadGradient, normalLogDensity, linearModel };
})();
