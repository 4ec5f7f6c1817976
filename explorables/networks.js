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

  // ---- one latent axis: exact posterior and evidence of a point, by sums over nodes

  /** The decoder's means at nodes on [-8, 8] that are dense enough: neighbours lie less than half a sigma apart. */
  function decoderCurve(decode, sigma) {
    let count = 2001;
    for (;;) {
      const z = Float64Array.from({ length: count }, (_, i) => -8 + (16 * i) / (count - 1));
      const means = Array.from(z, (at) => decode([at]));
      const apart = means.slice(1).map((mean, i) => Math.hypot(...mean.map((value, axis) => value - means[i][axis])));
      const step = apart.reduce((a, b) => Math.max(a, b)) / sigma;
      if (step <= 0.5) return { z, means, sigma };
      count = (count - 1) * Math.ceil(step / 0.5) + 1;
    }
  }

  /** log p(x), and log p(z | x) at the curve's nodes. */
  function exactPosterior({ z, means, sigma }, x) {
    const constant = 0.5 * Math.log(2 * Math.PI) + x.length * Math.log(sigma * Math.sqrt(2 * Math.PI));
    const logJoint = z.map((at, i) => {
      let square = at * at;
      for (let axis = 0; axis < x.length; axis++) square += ((x[axis] - means[i][axis]) / sigma) ** 2;
      return -0.5 * square - constant;
    });
    const top = logJoint.reduce((a, b) => Math.max(a, b));
    const mass = (z[1] - z[0]) * logJoint.reduce((sum, value) => sum + Math.exp(value - top), 0);
    const logEvidence = top + Math.log(mass);
    return { logEvidence, logDensity: logJoint.map((value) => value - logEvidence) };
  }

  /** KL(N(mu, e^logVar) || p(z | x)), nats: what the ELBO of this point lacks of log p(x). */
  function gap({ z }, { logDensity }, mu, logVar) {
    const std = Math.exp(0.5 * logVar);
    let [kl, mass] = [0, 0];
    for (let i = 0; i < z.length; i++) {
      const e = (z[i] - mu) / std;
      const q = Math.exp(-0.5 * e * e);
      if (q < 1e-16) continue;
      mass += q;
      kl += q * (-0.5 * e * e - Math.log(std * Math.sqrt(2 * Math.PI)) - logDensity[i]);
    }
    return kl / mass;
  }

  /** Density at z of the aggregate: the mean of the normals N(means[n], diag(stds[n]^2)). */
  function aggregate(means, stds) {
    const sizes = stds.map((std) => std.reduce((size, part) => size * part * Math.sqrt(2 * Math.PI), means.length));
    return (z) => means.reduce((sum, mean, n) => {
      const square = mean.reduce((total, part, axis) => total + ((z[axis] - part) / stds[n][axis]) ** 2, 0);
      return sum + Math.exp(-0.5 * square) / sizes[n];
    }, 0);
  }

  /** Standard normal numbers, the same for the same seed. */
  function random(seed) {
    const uniform = () => { // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
    return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  return { floats, network, decoderCurve, exactPosterior, gap, aggregate, random };
})();
