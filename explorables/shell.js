/* What every explorable shares: its state and address, its colours, and when it may run. Controls are in controls.js,
   planes in plane.js.

   Explorable.define("kl-landscape", {
     caption: "Words under the figure.",
     state: {                                            // what the address holds: #kl-landscape?mu=1.2&formula=g
       mu: { value: 1.2, min: -3, max: 3 },              // a number; `whole: true` for an integer
       formula: { value: "f", options: ["f", "g"] },     // one of these words
       open: { value: false },                           // a switch
       points: { value: "", pattern: /^[0-9,]{0,999}$/ } // a text
     },
     build(ui) {                                         // fills ui.root, once
       return { draw() {}, changed(keys) {}, reset() {} }; // the last two may be missing
     },
   });

   What comes from an address is parsed, clamped, and never becomes markup: all text goes through textContent. */
"use strict";
(() => {
  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  const HUES = ["data", "curve", "decoder", "encoder", "posterior", "prior", "elbo", "kl", "samples", "wrong"];
  const COLORS = [...HUES, ...HUES.map((hue) => `${hue}-ink`), "text", "muted", "guide", "page"];

  /** An element. Attributes that start with "on" are listeners; false and null leave an attribute out. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  /** Three digits, as a reader says them: 0.0123, 1.36, 224. */
  const short = (value) => (value === 0 ? "0" : String(Number(value.toPrecision(3)))).replace("-", "−");

  /** A value from outside as its specification allows it, or the default. */
  function admitted(spec, given) {
    if (spec.options) return spec.options.includes(given) ? given : spec.value;
    if (typeof spec.value === "boolean") {
      if (given === true || given === "1") return true;
      return given === false || given === "0" ? false : spec.value;
    }
    if (spec.pattern) return typeof given === "string" && spec.pattern.test(given) ? given : spec.value;
    const number = given === "" ? NaN : Number(given);
    if (!Number.isFinite(number)) return spec.value;
    const inside = Math.min(spec.max, Math.max(spec.min, number));
    return spec.whole ? Math.round(inside) : inside;
  }

  class Shell {
    constructor(root, name, definition) {
      Object.assign(this, { root, name, el, short, specs: definition.state, small: root.dataset.size === "small" });
      this.controls = []; // each shows the state on one control
      this.state = this.defaults();
      Object.assign(this.state, this.fromAddress());
      this.colors = {};
      this.inView = false;
      this.parts = definition.build(this);
      this.show();
      this.readColors();
      new MutationObserver(() => this.readColors()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      new IntersectionObserver((entries) => {
        this.inView = entries.at(-1).isIntersecting;
        this.last = undefined;
        this.redraw();
      }, { rootMargin: "100px" }).observe(root);
      for (const kind of ["pointerdown", "keydown"]) root.addEventListener(kind, () => { this.touched = true; });
      addEventListener("hashchange", () => {
        const given = this.fromAddress();
        if (given) this.set({ ...this.defaults(), ...given }, { remember: false });
      });
    }

    get still() { return stillness.matches; }

    defaults() { return Object.fromEntries(Object.entries(this.specs).map(([key, spec]) => [key, spec.value])); }

    // ---- the address

    /** What the address says about this explorable, or null if it speaks of something else. */
    fromAddress() {
      const [name, query] = location.hash.slice(1).split("?");
      if (name !== this.name || query === undefined) return null;
      const given = new URLSearchParams(query);
      const known = Object.entries(this.specs).filter(([key]) => given.has(key));
      return Object.fromEntries(known.map(([key, spec]) => [key, admitted(spec, given.get(key))]));
    }

    /** The address of the present state; what is at its default is left out. */
    get address() {
      const query = new URLSearchParams();
      for (const [key, spec] of Object.entries(this.specs)) {
        const value = this.state[key];
        if (value === spec.value) continue;
        query.set(key, typeof value === "string" ? value : Number(Number(value).toPrecision(6))); // a switch is 0 or 1
      }
      return `${location.href.split("#")[0]}#${this.name}?${query}`;
    }

    // ---- the state

    /** Change the state: the controls follow, the picture is drawn again, and once the hand rests the address tells it. */
    set(changes, { remember = true } = {}) {
      const keys = Object.keys(changes).filter((key) => admitted(this.specs[key], changes[key]) !== this.state[key]);
      for (const key of keys) this.state[key] = admitted(this.specs[key], changes[key]);
      if (!keys.length) return;
      this.show();
      this.parts.changed?.(keys);
      this.redraw();
      if (!remember) return;
      const { dataset } = this.root; // how many changes there were, and how many of them the address tells
      dataset.changes = Number(dataset.changes ?? 0) + 1;
      clearTimeout(this.writing);
      this.writing = setTimeout(() => {
        history.replaceState(history.state, "", this.address);
        dataset.told = dataset.changes;
      }, 300);
    }

    show() { for (const control of this.controls) control(); }

    // ---- time: nothing runs or is drawn out of view

    redraw() { this.frame ||= requestAnimationFrame((now) => this.turn(now)); }

    /** Call step(milliseconds) before each frame, until it returns false. */
    run(step) { this.step = step; this.last = undefined; this.redraw(); }

    stop() { this.step = null; }

    turn(now) {
      this.frame = 0;
      if (!this.inView) return;
      if (this.step) {
        const passed = Math.min(50, now - (this.last ?? now - 16));
        this.last = now;
        if (this.step(passed) === false) this.step = null;
      }
      this.parts.draw();
      if (this.step) this.redraw();
    }

    readColors() {
      const style = getComputedStyle(this.root);
      this.font = style.fontFamily;
      for (const name of COLORS) this.colors[name] = style.getPropertyValue(`--ex-${name}`).trim();
      this.redraw();
    }
  }

  /** Build it in its div; where that names a static figure, inside this one, in place of its picture and its caption. */
  function start(root, name, definition) {
    const figure = document.getElementById(root.dataset.replaces ?? "");
    const fallback = [...root.childNodes];
    root.replaceChildren();
    root.classList.add("started");
    try {
      new Shell(root, name, definition);
    } catch (error) { // the page stays as it is without JavaScript
      root.replaceChildren(...fallback);
      root.classList.remove("started");
      throw error;
    }
    root.id ||= name;
    if (figure) {
      figure.classList.add("has-explorable");
      figure.prepend(root);
      figure.querySelector(".caption-text")?.after(el("span", { class: "caption-text of-explorable" }, definition.caption));
    }
    if (location.hash.startsWith(`#${name}?`)) root.scrollIntoView({ block: "center" });
  }

  globalThis.Explorable = {
    define(name, definition) {
      for (const root of document.querySelectorAll(`div.explorable[data-explorable="${name}"]`)) start(root, name, definition);
    },
    Shell,
    el,
    short,
    admitted,
  };
})();
