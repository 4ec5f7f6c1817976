/* Chapter 12: the two-dimensional latent of its digits. Weights, images and codes were stored by the chapter. */
"use strict";
(() => {
  const { el } = Explorable;
  const DATA = VaeData.latent_plane;
  const LEVELS = "0123456789abcdefg"; // of grey, 0 to 16
  const SIDE = 8;
  const encode = Networks.network(DATA.weights, "encoder");
  const decode = Networks.network(DATA.weights, "decoder");
  const pixels = (text) => Array.from(text, (level) => (LEVELS.indexOf(level) + 0.5) / LEVELS.length);
  const q = (text) => {
    const out = encode(pixels(text));
    return { mean: [out[0], out[1]], std: [Math.exp(0.5 * out[2]), Math.exp(0.5 * out[3])] };
  };
  const POSTERIORS = DATA.images.map(q);
  const CODES = POSTERIORS.map(({ mean }) => mean);
  const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const density = Networks.aggregate(CODES, POSTERIORS.map(({ std }) => std));
  const prior = ([a, b]) => Math.exp(-0.5 * (a * a + b * b)) / (2 * Math.PI);
  const RING = (mass) => Math.sqrt(-2 * Math.log(1 - mass)); // the radius that holds this share of the prior
  const { normal } = VaeEngine.random(3);
  const NOISE = Array.from({ length: SIDE * SIDE }, () => DATA.sigma * normal()); // the same grain everywhere
  const EDGE = 3.15; // of the map
  const STEPS = 9; // of the walk
  const fixed = (value) => value.toFixed(2).replace("-", "−");

  /** The images by their distance from z in the latent. */
  function nearest(z, count) {
    const far = CODES.map((code) => distance(code, z));
    return CODES.map((_, n) => n).sort((a, b) => far[a] - far[b]).slice(0, count);
  }

  /** Of each class the image in its middle. */
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const MIDDLE = Array.from({ length: 10 }, (_, digit) => {
    const own = CODES.filter((_, n) => DATA.labels[n] === digit);
    const centre = [0, 1].map((axis) => median(own.map((code) => code[axis])));
    return nearest(centre, CODES.length).find((n) => DATA.labels[n] === digit);
  });

  /** Values from 0 to 1, row by row, as a square picture of one colour. */
  function bitmap(values, color) {
    const width = Math.sqrt(values.length);
    const canvas = el("canvas", { width, height: width });
    const pen = canvas.getContext("2d");
    values.forEach((value, i) => {
      pen.globalAlpha = Math.min(1, Math.max(0, value));
      pen.fillStyle = color;
      pen.fillRect(i % width, Math.floor(i / width), 1, 1);
    });
    return canvas;
  }

  const across = (count) => Array.from({ length: count }, (_, i) => -EDGE + (2 * EDGE * (i + 0.5)) / count);

  /** The aggregate over the map, 1 at its highest. */
  function aggregateOverMap(count = 48) {
    const values = across(count).reverse().flatMap((y) => across(count).map((x) => density([x, y])));
    const top = Math.max(...values);
    return values.map((value) => Math.sqrt(value / top));
  }

  /** What the decoder makes of the map: a tile for each place. */
  function tilesOverMap(count = 15) {
    const values = new Float64Array((count * SIDE) ** 2);
    across(count).reverse().forEach((y, row) => across(count).forEach((x, column) => {
      decode([x, y]).forEach((value, i) => {
        values[(row * SIDE + Math.floor(i / SIDE)) * count * SIDE + column * SIDE + (i % SIDE)] = value;
      });
    }));
    return values;
  }

  function build(ui) {
    const { state, colors } = ui;
    const at = () => [state.z1, state.z2];
    const move = (z1, z2) => ui.set({ z1, z2 });
    const panels = ui.box("panels");
    const [left, right] = [ui.box("panel", panels), ui.box("panel", panels)];
    const edge = { left: 1, right: 1, top: 1, bottom: 1 };
    const map = ui.plane(left, {
      label: "The latent plane with the codes of 400 held-out images",
      x: [-EDGE, EDGE], y: [-EDGE, EDGE], ratio: 1, margin: edge,
    });
    map.handle({
      label: "z, which is decoded", hue: "decoder", step: [0.1, 0.1], at, move,
      words: () => `z is ${fixed(state.z1)}, ${fixed(state.z2)}`,
    });
    const row = ui.box("row", left);
    ui.choice(row, "ground", { label: "Map", words: { codes: "codes of images", tiles: "decoded" } });

    const here = ui.plane(right, { label: "The decoded image", x: [0, 1], y: [0, 1], ratio: 2.55, margin: edge });
    ui.choice(ui.box("row", right), "show", { label: "Decoded", words: { mean: "mean", sample: "sample" } });
    const halves = "display: grid; grid-template-columns: 1fr 1fr; gap: 0.6rem; margin-top: 0.5rem";
    const both = right.appendChild(el("div", { style: halves }));
    const half = (title) => both.appendChild(el("div", {}, el("p", { class: "title" }, title)));
    const [own, again] = [half("Draw here"), half("Its reconstruction")];
    const pad = DigitPad.pad(ui, own, LEVELS);
    const unit = { x: [0, 1], y: [0, 1], margin: edge };
    const back = ui.plane(again, { ...unit, label: "The reconstruction of your digit", ratio: 1 });
    const actions = ui.box("row", right);
    ui.button(actions, "clear", () => ui.set({ drawn: "0".repeat(SIDE * SIDE) }));
    ui.button(actions, "next image", () => {
      next = (next + 1) % DATA.images.length;
      ui.set({ drawn: DATA.images[next] });
    });
    let next = DATA.images.indexOf(state.drawn);

    const digits = Object.fromEntries(Array.from("0123456789", (digit) => [digit, digit]));
    const walk = ui.box("row");
    ui.select(walk, "from", { label: "Walk from", words: digits });
    ui.select(walk, "to", { label: "to", words: digits });
    const percent = (value) => `${Math.round(100 * value)} %`;
    const slider = ui.range(walk, "along", { label: "put z on the way", steps: 100, format: percent });
    slider.parentNode.style.flex = "1 1 12rem";
    const strip = ui.plane(ui.root, { ...unit, label: "Decoded images along the walk", ratio: STEPS });
    strip.root.style.minHeight = 0;
    ui.sentence();
    ui.ending(ui.box("row"));

    const ends = () => [CODES[MIDDLE[state.from]], CODES[MIDDLE[state.to]]];
    const onWalk = (part) => { const [a, b] = ends(); return a.map((value, axis) => value + part * (b[axis] - value)); };
    const go = () => move(...onWalk(state.along));
    walk.addEventListener("change", go);
    slider.addEventListener("input", go);

    // ---- the picture

    const kept = {}; // pictures of the whole map, for the present colours
    function ground(name, values, color) {
      if (kept[name]?.color !== color) kept[name] = { color, picture: bitmap(values(), color) };
      const { left: x, top: y, width, height } = map.inner;
      map.pen.imageSmoothingEnabled = name === "codes";
      map.pen.drawImage(kept[name].picture, x, y, width, height);
    }

    /** A hue of its own for each class, of the theme's lightness. Only for the eye: the character says it too. */
    const hue = (digit) => {
      const dark = document.documentElement.dataset.theme === "dark";
      return `oklch(${dark ? 0.8 : 0.5} ${dark ? 0.13 : 0.17} ${(digit * 108 + 20) % 360})`;
    };

    /** [xs, ys] of an ellipse along the axes. */
    const ellipse = (centre, radii) => [Math.cos, Math.sin].map((turn, axis) => (
      Array.from({ length: 73 }, (_, i) => centre[axis] + radii[axis] * turn((i * Math.PI) / 36))
    ));

    function drawMap(mine) {
      const words = { size: 12, halo: true };
      map.begin();
      map.inside(() => {
        if (state.ground === "codes") {
          ground("codes", aggregateOverMap, colors.encoder);
          map.area(map.x, [-EDGE, -EDGE], [EDGE, EDGE], { color: colors.page, alpha: 0.45 });
        } else ground("tiles", tilesOverMap, colors.text);
        if (state.ground === "codes") {
          CODES.forEach(([x, y], n) => map.text(x, y, String(DATA.labels[n]), {
            size: 11, weight: 700, align: "center", base: "middle", color: hue(DATA.labels[n]),
          }));
        }
        for (const [mass, label] of [[0.5, "50 %"], [0.95, "95 % of the prior"]]) { // after the digits, or these cover it
          const radius = RING(mass);
          map.line(...ellipse([0, 0], [radius, radius]), { color: colors.prior, dash: [6, 4] });
          map.text(0, -radius, label, { ...words, dy: 12, align: "center", color: colors["prior-ink"] });
        }
        const [a, b] = ends();
        map.line([a[0], b[0]], [a[1], b[1]], { color: colors.page, width: 5 });
        map.line([a[0], b[0]], [a[1], b[1]], { color: colors.text, width: 2 });
        for (const [[x, y], digit] of [[a, state.from], [b, state.to]]) {
          map.dots([x], [y], { color: colors.text, radius: 9 });
          map.text(x, y, digit, { align: "center", base: "middle", weight: 700, color: colors.page });
        }
        const around = ellipse(mine.mean, mine.std.map((std) => 2 * std));
        map.line(...around, { color: colors.page, width: 6 });
        map.line(...around, { color: colors["encoder-ink"], width: 3 });
        const beside = { ...words, dx: 5, base: "middle", weight: 600, color: colors["encoder-ink"] };
        map.text(mine.mean[0] + 2 * mine.std[0], mine.mean[1], "q of yours", beside);
      });
      map.axes();
      map.write(map.width - 6, map.height - 8, "z₁", { align: "right", halo: true });
      map.write(6, 16, "z₂", { halo: true });
      map.end();
    }

    function drawHere(z) {
      here.begin();
      const size = here.height - 3;
      const mean = decode(z);
      DigitPad.image(here, state.show === "mean" ? mean : mean.map((value, i) => value + NOISE[i]), 1, 1, size);
      const found = nearest(z, 6);
      const [start, gap] = [size + 14, 5];
      const small = Math.min((here.width - start - 2 * gap - 2) / 3, (size - 18 - gap) / 2);
      here.write(start, 12, "nearest images", { size: 12, weight: 600 });
      found.forEach((n, i) => {
        const [x, y] = [start + (i % 3) * (small + gap), 18 + Math.floor(i / 3) * (small + gap)];
        DigitPad.image(here, pixels(DATA.images[n]), x, y, small);
        const label = { size: 12, weight: 700, align: "right", color: hue(DATA.labels[n]), halo: true };
        here.write(x + small - 2, y + 11, String(DATA.labels[n]), label);
      });
      const digitsOf = found.map((n) => DATA.labels[n]).join(", ");
      here.describe(`Decoded ${state.show} at z; the nearest held-out images are ${digitsOf}`);
      here.end();
      return found;
    }

    function drawPad(mine) {
      const given = pixels(state.drawn);
      const means = decode(mine.mean);
      pad.draw(given);
      back.begin();
      DigitPad.image(back, means, 1, 1, back.width - 2);
      back.end();
      return Math.sqrt(given.reduce((sum, value, i) => sum + (value - means[i]) ** 2, 0) / given.length);
    }

    function drawStrip() {
      strip.begin();
      const size = Math.min(strip.height - 2, strip.width / STEPS - 6);
      for (let i = 0; i < STEPS; i++) {
        const x = (i * (strip.width - size - 2)) / (STEPS - 1) + 1;
        DigitPad.image(strip, decode(onWalk(i / (STEPS - 1))), x, 1, size);
      }
      strip.describe(`Decoded images on the way from a ${state.from} to a ${state.to}`);
      strip.end();
    }

    function tell(z, found, mine, error) {
      const counts = found.reduce((all, n) => ({ ...all, [DATA.labels[n]]: (all[DATA.labels[n]] ?? 0) + 1 }), {});
      const kinds = Object.keys(counts).sort((a, b) => counts[b] - counts[a]);
      const yours = ` Your digit: error ${fixed(error)} a pixel, σ is ${fixed(DATA.sigma)}.`;
      if (density(z) < 0.1 * prior(z)) {
        const why = Math.hypot(...z) < RING(0.95)
          ? "The prior does draw such a z, and the decoder answers with a shape that no image taught it."
          : "The prior hardly does either: fewer than 1 in 20 of its draws lie so far out.";
        ui.say([el("span", { class: "wrong" }, "No image sends its code here. "), why, yours], "wrong");
      } else if (counts[kinds[0]] >= 5) {
        const many = `${counts[kinds[0]]} of the 6 nearest images are ${kinds[0]}s, and the loss never saw a label.`;
        ui.say([el("span", { class: "good" }, `A patch of ${kinds[0]}s. `), many, yours], "good");
      } else {
        const names = `${kinds.slice(0, -1).join(", ")} and ${kinds.at(-1)} are among the 6 nearest images.`;
        ui.say([`Classes share this place: ${names} One mean serves them all, so it is blurred.`, yours]);
      }
    }

    function draw() {
      const z = at();
      const mine = q(state.drawn);
      drawMap(mine);
      const found = drawHere(z);
      const error = drawPad(mine);
      drawStrip();
      tell(z, found, mine, error);
    }
    return { draw };
  }

  Explorable.define("latent-plane", {
    caption: "Does a loss without labels sort digits? Each character is an image that the fit never saw, at the mean of its q; "
      + "the digits and their colours are ours. The amber haze is the aggregate of all q. Drag z to see what the decoder "
      + "makes of it, draw a digit to see its q (amber, two standard deviations), or walk from one digit to another.",
    state: {
      z1: { value: -0.4, min: -EDGE, max: EDGE },
      z2: { value: 0.3, min: -EDGE, max: EDGE },
      show: { value: "mean", options: ["mean", "sample"] },
      ground: { value: "codes", options: ["codes", "tiles"] },
      drawn: { value: DATA.images[0], pattern: /^[0-9a-g]{64}$/ },
      from: { value: "6", options: Array.from("0123456789") },
      to: { value: "7", options: Array.from("0123456789") },
      along: { value: 0, min: 0, max: 1 },
    },
    build,
  });
})();
