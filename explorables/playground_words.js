/* What the playground says: the sentence about what is to be seen, and its model as a PyTorch script. */
"use strict";
globalThis.PlaygroundWords = (() => {
  const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "—");
  const plain = (value) => String(Number(value.toPrecision(3)));
  const DEAD = 0.01; // nats: below, the latent carries nothing

  const LOSSES = {
    right: "right", g: "KL formula g", std: "exp(log_var) as std", "no-half": "KL without its ½", mse: "means of both",
  };

  /** What the loss makes of sigma, before anything else is said. */
  function assumption({ settings: { loss, beta }, learns, told }, { sigma }) {
    if (loss === "mse") return `This loss assumes σ = ${fixed(sigma)}, whatever you set: it averages the squared error over the axes. `;
    const learned = learns ? `σ learns: ${fixed(told, 3)} now. ` : "";
    const trains = `you set σ = ${fixed(told)} and train σ = ${fixed(sigma)}. `;
    if (loss === "no-half") return `${learned}The KL counts ${beta === 1 ? "twice" : `${plain(2 * beta)} times`}: ${trains}`;
    return beta === 1 ? learned : `${learned}With β = ${plain(beta)} ${trains}`;
  }

  /** Whether the number that this loss calls the ELBO is one. Null where it is. */
  function bound({ settings: { loss } }, { claimed, train }) {
    if (loss !== "g" && loss !== "std") return null;
    const why = loss === "g" ? "its KL formula wants a variance and was fed the std" : "exp(log_var) is a variance and was used as the std";
    const excess = claimed - train;
    if (!(excess > 0)) return [`So far the “ELBO” stays ${fixed(-excess)} nats below log p(x), but it is no bound: ${why}. `, "wrong"];
    return [`Not a bound: the “ELBO” exceeds the exact evidence by ${fixed(excess)} nats, for ${why}. `, "wrong"];
  }

  /** What the latent and the tube look like: words and a tone. */
  function verdict(training, now) {
    const { settings: { loss, noise }, thresholds: { collapse, evidence }, steps, stored, t } = training;
    const { sigma, kl, train, fresh, elbo, order } = now;
    const against = `σ = ${fixed(sigma)} is ${sigma < collapse ? "below" : "above"} √λmax = ${fixed(collapse, 3)}`;
    if (kl < DEAD && sigma >= collapse) {
      return [["Collapsed. ", "wrong"], `${against}: the latent carries ${fixed(kl)} nats, and every point gets the same posterior, the prior.`];
    }
    if (kl < DEAD) return [["Still dead. ", ""], `${against}, so the dead latent is unstable: life returns, the slower the nearer σ is. KL ${fixed(kl, 4)} nats.`];
    if (sigma >= collapse) {
      const both = sigma < evidence ? ` Up to σ* = ${fixed(evidence, 3)} a living latent may be the better one.` : "";
      return [["Dying. ", "wrong"], `${against}: the latent has ${fixed(kl)} nats left.${both}`];
    }
    if (sigma > 0.85 * collapse) {
      return [["Near the threshold. ", ""], `σ is ${fixed(sigma / collapse)} of √λmax: the latent carries ${fixed(kl)} nats, and everything is slow.`];
    }
    const given = fresh === null ? `The points get ${fixed(train)} nats` : `Fresh points get ${fixed(fresh)} nats`;
    if (steps < 1500 && !stored) return [[`Step ${steps}. `, ""], `From random weights to a curve: KL ${fixed(kl)} nats. ${given}.`];
    if (t && kl > 1.2 && order < 0.9) {
      return [["Folded. ", "wrong"], `The curve takes the spiral's pieces in a wrong order (rank correlation ${fixed(order)}). The evidence hardly minds, the latent does. Try new weights.`];
    }
    if (fresh !== null && train - fresh > 0.25) {
      return [["Overfitting. ", "wrong"], `Training points get ${fixed(train)} nats, fresh ones only ${fixed(fresh)}: the curve follows the noise.`];
    }
    if (t && sigma < 0.65 * noise) return [["Thin. ", ""], `The tube is ${fixed(sigma / noise)} of the noise: it leaves points outside, and they cost much. ${given}.`];
    if (t && sigma > 1.6 * noise) {
      return [["Wide. ", ""], `The tube is ${fixed(sigma / noise, 1)} times the noise: one blob covers many points, so z carries only ${fixed(kl)} nats. ${given}.`];
    }
    const gap = `lies ${fixed(train - elbo)} below log p(x): the gap`;
    if (loss === "g" || loss === "std") return [["", ""], `${given}. The true ELBO ${gap}.`];
    if (train - elbo > 0.5) return [["A wide gap. ", ""], `The curve may be right, but q is not where the exact posterior is: the ELBO ${gap}. ${given}.`];
    return [["Healthy. ", "good"], `The tube covers the cloud and follows its middle. ${given}. The ELBO ${gap}.`];
  }

  /** The sentence: its parts [words, tone], and the tone of all. */
  function sentence(training) {
    const { enough, numbers } = training;
    if (!enough) return { parts: [[`Draw at least ${PlaygroundTraining.FEWEST} points: press or drag on the plane.`, ""]], tone: "" };
    if (!numbers) return { parts: [["Measuring …", ""]], tone: "" };
    const first = [assumption(training, numbers), training.settings.loss === "mse" ? "wrong" : ""];
    const broken = bound(training, numbers);
    if (!Number.isFinite(numbers.train)) return { parts: [first, ["The curve darts too fast for exact numbers in a page.", ""]], tone: "wrong" };
    const [name, words] = verdict(training, numbers);
    const parts = [first, ...(broken ? [broken] : []), name, [words, ""]];
    return { parts, tone: parts.some(([, tone]) => tone === "wrong") ? "wrong" : name[1] };
  }

  /** The same model with the same loss, as a script. */
  function pytorch({ source, turns, noise, points, width, loss, beta, draws, sigma, learn }, drawn, address) {
    const number = (value) => String(Number(value.toPrecision(6)));
    const rows = Array.from({ length: drawn.length / 2 }, (_, i) => `[${drawn[2 * i].toFixed(3)}, ${drawn[2 * i + 1].toFixed(3)}]`);
    const data = source === "drawn" ? [`x = torch.tensor([${rows.join(", ")}])`] : [
      `t = torch.linspace(0.01, 1, ${points}).sqrt()  # evenly spaced along the spiral`,
      `angle = 2 * math.pi * ${number(turns)} * t`,
      "x = 2.5 * t[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)",
      `x = x + ${number(noise)} * torch.randn_like(x)`,
    ];
    const withPoint = (value) => number(value).replace(/^(\d+)$/, "$1.0");
    const learned = learn && loss !== "mse";
    const std = loss === "std" ? "log_var.exp()  # wrong: that is the variance" : "(0.5 * log_var).exp()";
    const kl = {
      g: "0.5 * (mu**2 + std - 1 - std.log())  # wrong: the formula wants variances",
      "no-half": "mu**2 + log_var.exp() - 1 - log_var  # wrong: twice the KL",
    }[loss] ?? "0.5 * (mu**2 + log_var.exp() - 1 - log_var)";
    const times = beta === 1 ? "" : `${number(beta)} * `;
    const lines = loss === "mse" ? [
      "    reconstruction = decoder(z)",
      `    loss = F.mse_loss(reconstruction, x.expand_as(reconstruction)) + ${times}kl.mean()  # sigma = ${number(Math.sqrt(beta))} in disguise`,
    ] : [
      "    error = (x - decoder(z)).square().sum(-1).mean(0)  # over both axes, and the mean of the draws",
      "    nll = error / (2 * sigma**2) + math.log(2 * math.pi) + 2 * sigma.log()  # -log p(x|z), constant included",
      `    loss = (nll + ${times}kl.sum(-1)).mean()`,
    ];
    return [
      `# ${address}`,
      "import math", "", "import torch", "from torch import nn", ...(loss === "mse" ? ["from torch.nn import functional as F"] : []), "",
      "torch.manual_seed(0)", ...data, "",
      `encoder = nn.Sequential(nn.Linear(2, ${width}), nn.Tanh(), nn.Linear(${width}, 2))  # mu and log_var of q(z|x)`,
      `decoder = nn.Sequential(nn.Linear(1, ${width}), nn.Tanh(), nn.Linear(${width}, 2))  # the mean of p(x|z)`,
      ...(loss === "mse" ? [] : [learned ? `log_sigma = nn.Parameter(torch.tensor(${withPoint(sigma)}).log())` : `sigma = torch.tensor(${withPoint(sigma)})`]),
      `parameters = [*encoder.parameters(), *decoder.parameters()${learned ? ", log_sigma" : ""}]`,
      "optimizer = torch.optim.Adam(parameters, lr=0.01)", "",
      "for step in range(1, 4001):",
      "    mu, log_var = encoder(x).chunk(2, dim=-1)",
      `    std = ${std}`,
      `    z = mu + std * torch.randn(${draws}, *mu.shape)  # ${draws} draw${draws > 1 ? "s" : ""} a point`,
      ...(learned ? ["    sigma = log_sigma.exp()"] : []),
      `    kl = ${kl}`,
      ...lines,
      "    optimizer.zero_grad()", "    loss.backward()", "    optimizer.step()",
      "    if step % 500 == 0:", `        print(f"step {step}: loss {loss.item():.3f}, KL {kl.mean().item():.3f}${learned ? ", sigma {sigma.item():.3f}" : ""}")`, "",
    ].join("\n");
  }

  return { LOSSES, fixed, sentence, pytorch };
})();
