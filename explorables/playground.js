/* The playground: a VAE that trains in the page, beside its exact evidence. Its parts are in playground_*.js. */
"use strict";
(() => {
  const { el, short } = Explorable;
  const { Training, SIDE, pointToText } = PlaygroundTraining;
  const { LOSSES, sentence, pytorch } = PlaygroundWords;
  const Picture = PlaygroundPicture;
  const [TRAIN, LOOK] = [8, 2]; // milliseconds of a frame for steps and for exact numbers; the rest is for the picture
  const MOST = 60; // steps a frame, so that a fast machine shows the way too
  const SILENT = 6000; // steps that are taken before the picture changes, where motion is not wanted
  const NOT_TRAINED = ["x", "y", "samples"]; // what changes the picture alone

  function build(ui) {
    const { state } = ui;
    const training = new Training(state);
    const differs = Object.keys(state).some((key) => !NOT_TRAINED.includes(key) && state[key] !== ui.specs[key].value);
    let [paused, silent] = [ui.still, ui.still && differs ? SILENT : 0];

    // ---- the page's parts

    const panels = ui.box("panels");
    const [left, right] = [ui.box("panel", panels), ui.box("panel", panels)];
    Object.assign(panels.style, { display: "flex", flexWrap: "wrap" }); // the plane wants more room than what is beside it
    left.style.flex = "1.3 1 min(100%, 19rem)";
    right.style.flex = "1 1 min(100%, 16rem)";
    const plane = ui.plane(left, {
      label: "The data, the decoder's curve and its tube, and the true curve", x: [-SIDE, SIDE], y: [-SIDE, SIDE], ratio: 1,
      margin: { left: 1, right: 1, top: 1, bottom: 1 },
    });

    const thresholds = (collapse, evidence) => (evidence < 1.04 * collapse ? [{ at: collapse, label: "√λmax: collapse" }]
      : [{ at: collapse, label: "√λmax" }, { at: evidence, label: "σ*" }]);

    /** Where sigma means something. A weight of the KL moves the thresholds as it moves the sigma that is trained. */
    const ticks = () => {
      const weight = VaeEngine.assumedSigma(state.loss, 1, state.beta);
      const limits = state.loss === "mse" ? null : training.thresholds;
      return [
        ...(training.curve ? [{ at: state.noise, label: "true noise" }] : []),
        ...(limits ? thresholds(limits.collapse / weight, limits.evidence / weight) : []),
      ];
    };
    const slider = ui.range(left, "sigma", { label: "σ, the width of the brush", log: true, steps: 400, ticks });
    ui.sentence(right);
    ui.spoken.style.minHeight = "7.2em"; // what is below shall not jump when it says more
    const latent = ui.small ? null : ui.plane(right, {
      label: "The latent axis", x: [-3.5, 3.5], y: [0, 1], ratio: 2.7, margin: { left: 2, right: 2, top: 18, bottom: 20 },
    });
    const bars = ui.plane(right, {
      label: "Nats a point", x: [-4, 0], y: [0, 1], ratio: ui.small ? 1.9 : 2.4, margin: { left: 76, right: 80, top: 2, bottom: 20 },
    });
    const history = ui.small ? null : ui.plane(right, {
      label: "The same over the steps of training", x: [0, 1], y: [0, 1], ratio: 2.7, margin: { left: 30, right: 8, top: 18, bottom: 18 },
    });

    const buttons = ui.box("row", ui.small ? right : ui.root);
    let [learn, clear, process] = [null, null, null];
    const toggle = ui.button(buttons, "pause", () => {
      if (training.resting) { training.wake(); paused = false; } else paused = !paused;
      work();
    });
    const renew = () => ui.set({ seed: (state.seed % 9999) + 1 });
    if (ui.small) {
      ui.button(buttons, "new weights", renew);
      buttons.append(el("a", { href: "back/playground.html", style: "padding: 0" }, "open the playground"));
    } else {
      ui.button(buttons, "one step", () => { paused = true; training.wake(); training.step(); work(); });
      ui.button(buttons, "new weights", renew);
      ui.ending(buttons);
      ui.button(buttons, "copy as PyTorch", (event) => ui.copy(pytorch(state, training.x, ui.address), event.target));
      const checks = ui.box("row");
      learn = ui.check(checks, "learn", { label: "learn σ" }).querySelector("input");
      ui.check(checks, "samples", { label: "200 samples of the model" });
      ui.choice(ui.box("row"), "loss", { label: "The loss", words: LOSSES });
      const sliders = ui.box("sliders");
      ui.range(sliders, "beta", { label: "β of the KL", log: true, steps: 48 });
      ui.range(sliders, "draws", { label: "L, draws of z", steps: 19 });
      ui.range(sliders, "width", { label: "hidden units" });
      const data = ui.box("row");
      ui.choice(data, "source", { label: "The data", words: { spiral: "a spiral", drawn: "draw your own" } });
      ui.button(data, "new points", () => ui.set({ set: (state.set % 9999) + 1, source: "spiral" }));
      clear = ui.button(data, "clear", () => ui.set({ drawn: "", source: "drawn" }));
      process = ui.box("sliders");
      ui.range(process, "turns", { label: "turns", steps: 50 });
      ui.range(process, "noise", { label: "true noise", log: true, steps: 60 });
      ui.range(process, "points", { label: "points" });
    }

    // ---- hands: touch a place, or draw a point

    const drop = ([x, y]) => {
      if (state.drawn.length < 4 * 200) ui.set({ drawn: state.drawn + pointToText(x, y) });
    };
    let last = null; // where the pen put its last point
    const drawing = (act) => (event) => {
      if (state.source !== "drawn" || ui.small) return;
      event.stopImmediatePropagation();
      event.preventDefault();
      act(event);
    };
    plane.canvas.addEventListener("pointerdown", drawing((event) => {
      plane.canvas.setPointerCapture(event.pointerId);
      drop(last = plane.at(event));
    }));
    plane.canvas.addEventListener("pointermove", drawing((event) => {
      if (!last) return;
      const [x, y] = plane.at(event);
      if (Math.hypot(x - last[0], y - last[1]) > 0.12) drop(last = [x, y]);
    }));
    plane.canvas.addEventListener("lostpointercapture", () => { last = null; });
    plane.canvas.addEventListener("click", drawing(() => {}));
    const knob = plane.handle({
      label: "the touched point", hue: "curve", step: [0.1, 0.1], at: () => [state.x, state.y],
      words: () => `x = ${short(state.x)}, ${short(state.y)}`, move: (x, y) => ui.set({ x, y }),
    });
    knob.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && state.source === "drawn") drop([state.x, state.y]);
    });

    // A state that the page's text names. A link will not do: the theme's script takes every #... for a selector.
    for (const button of document.querySelectorAll("button[data-playground]")) {
      button.addEventListener("click", () => {
        location.hash = `#playground?${button.dataset.playground}`;
        ui.root.scrollIntoView({ block: "center" });
      });
    }

    // ---- work: steps and exact numbers in slices of each frame

    function slice() {
      let busy = false;
      if (silent > 0) {
        const before = training.steps;
        training.train(TRAIN + LOOK, silent);
        silent -= training.steps - before;
        if (training.resting) silent = 0;
        busy = true;
      } else if (!paused && !training.resting) {
        training.train(TRAIN, MOST);
        busy = true;
      }
      if (silent === 0) busy = training.look(LOOK) || busy;
      if (training.learns) {
        const { min, max } = ui.specs.sigma;
        state.sigma = Math.min(max, Math.max(min, training.told));
        ui.show();
      }
      return busy;
    }

    function work() { ui.run(slice); }

    function changed(keys) {
      if (keys.every((key) => NOT_TRAINED.includes(key))) return;
      training.change(state, keys);
      if (paused && ui.still) silent = SILENT;
      ui.show(); // the ticks follow the data
      work();
    }

    let drawn = []; // what the slow pictures show
    function draw() {
      toggle.textContent = paused || training.resting ? "play" : "pause";
      slider.disabled = state.loss === "mse";
      if (learn) learn.disabled = state.loss === "mse";
      if (clear) clear.hidden = !(process.hidden = state.source === "drawn");
      plane.canvas.style.touchAction = state.source === "drawn" ? "none" : "";
      ui.root.dataset.steps = training.steps;
      if (silent > 0) {
        ui.say([`Training for ${SILENT} steps; then the picture changes.`]);
        return;
      }
      const touched = training.enough ? training.touch(state.x, state.y) : null;
      Picture.drawPlane(ui, plane, training, touched, state.samples && !ui.small);
      if (latent) Picture.drawLatent(ui, latent, training, touched);
      const now = [training.numbers, training.history.length, bars.root.clientWidth, ui.colors.text];
      if (now.some((value, i) => value !== drawn[i])) { // a few times a second
        drawn = now;
        Picture.drawBars(ui, bars, training);
        if (history) Picture.drawHistory(ui, history, training);
      }
      const { parts, tone } = sentence(training);
      ui.say(parts.map(([words, kind]) => (kind ? el("strong", { class: kind }, words) : words)), tone);
    }

    work();
    return { draw, changed, reset: () => { [paused, silent] = [ui.still, 0]; training.renew(); work(); } };
  }

  Explorable.define("playground", {
    caption: "A VAE trains on 200 noisy points; beside it, log p(x) computed exactly. Drag σ: too small and the curve follows the noise, too large "
      + "and one blob covers everything. Touch a point: amber is where the encoder puts its z, blue where the exact posterior does.",
    state: {
      sigma: { value: 0.2, min: 0.03, max: 5 },
      learn: { value: false },
      loss: { value: "right", options: Object.keys(LOSSES) },
      beta: { value: 1, min: 0.1, max: 10 },
      draws: { value: 1, min: 1, max: 20, whole: true },
      width: { value: 32, min: 2, max: 64, whole: true },
      seed: { value: 0, min: 0, max: 9999, whole: true },
      source: { value: "spiral", options: ["spiral", "drawn"] },
      turns: { value: 1.4, min: 0.5, max: 3 },
      noise: { value: 0.2, min: 0.02, max: 0.8 },
      points: { value: 200, min: 10, max: 400, whole: true },
      set: { value: 0, min: 0, max: 9999, whole: true },
      drawn: { value: "", pattern: /^(?:[A-Za-z0-9_-]{4}){0,200}$/ },
      samples: { value: false },
      x: { value: 1.2, min: -SIDE, max: SIDE },
      y: { value: 1, min: -SIDE, max: SIDE },
    },
    build,
  });
})();
