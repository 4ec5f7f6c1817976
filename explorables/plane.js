/* A plane to draw on: a canvas at the device's resolution, with axes, marks in data units, and handles that can be dragged by
   mouse, finger and keyboard. */
"use strict";
(() => {
  const { el } = Explorable;

  class Plane {
    /** x, y: [low, high]. ratio: width / height. logX: a logarithmic x axis.
        margin: room in pixels for what stands outside the axes. label: what the picture is, for those who do not see it. */
    constructor(ui, parent, { label, x, y, ratio = 1.4, logX = false, margin = {}, xLabel = "", yLabel = "" }) {
      Object.assign(this, { ui, x, y, logX, xLabel, yLabel, handles: [] });
      this.margin = { left: yLabel ? 50 : 34, right: 10, top: 8, bottom: xLabel ? 38 : 22, ...margin };
      this.canvas = el("canvas", { role: "img", "aria-label": label });
      this.root = parent.appendChild(el("div", { class: "plane", style: `aspect-ratio: ${ratio}` }, this.canvas));
      this.pen = this.canvas.getContext("2d");
      new ResizeObserver(() => ui.redraw()).observe(this.root);
    }

    describe(text) { if (this.canvas.ariaLabel !== text) this.canvas.ariaLabel = text; }

    // ---- from data to pixels and back

    get inner() {
      const { left, right, top, bottom } = this.margin;
      return { left, top, width: this.width - left - right, height: this.height - top - bottom };
    }

    part(value) {
      const [low, high] = this.x;
      return this.logX ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    }

    px(value) { return this.margin.left + this.inner.width * this.part(value); }

    py(value) { return this.margin.top + this.inner.height * (1 - (value - this.y[0]) / (this.y[1] - this.y[0])); }

    /** The place of a pointer event, in data units. */
    at(event) {
      const box = this.canvas.getBoundingClientRect();
      const [low, high] = this.x;
      const across = (event.clientX - box.left - this.inner.left) / this.inner.width;
      const up = 1 - (event.clientY - box.top - this.inner.top) / this.inner.height;
      return [this.logX ? low * (high / low) ** across : low + across * (high - low), this.y[0] + up * (this.y[1] - this.y[0])];
    }

    // ---- drawing; each draw() of an explorable starts with begin() and ends with end()

    begin() {
      const scale = devicePixelRatio || 1;
      this.width = this.root.clientWidth;
      this.height = this.root.clientHeight;
      const [width, height] = [Math.round(this.width * scale), Math.round(this.height * scale)];
      if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
      this.pen.setTransform(scale, 0, 0, scale, 0, 0);
      this.pen.clearRect(0, 0, this.width, this.height);
    }

    end() { for (const place of this.handles) place(); }

    /** The frame, with ticks at these values; a tick may be [value, "word"]. */
    axes({ x = [], y = [] } = {}) {
      const { left, top, width, height } = this.inner;
      const { pen, ui } = this;
      pen.strokeStyle = ui.colors.guide;
      pen.lineWidth = 1;
      pen.strokeRect(left, top, width, height);
      const word = (tick) => (Array.isArray(tick) ? tick : [tick, ui.short(tick)]);
      for (const [value, name] of x.map(word)) {
        this.mark([[this.px(value), top + height], [this.px(value), top + height + 4]], { color: ui.colors.guide, width: 1 });
        this.write(this.px(value), top + height + 6, name, { align: "center", base: "top", color: ui.colors.muted });
      }
      for (const [value, name] of y.map(word)) {
        this.mark([[left - 4, this.py(value)], [left, this.py(value)]], { color: ui.colors.guide, width: 1 });
        this.write(left - 6, this.py(value), name, { align: "right", base: "middle", color: ui.colors.muted });
      }
      this.write(left + width / 2, this.height - 1, this.xLabel, { align: "center", base: "bottom" });
      if (this.yLabel) {
        pen.save();
        pen.translate(1, top + height / 2);
        pen.rotate(-Math.PI / 2);
        this.write(0, 0, this.yLabel, { align: "center", base: "top" });
        pen.restore();
      }
    }

    /** Draw only inside the axes. */
    inside(drawing) {
      const { left, top, width, height } = this.inner;
      this.pen.save();
      this.pen.beginPath();
      this.pen.rect(left, top, width, height);
      this.pen.clip();
      drawing();
      this.pen.restore();
    }

    /** A path through pixels [[x, y], ...]. */
    mark(places, { color, width = 2, dash = [], alpha = 1, fill = null, round = false }) {
      const { pen } = this;
      pen.beginPath();
      for (const [x, y] of places) pen.lineTo(x, y);
      pen.globalAlpha = alpha;
      if (fill) { pen.fillStyle = fill; pen.fill(); }
      if (color) {
        const [lineJoin, lineCap] = ["round", round ? "round" : "butt"];
        Object.assign(pen, { strokeStyle: color, lineWidth: width, lineJoin, lineCap });
        pen.setLineDash(dash);
        pen.stroke();
        pen.setLineDash([]);
      }
      pen.globalAlpha = 1;
    }

    write(x, y, text, style = {}) {
      const { color = this.ui.colors.text, align = "left", base = "alphabetic", size = 13, weight = 400, halo = false } = style;
      const { pen } = this;
      Object.assign(pen, { font: `${weight} ${size}px ${this.ui.font}`, textAlign: align, textBaseline: base });
      if (halo) {
        Object.assign(pen, { strokeStyle: this.ui.colors.page, lineWidth: 4, lineJoin: "round" });
        pen.strokeText(text, x, y);
      }
      pen.fillStyle = color;
      pen.fillText(text, x, y);
    }

    // The same in data units. xs and ys are arrays of equal length.

    points(xs, ys) { return Array.from(xs, (x, i) => [this.px(x), this.py(ys[i])]); }

    line(xs, ys, style) { this.mark(this.points(xs, ys), style); }

    /** The area between two curves over xs. */
    area(xs, low, high, { color, alpha = 0.25 }) {
      this.mark([...this.points(xs, low), ...this.points(xs, high).reverse()], { fill: color, alpha });
    }

    /** All that lies within `width` (a number of the y axis) of a curve. */
    tube(xs, ys, width, { color, alpha = 0.28 }) {
      const { pen } = this;
      const radius = Math.max(1, Math.abs(this.py(width) - this.py(0)));
      const places = this.points(xs, ys);
      if (radius < 25) { // a wide stroke of a bent line has notches, which discs have not
        this.mark(places, { color, alpha, width: 2 * radius, round: true });
        return;
      }
      pen.beginPath();
      for (const [x, y] of places) {
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 2 * Math.PI);
      }
      Object.assign(pen, { fillStyle: color, globalAlpha: alpha });
      pen.fill();
      pen.globalAlpha = 1;
    }

    /** Dots; with ring, their edge only. radius: a number, or one for each. */
    dots(xs, ys, { color, radius = 3, alpha = 1, ring = 0 }) {
      const { pen } = this;
      Object.assign(pen, { globalAlpha: alpha, fillStyle: color, strokeStyle: color, lineWidth: ring });
      for (let i = 0; i < xs.length; i++) {
        pen.beginPath();
        pen.arc(this.px(xs[i]), this.py(ys[i]), radius[i] ?? radius, 0, 2 * Math.PI);
        if (ring) pen.stroke();
        else pen.fill();
      }
      pen.globalAlpha = 1;
    }

    text(x, y, words, { dx = 0, dy = 0, ...style } = {}) { this.write(this.px(x) + dx, this.py(y) + dy, words, style); }

    /** A straight line across the plane at x or at y. */
    rule({ x, y }, style) {
      const across = x === undefined ? [this.x, [y, y]] : [[x, x], this.y];
      this.line(...across, style);
    }

    /** An arrow between two places in pixels. */
    arrow([x0, y0], [x1, y1], { color, width = 2.5 }) {
      const length = Math.hypot(x1 - x0, y1 - y0);
      if (length < 2) return;
      const [ux, uy, head] = [(x1 - x0) / length, (y1 - y0) / length, Math.min(9, length)];
      this.mark([[x0, y0], [x1 - ux * head * 0.7, y1 - uy * head * 0.7]], { color, width });
      const [x, y, side] = [x1 - ux * head, y1 - uy * head, 0.5 * head];
      this.mark([[x1, y1], [x - uy * side, y + ux * side], [x + uy * side, y - ux * side]], { fill: color });
    }

    /** A handle to drag: at() -> [x, y]; move(x, y); step: what an arrow key moves, [dx, dy]; words() -> its value as text;
        grab() and release() frame a drag. With `anywhere`, a press beside it takes it there. */
    handle({ label, hue, at, move, step, words, grab = () => {}, release = () => {}, anywhere = true }) {
      const { canvas } = this;
      const [min, max] = this.x;
      const knob = el("div", { class: "handle", role: "slider", tabindex: 0, "aria-label": label });
      Object.assign(knob, { ariaValueMin: min, ariaValueMax: max, ariaValueNow: min }); // of now: until it is drawn
      knob.style.setProperty("--hue", `var(--ex-${hue})`);
      this.root.append(knob);
      const go = (event) => move(...this.at(event));
      const take = (event) => {
        event.preventDefault();
        knob.focus({ preventScroll: true });
        knob.setPointerCapture(event.pointerId);
        grab();
        go(event);
      };
      knob.addEventListener("pointerdown", take);
      knob.addEventListener("pointermove", (event) => { if (knob.hasPointerCapture(event.pointerId)) go(event); });
      knob.addEventListener("lostpointercapture", release);
      if (anywhere) {
        canvas.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse") take(event); });
        canvas.addEventListener("click", (event) => { // a finger on the plane may mean to scroll the page: only its tap counts
          if (event.pointerType === "mouse") return;
          grab();
          go(event);
          release();
        });
      }
      const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      knob.addEventListener("keydown", (event) => {
        const way = ways[event.key];
        if (!way) return;
        event.preventDefault();
        const far = event.shiftKey ? 5 : 1;
        const [x, y] = at();
        move(x + far * way[0] * step[0], y + far * way[1] * step[1]);
      });
      this.handles.push(() => {
        const [x, y] = at();
        knob.style.left = `${this.px(x)}px`;
        knob.style.top = `${this.py(y)}px`;
        Object.assign(knob, { ariaValueNow: Number(x.toPrecision(4)), ariaValueText: words() });
      });
      return knob;
    }
  }

  Explorable.Plane = Plane;
})();
