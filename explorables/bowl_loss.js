/* Chapter 08, the way out of collapse: the loss of a linear VAE with one latent, less that of the collapsed one, nats a point.
   Units: one standard deviation along the data's longest axis. r = sigma / sigma_c; a: how far the decoder tilts per unit of z;
   d: how far the encoder's mean moves per standard deviation of the point. The encoder's width is the best for both. */
"use strict";
globalThis.CollapseLoss = (() => {
  const change = (r, a, d) => (a * a * d * d - 2 * a * d) / (2 * r * r) + 0.5 * d * d + 0.5 * Math.log1p((a * a) / (r * r));

  const gradient = (r, a, d) => [(a * d * d - d) / (r * r) + a / (r * r + a * a), (a * a * d - a) / (r * r) + d];

  /** The mean KL there. */
  function kl(r, a, d) {
    const variance = (r * r) / (r * r + a * a);
    return 0.5 * (d * d + variance - 1 - Math.log(variance));
  }

  /** Minus the smaller eigenvalue of the Hessian at collapse: the rate at which a small push grows. */
  const growth = (r) => Math.hypot(0.5 * (1 / (r * r) - 1), 1 / (r * r)) - 0.5 * (1 / (r * r) + 1);

  /** Where the loss is lowest: both slopes, up to a common sign. */
  const rest = (r) => Math.sqrt(Math.max(0, 1 - r * r));

  return { change, gradient, kl, growth, rest };
})();
