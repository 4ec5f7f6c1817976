/* The parts of the page that an explorable is made of: boxes, the sentence, buttons, and native, labelled controls, each bound
   to a key of the state. Methods of Explorable.Shell. */
"use strict";
(() => {
  const { el, short } = Explorable;
  let made = 0; // for ids

  Object.assign(Explorable.Shell.prototype, {
    /** A box in `parent` (by default the explorable): "panels" stand side by side where there is room, "row" wraps. */
    box(kind, parent = this.root) { return parent.appendChild(el("div", { class: kind })); },

    /** The sentence that says what is to be seen; say(...) fills it, and once it rests it is read out to
        those who have touched something. */
    sentence(parent = this.root) {
      this.spoken = parent.appendChild(el("p", { class: "sentence" }));
      this.status = parent.appendChild(el("p", { class: "for-ears", role: "status" }));
    },

    /** Say it: strings and elements. A tone ("wrong", "good") colours the line's edge. */
    say(parts, tone = "") {
      const words = el("p", {}, ...parts);
      if (this.spoken.textContent === words.textContent && this.spoken.dataset.tone === tone) return;
      this.spoken.replaceChildren(...words.childNodes);
      this.spoken.dataset.tone = tone;
      clearTimeout(this.speaking);
      if (!this.touched) return;
      this.speaking = setTimeout(() => { this.status.textContent = this.spoken.textContent; }, 800);
    },

    button(parent, label, act) { return parent.appendChild(el("button", { type: "button", onclick: act }, label)); },

    /** "reset" and "copy link". */
    ending(parent) {
      this.button(parent, "reset", () => { this.set(this.defaults()); this.parts.reset?.(); this.redraw(); });
      this.button(parent, "copy link", (event) => this.copy(this.address, event.target));
    },

    /** Copy a text, or where that is forbidden show it to be copied by hand. */
    async copy(text, button) {
      try {
        await navigator.clipboard.writeText(text);
        const label = button.textContent;
        button.textContent = "copied";
        setTimeout(() => { button.textContent = label; }, 1500);
      } catch {
        const field = el("textarea", { class: "by-hand", readonly: true, "aria-label": "copy this text" });
        field.addEventListener("blur", () => field.remove());
        field.value = text;
        button.after(field);
        field.select();
      }
    },

    // ---- controls: native, labelled, bound to a key of the state

    control(parent, kind, label, input) {
      input.id = `explorable-${++made}`;
      return parent.appendChild(el("div", { class: `control ${kind}` }, el("label", { for: input.id }, label), input));
    },

    /** A slider. With log, equal ways are equal ratios. ticks() -> [{ at, label }] are places to go to by a click. */
    range(parent, key, { label, log = false, steps = 200, format = short, ticks = null }) {
      const { min, max, whole } = this.specs[key];
      const top = whole && !log ? max - min : steps;
      const share = (value) => (log ? Math.log(value / min) / Math.log(max / min) : (value - min) / (max - min));
      const at = (part) => (log ? min * (max / min) ** part : min + part * (max - min));
      const input = el("input", { type: "range", min: 0, max: top, step: 1 });
      input.addEventListener("input", () => this.set({ [key]: Number(at(input.value / top).toPrecision(6)) }));
      const box = this.control(parent, "range", label, input);
      const value = el("span", { class: "value", "aria-hidden": "true" });
      const marks = el("div", { class: "ticks" });
      input.before(value);
      if (ticks) box.append(marks);
      this.controls.push(() => {
        const now = this.state[key];
        input.value = Math.round(top * share(now));
        value.textContent = format(now);
        input.setAttribute("aria-valuetext", format(now));
        if (!ticks) return;
        const places = ticks().filter((tick) => tick.at >= min && tick.at <= max);
        const told = JSON.stringify(places);
        if (marks.dataset.told === told) return;
        marks.dataset.told = told;
        marks.replaceChildren(...places.map((tick, row) => el("button", {
          type: "button", style: `--part: ${share(tick.at)}; --row: ${row % 2}`, onclick: () => this.set({ [key]: tick.at }),
        }, tick.label, el("span", { class: "for-ears" }, `: set ${label} to ${format(tick.at)}`))));
        marks.style.setProperty("--rows", Math.min(2, places.length));
      });
      return input;
    },

    /** One of few: radio buttons. `words` maps each option to its text. */
    choice(parent, key, { label, words }) {
      const group = `explorable-${++made}`;
      const radios = this.specs[key].options.map((option) => el("input", {
        type: "radio", name: group, value: option, onchange: () => this.set({ [key]: option }),
      }));
      const labels = radios.map((radio) => el("label", {}, radio, el("span", {}, words[radio.value])));
      const box = parent.appendChild(el("fieldset", { class: "control choice" }, el("legend", {}, label), ...labels));
      this.controls.push(() => { for (const radio of radios) radio.checked = radio.value === this.state[key]; });
      return box;
    },

    /** One of many. */
    select(parent, key, { label, words }) {
      const options = this.specs[key].options.map((option) => el("option", { value: option }, words[option]));
      const input = el("select", { onchange: () => this.set({ [key]: input.value }) }, ...options);
      this.controls.push(() => { input.value = this.state[key]; });
      return this.control(parent, "select", label, input);
    },

    check(parent, key, { label }) {
      const input = el("input", { type: "checkbox", onchange: () => this.set({ [key]: input.checked }) });
      this.controls.push(() => { input.checked = this.state[key]; });
      return this.control(parent, "check", label, input);
    },

    number(parent, key, { label, step = "any" }) {
      const { min, max } = this.specs[key];
      const input = el("input", { type: "number", min, max, step });
      input.addEventListener("change", () => { this.set({ [key]: input.value }); this.show(); }); // it shows what was admitted
      this.controls.push(() => { input.value = Number(this.state[key].toPrecision(6)); });
      return this.control(parent, "number", label, input);
    },

    plane(parent, options) { return new Explorable.Plane(this, parent, options); },
  });
})();
