/* The networks that travel with a page: weights that its notebook trained and stored, as base64 of little-endian float32. */
"use strict";
globalThis.Networks = (() => {
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

  /** The network called "encoder" or "decoder" in a stored state: a function of an array, tanh between its layers. */
  function network(state, name) {
    const layers = [];
    for (let i = 0; `${name}.net.layers.${i}.weight` in state; i++) {
      const [out, width, text] = state[`${name}.net.layers.${i}.weight`];
      layers.push({ out, width, weight: floats(text), bias: floats(state[`${name}.net.layers.${i}.bias`][1]) });
    }
    return (input) => {
      let values = input;
      layers.forEach(({ out, width, weight, bias }, at) => {
        const next = new Float64Array(out);
        for (let row = 0; row < out; row++) {
          let sum = bias[row];
          for (let column = 0; column < width; column++) sum += weight[row * width + column] * values[column];
          next[row] = at < layers.length - 1 ? Math.tanh(sum) : sum;
        }
        values = next;
      });
      return values;
    };
  }

  /** A decoder of one latent axis at nodes that lie less than half a sigma apart, for the engine's evidence and posterior. */
  function grid(decode, sigma) {
    for (let nodes = 2001; ;) {
      const step = 16 / (nodes - 1);
      const z = Float64Array.from({ length: nodes }, (_, i) => -8 + i * step);
      const means = new Float64Array(2 * nodes);
      z.forEach((at, i) => means.set(decode([at]), 2 * i));
      let widest = 0;
      for (let i = 2; i < means.length; i += 2) {
        widest = Math.max(widest, Math.hypot(means[i] - means[i - 2], means[i + 1] - means[i - 1]));
      }
      if (widest <= 0.5 * sigma) return { z, means, sigma, step, limit: 8, joint: new Float64Array(nodes) };
      nodes = (nodes - 1) * Math.ceil(widest / (0.5 * sigma)) + 1;
    }
  }

  /** What the ELBO of a point lacks of its log evidence, nats, under q = N(mu, e^logVar): by nodes on the noise, not draws. */
  function gap({ decode, sigma }, x, mu, logVar, logEvidence) {
    const std = Math.exp(0.5 * logVar);
    let [error, mass] = [0, 0];
    for (let e = -8; e <= 8; e += 0.1) {
      const weight = Math.exp(-0.5 * e * e);
      mass += weight;
      error += weight * decode([mu + std * e]).reduce((sum, mean, axis) => sum + (x[axis] - mean) ** 2, 0);
    }
    const reconstruction = -error / mass / (2 * sigma * sigma) - 0.5 * x.length * Math.log(2 * Math.PI * sigma * sigma);
    return logEvidence - reconstruction + VaeEngine.kl(mu, logVar);
  }

  /** Density at z of the aggregate: the mean of the normals N(means[n], diag(stds[n]^2)). */
  function aggregate(means, stds) {
    const sizes = stds.map((std) => std.reduce((size, part) => size * part * Math.sqrt(2 * Math.PI), means.length));
    return (z) => means.reduce((sum, mean, n) => {
      const square = mean.reduce((total, part, axis) => total + ((z[axis] - part) / stds[n][axis]) ** 2, 0);
      return sum + Math.exp(-0.5 * square) / sizes[n];
    }, 0);
  }

  return { floats, network, grid, gap, aggregate };
})();
