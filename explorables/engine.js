/* The mathematics of the playground: a VAE with one latent axis on points of the plane, its losses as people write them, its
   gradient by hand, and what is exact about it. Numbers and typed arrays in and out, nothing of the page; equal to vaelib's,
   which tests/browser/test_engine.py holds.

   x: points, [x0, y0, x1, y1, ...]. theta: all parameters in vaelib's order, log sigma at the end:
   encoder 2 -> width -> (mu, log variance), decoder 1 -> width -> 2, tanh between. */
"use strict";
globalThis.VaeEngine = (() => {
  const D = 2;
  const LOG_2PI = Math.log(2 * Math.PI);

  // ---- randomness

  /** Uniform and normal numbers, the same for the same seed. */
  function random(seed) {
    let spare = null;
    const uniform = () => { // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
    const normal = () => { // Box and Muller
      if (spare !== null) { const value = spare; spare = null; return value; }
      const radius = Math.sqrt(-2 * Math.log(uniform()));
      const angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    };
    return { uniform, normal };
  }

  // ---- the process: vaelib.spiral

  const [R_DOT, U_MIN] = [2.5, 0.01];

  function curve(t, turns) {
    return Float64Array.from({ length: 2 * t.length }, (_, i) => {
      const [at, turn] = [t[i >> 1], i % 2 ? Math.sin : Math.cos];
      return R_DOT * at * turn(2 * Math.PI * turns * at);
    });
  }

  /** Points on the spiral: evenly spaced along it as in the published set, or drawn; normal() gives their noise. */
  function spiral({ points, turns, noise, normal, uniform = null }) {
    const share = (i) => (uniform ? uniform() : i / Math.max(1, points - 1));
    const t = Float64Array.from({ length: points }, (_, i) => Math.sqrt(U_MIN + (1 - U_MIN) * share(i)));
    return { t, x: curve(t, turns).map((value) => value + noise * normal()) };
  }

  // ---- parameters

  const sizes = (width) => [2 * width, width, 2 * width, 2, width, width, 2 * width, 2, 1];

  const parameterCount = (width) => sizes(width).reduce((a, b) => a + b);

  /** Views of theta: encoder (w1, b1, w2, b2), decoder (v1, c1, v2, c2), log sigma. */
  function views(theta, width) {
    let at = 0;
    const parts = sizes(width).map((size) => theta.subarray(at, at += size));
    return { w1: parts[0], b1: parts[1], w2: parts[2], b2: parts[3], v1: parts[4], c1: parts[5], v2: parts[6], c2: parts[7], logSigma: parts[8] };
  }

  /** Drawn as torch.nn.Linear draws: uniform on +-1 / sqrt(inputs). */
  function initial(width, { uniform }, sigma) {
    const inputs = [2, 2, width, width, 1, 1, width, width];
    const theta = new Float64Array(parameterCount(width));
    let at = 0;
    sizes(width).slice(0, -1).forEach((size, part) => {
      for (const end = at + size; at < end; at++) theta[at] = (2 * uniform() - 1) / Math.sqrt(inputs[part]);
    });
    theta[at] = Math.log(sigma);
    return theta;
  }

  // ---- networks

  const STEPS = 64; // nodes of the table a unit
  const TABLE = Float64Array.from({ length: 20 * STEPS + 1 }, (_, k) => Math.tanh(k / STEPS));

  /** tanh by its addition formula from the nearest node of a table: exact to rounding, and several times as fast as Math.tanh. */
  function tanh(a) {
    const size = a < 0 ? -a : a;
    if (size >= 20) return a < 0 ? -1 : 1;
    const k = (size * STEPS + 0.5) | 0;
    const h = size - k / STEPS;
    const square = h * h;
    const small = h * (1 - square * (1 / 3 - square * (2 / 15)));
    const value = (TABLE[k] + small) / (1 + TABLE[k] * small);
    return a < 0 ? -value : value;
  }

  function encode(theta, width, x) {
    const { w1, b1, w2, b2 } = views(theta, width);
    const [mu, logVar] = [new Float64Array(x.length / 2), new Float64Array(x.length / 2)];
    for (let n = 0; n < mu.length; n++) {
      let [a, b] = b2;
      for (let j = 0; j < width; j++) {
        const h = tanh(b1[j] + w1[2 * j] * x[2 * n] + w1[2 * j + 1] * x[2 * n + 1]);
        a += w2[j] * h;
        b += w2[width + j] * h;
      }
      mu[n] = a;
      logVar[n] = b;
    }
    return { mu, logVar };
  }

  /** Means at the latents z, as points. */
  function decode(theta, width, z) {
    const { v1, c1, v2, c2 } = views(theta, width);
    const means = new Float64Array(2 * z.length);
    for (let m = 0; m < z.length; m++) {
      let [a, b] = c2;
      for (let j = 0; j < width; j++) {
        const h = tanh(c1[j] + v1[j] * z[m]);
        a += v2[j] * h;
        b += v2[width + j] * h;
      }
      means[2 * m] = a;
      means[2 * m + 1] = b;
    }
    return means;
  }

  // ---- losses

  /** KL(N(mu, e^logVar) || N(0, 1)), nats. */
  const kl = (mu, logVar) => 0.5 * (mu * mu + Math.expm1(logVar) - logVar);

  /** The same formula, fed the standard deviation where it wants the variance. */
  const klMisread = (mu, logVar) => kl(mu, 0.5 * logVar);

  /** The losses, by what each does with the parts of the right one:
      squares(sigma): weight of the squared error; klWeight; log of q's std as a share of log_var; constant; which formula. */
  const precision = (sigma) => 0.5 / (sigma * sigma);
  const LOSSES = {
    right: { squares: precision, klWeight: 1, stdShare: 0.5, constant: true, misread: false },
    g: { squares: precision, klWeight: 1, stdShare: 0.5, constant: true, misread: true }, // KL of the std
    std: { squares: precision, klWeight: 1, stdShare: 1, constant: true, misread: false }, // exp(log_var) taken as the std
    "no-half": { squares: precision, klWeight: 2, stdShare: 0.5, constant: true, misread: false }, // KL without its 1/2
    mse: { squares: () => 1 / D, klWeight: 1, stdShare: 0.5, constant: false, misread: false }, // both terms averaged
  };

  /** The sigma whose ELBO the loss is, up to a factor and a constant: weight_kl / (2 weight_squares) = sigma^2. */
  const assumedSigma = (loss, sigma, beta) => Math.sqrt((beta * LOSSES[loss].klWeight) / (2 * LOSSES[loss].squares(sigma)));

  /** Mean loss a point with the noise eps (points x draws), and its gradient where grad is given. sigma: a number, or null to
      take it from theta, learned. Returns the loss's own parts: squared error, kl as it counts it, and the loss. */
  function objective(theta, width, x, eps, { loss = "right", sigma = null, beta = 1 }, grad = null) {
    const { squares, klWeight, stdShare, constant, misread } = LOSSES[loss];
    const { w1, b1, w2, b2, v1, c1, v2, c2, logSigma } = views(theta, width);
    const now = sigma ?? Math.exp(logSigma[0]);
    const points = x.length / 2;
    const draws = eps.length / points;
    const weight = squares(now);
    const share = (2 * weight) / (points * draws); // of a residual in the gradient
    const klShare = (beta * klWeight) / points;
    const [h, k] = [new Float64Array(width), new Float64Array(width)];
    const g = grad && views(grad.fill(0), width);
    let [error, counted] = [0, 0];
    for (let n = 0; n < points; n++) {
      const [x0, x1] = [x[2 * n], x[2 * n + 1]];
      let mu = b2[0];
      let logVar = b2[1];
      for (let j = 0; j < width; j++) {
        const value = tanh(b1[j] + w1[2 * j] * x0 + w1[2 * j + 1] * x1);
        h[j] = value;
        mu += w2[j] * value;
        logVar += w2[width + j] * value;
      }
      const std = Math.exp(stdShare * logVar);
      let [toMu, toStd] = [0, 0]; // the loss's slopes
      for (let l = 0; l < draws; l++) {
        const e = eps[n * draws + l];
        const z = mu + std * e;
        let r0 = c2[0] - x0;
        let r1 = c2[1] - x1;
        for (let j = 0; j < width; j++) {
          const value = tanh(c1[j] + v1[j] * z);
          k[j] = value;
          r0 += v2[j] * value;
          r1 += v2[width + j] * value;
        }
        error += r0 * r0 + r1 * r1;
        if (!g) continue;
        r0 *= share;
        r1 *= share;
        g.c2[0] += r0;
        g.c2[1] += r1;
        let toZ = 0;
        const { v1: gv1, c1: gc1, v2: gv2 } = g;
        for (let j = 0; j < width; j++) {
          const value = k[j];
          gv2[j] += r0 * value;
          gv2[width + j] += r1 * value;
          const back = (r0 * v2[j] + r1 * v2[width + j]) * (1 - value * value);
          gv1[j] += back * z;
          gc1[j] += back;
          toZ += back * v1[j];
        }
        toMu += toZ;
        toStd += toZ * e;
      }
      counted += misread ? klMisread(mu, logVar) : kl(mu, logVar);
      if (!g) continue;
      toMu += klShare * mu;
      const toLogVar = toStd * std * stdShare + klShare * (misread ? 0.25 * Math.expm1(0.5 * logVar) : 0.5 * Math.expm1(logVar));
      g.b2[0] += toMu;
      g.b2[1] += toLogVar;
      const { w1: gw1, b1: gb1, w2: gw2 } = g;
      for (let j = 0; j < width; j++) {
        const value = h[j];
        gw2[j] += toMu * value;
        gw2[width + j] += toLogVar * value;
        const back = (toMu * w2[j] + toLogVar * w2[width + j]) * (1 - value * value);
        gw1[2 * j] += back * x0;
        gw1[2 * j + 1] += back * x1;
        gb1[j] += back;
      }
    }
    error /= points * draws;
    counted *= klWeight / points;
    if (g && sigma === null) g.logSigma[0] = D - 2 * weight * error;
    const value = weight * error + (constant ? 0.5 * D * (LOG_2PI + 2 * Math.log(now)) : 0) + beta * counted;
    return { error, kl: counted, loss: value };
  }

  // ---- Adam, with vaelib.train's constants

  const adam = (size) => ({ t: 0, m: new Float64Array(size), v: new Float64Array(size) });

  function adamStep(theta, grad, state, rate) {
    const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
    const { m, v } = state;
    state.t += 1;
    const correction = Math.sqrt(1 - beta2 ** state.t);
    const step = (rate * correction) / (1 - beta1 ** state.t);
    for (let i = 0; i < theta.length; i++) {
      m[i] += (1 - beta1) * (grad[i] - m[i]);
      v[i] = beta2 * v[i] + (1 - beta2) * grad[i] * grad[i];
      theta[i] -= (step * m[i]) / (Math.sqrt(v[i]) + epsilon * correction);
    }
  }

  // ---- exact: evidence and posterior by the trapezoidal rule, as vaelib.quadrature

  const [MAX_STEP, REACH, MOST_NODES] = [0.75, 16, 70_000];

  /** The decoder's curve at nodes on [-limit, limit], as many of a doubling sequence as keep neighbours within 0.75 sigma; null
      if that takes too many for a page. */
  function latentGrid(theta, width, sigma, limit = 8) {
    for (let nodes = 250 * limit + 1; nodes < MOST_NODES; nodes = 2 * nodes - 1) {
      const step = (2 * limit) / (nodes - 1);
      const z = Float64Array.from({ length: nodes }, (_, i) => -limit + i * step);
      const means = decode(theta, width, z);
      let widest = 0;
      for (let i = 2; i < means.length; i += 2) widest = Math.max(widest, Math.hypot(means[i] - means[i - 2], means[i + 1] - means[i - 1]));
      if (widest <= MAX_STEP * sigma) return { z, means, sigma, step, limit, joint: new Float64Array(nodes) };
    }
    return null;
  }

  /** log p(x) of one point. Leaves log p(x, z) at the nodes in grid.joint. NaN where the grid is too short for the point. */
  function logEvidenceAt({ z, means, sigma, step, joint }, x0, x1) {
    const weight = precision(sigma);
    let top = -Infinity;
    for (let i = 0; i < z.length; i++) {
      const [a, b] = [x0 - means[2 * i], x1 - means[2 * i + 1]];
      const value = -0.5 * z[i] * z[i] - weight * (a * a + b * b);
      joint[i] = value;
      if (value > top) top = value;
    }
    if (top - Math.max(joint[0], joint[z.length - 1]) < REACH) return NaN;
    let sum = 0;
    for (let i = 0; i < z.length; i++) if (joint[i] > top - 45) sum += Math.exp(joint[i] - top);
    return top + Math.log(sum * step) - 0.5 * LOG_2PI - 0.5 * D * (LOG_2PI + 2 * Math.log(sigma));
  }

  /** log p(x) of each point, each on the shortest grid of limits 8, 16, ... that reaches far enough for it; NaN if none can.
      A generator: it yields now and then, and returns the values. */
  function* logEvidenceInParts(theta, width, sigma, x) {
    const values = new Float64Array(x.length / 2).fill(NaN);
    let grid = latentGrid(theta, width, sigma);
    for (let n = 0; n < values.length && grid; n++) {
      if (n % 20 === 0) yield;
      values[n] = logEvidenceAt(grid, x[2 * n], x[2 * n + 1]);
      while (Number.isNaN(values[n]) && grid) {
        grid = latentGrid(theta, width, sigma, 2 * grid.limit);
        if (grid) values[n] = logEvidenceAt(grid, x[2 * n], x[2 * n + 1]);
      }
    }
    return values;
  }

  /** What a generator returns, without its pauses. */
  function finished(generator) {
    let turn = generator.next();
    while (!turn.done) turn = generator.next();
    return turn.value;
  }

  const logEvidence = (...model) => finished(logEvidenceInParts(...model));

  /** Exact p(z | x) of one point: its density at the nodes, its mean and its standard deviation. */
  function posterior(grid, x0, x1) {
    const { z, step, joint } = grid;
    const evidence = logEvidenceAt(grid, x0, x1);
    const top = joint.reduce((a, b) => Math.max(a, b));
    const density = joint.map((value) => Math.exp(value - top));
    const mass = step * density.reduce((a, b) => a + b);
    let [mean, square] = [0, 0];
    for (let i = 0; i < z.length; i++) { density[i] /= mass; mean += step * density[i] * z[i]; }
    for (let i = 0; i < z.length; i++) square += step * density[i] * (z[i] - mean) ** 2;
    return { density, mean, std: Math.sqrt(square), logEvidence: evidence };
  }

  /** E_q[log p(x|z)] of the points under N(mu, std^2), by nodes on the noise instead of draws. */
  function reconstruction(theta, width, sigma, x, mu, std, nodes = 161) {
    const step = 16 / (nodes - 1);
    const eps = Float64Array.from({ length: nodes }, (_, i) => -8 + i * step);
    const mass = eps.map((e) => step * Math.exp(-0.5 * (e * e + LOG_2PI)));
    return mu.map((center, n) => {
      const means = decode(theta, width, eps.map((e) => center + std[n] * e));
      let error = 0;
      for (let i = 0; i < nodes; i++) error += mass[i] * ((x[2 * n] - means[2 * i]) ** 2 + (x[2 * n + 1] - means[2 * i + 1]) ** 2);
      return -precision(sigma) * error - 0.5 * D * (LOG_2PI + 2 * Math.log(sigma));
    });
  }

  // ---- thresholds: vaelib.thresholds

  function centred(x) {
    const points = x.length / 2;
    const mean = [0, 1].map((axis) => x.reduce((sum, value, i) => (i % 2 === axis ? sum + value : sum), 0) / points);
    return x.map((value, i) => value - mean[i % 2]);
  }

  /** sqrt(lambda_max): above this sigma the dead latent is a local optimum. */
  function collapseThreshold(x) {
    const c = centred(x);
    let [a, b, both] = [0, 0, 0];
    for (let i = 0; i < c.length; i += 2) { a += c[i] ** 2; b += c[i + 1] ** 2; both += c[i] * c[i + 1]; }
    return Math.sqrt((a + b + Math.hypot(a - b, 2 * both)) / x.length);
  }

  /** The place where f is highest between low and high, by golden sections. */
  function highest(f, low, high, tolerance) {
    const ratio = (Math.sqrt(5) - 1) / 2;
    let [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    let [fa, fb] = [f(a), f(b)];
    while (high - low > tolerance) {
      if (fa > fb) {
        [high, b, fb, a] = [b, a, fa, b - ratio * (b - low)];
        fa = f(a);
      } else {
        [low, a, fa, b] = [a, b, fb, a + ratio * (high - a)];
        fb = f(b);
      }
    }
    return fa > fb ? a : b;
  }

  /** sigma_*, from which on no decoder has a higher evidence than the collapsed one: the largest 2 kappa(s) / |s|^2. */
  function evidenceThreshold(x) {
    const scale = collapseThreshold(x);
    if (!(scale > 0)) return scale;
    const c = centred(x).map((value) => value / scale);
    const quotient = (angle, logLength) => {
      const [length, s0, s1] = [Math.exp(logLength), Math.cos(angle), Math.sin(angle)];
      let [top, sum] = [-Infinity, 0];
      for (let i = 0; i < c.length; i += 2) top = Math.max(top, length * (s0 * c[i] + s1 * c[i + 1]));
      for (let i = 0; i < c.length; i += 2) sum += Math.exp(length * (s0 * c[i] + s1 * c[i + 1]) - top);
      return (2 * (top + Math.log((2 * sum) / c.length))) / (length * length);
    };
    const logLengths = Array.from({ length: 24 }, (_, i) => -4.6 + 0.4 * i);
    const best = (values, f) => values.reduce((a, b) => (f(b) > f(a) ? b : a));
    const along = (angle) => {
      const near = best(logLengths, (logLength) => quotient(angle, logLength));
      return quotient(angle, highest((logLength) => quotient(angle, logLength), near - 0.4, near + 0.4, 1e-4));
    };
    const turn = (2 * Math.PI) / 96;
    const around = Array.from({ length: 96 }, (_, i) => along(i * turn));
    const peaks = around.map((value, i) => [value, i]).filter(([value, i]) => value >= around[(i + 95) % 96] && value >= around[(i + 1) % 96]);
    const tops = peaks.sort((a, b) => b[0] - a[0]).slice(0, 3).map(([, i]) => along(highest(along, (i - 1) * turn, (i + 1) * turn, 1e-4)));
    return scale * Math.sqrt(Math.max(1, ...tops)); // 1 is the limit s -> 0
  }

  /** Correlation of the ranks: plus or minus 1 for a latent that runs along the curve in order. */
  function rankCorrelation(a, b) {
    const ranks = (values) => {
      const rank = new Float64Array(values.length);
      Array.from(values.keys()).sort((i, j) => values[i] - values[j]).forEach((at, place) => { rank[at] = place - (values.length - 1) / 2; });
      return rank;
    };
    const [p, q] = [ranks(a), ranks(b)];
    const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
    return dot(p, q) / dot(p, p);
  }

  return {
    LOSSES, adam, adamStep, assumedSigma, collapseThreshold, curve, decode, encode, evidenceThreshold, finished, initial, kl,
    klMisread, latentGrid, logEvidence, logEvidenceAt, logEvidenceInParts, objective, posterior, random,
    rankCorrelation, reconstruction, spiral, tanh,
  };
})();
