/* The finder: a field that filters questions. On the questions page it filters the page itself, whose answers it folds, and
   opens the one that the address names. On another page it lists what fits, from the QUESTIONS that travel with that page.
   Without JavaScript every answer stands open, and the field is not there. */
"use strict";
(() => {
  // Each word also finds what others call it.
  const ALSO = {
    amp: ["autocast", "half"], annealing: ["warm-up"], anneal: ["warm-up"], autoregressive: ["text vae"], bpd: ["bits"],
    classes: ["class"], cluster: ["group"], clusters: ["group"], clustering: ["group"], cvae: ["conditional"],
    exploding: ["explode", "blown up"], fp16: ["half"], importance: ["iwae"], inf: ["nan", "millions"], infinite: ["nan"],
    kld: ["kl"], l2: ["squared error"], log_var: ["log-variance"], logsigma: ["log sigma"], logvar: ["log-variance", "log_var"],
    marginal: ["evidence"], mse: ["squared error"], noise: ["sigma", "eps"], ood: ["anomal"], outlier: ["anomal"],
    overflow: ["nan", "millions"], overfit: ["test data"], overfitting: ["test data"], regularizer: ["kl"],
    stable: ["latent"], std: ["standard deviation"], tc: ["total correlation"], vanishing: ["goes to 0"], variance: ["sigma"],
    vqvae: ["vq-vae"], warmup: ["warm-up"], weight: ["beta", "b/n"], zero: ["goes to 0", "= 0"],
  };
  const EMPTY = new Set("a an and are be can do does how i if in is it its my of on or so that the there to what why with".split(" "));

  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const GREEK = { β: "beta", ε: "eps", θ: "theta", λ: "lambda", μ: "mu", σ: "sigma", φ: "phi" };
  const flat = (text) => text.toLowerCase().replaceAll("’", "'").replace(/[α-ω]/g, (letter) => GREEK[letter] || letter).replace(/\s+/g, " ");

  /** What a typed line asks for: of each of its words, the spellings of which one must occur. */
  function wanted(line) {
    const words = flat(line).split(/[\s,;?!]+/).filter((word) => word && !EMPTY.has(word));
    return words.map((word) => [word.length > 3 ? word.replace(/s$/, "") : word, ...(ALSO[word] || [])]);
  }
  /** How well a text fits: 0 if a word is missing, more where its heading has them too. */
  function fit(words, heading, text) {
    const has = (where, spellings) => spellings.some((spelling) => where.includes(spelling));
    if (!words.every((spellings) => has(heading + " " + text, spellings))) return 0;
    return 1 + words.filter((spellings) => has(heading, spellings)).length;
  }
  const numbered = (count, all) => (count === all ? `${all} questions` : `${count} of ${all} questions`);

  function field(root, search) {
    const input = element("input", { type: "search", id: "finder-field", autocomplete: "off", spellcheck: "false", placeholder: "kl 0, blurry, logvar, B/N ..." });
    const status = element("span", { role: "status", class: "finder-status" });
    const label = element("label", { for: "finder-field" }, root.dataset.label || "What do you want to know?");
    root.append(label, input, status);
    input.addEventListener("input", () => { status.textContent = search(input.value); });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !input.value) return;
      event.preventDefault();
      input.value = "";
      status.textContent = search("");
    });
    input.value = (new URLSearchParams(location.search).get("q") || "").slice(0, 200);
    status.textContent = search(input.value);
    return input;
  }

  /** A question of this page: its heading becomes a button that shows and hides the answer. */
  function folded(section) {
    const heading = section.querySelector("h3");
    const answer = element("div", { class: "finder-answer", id: `${section.id}-answer` });
    answer.append(...[...section.children].filter((child) => child.compareDocumentPosition(heading) & Node.DOCUMENT_POSITION_PRECEDING));
    section.append(answer);
    const link = heading.querySelector("a.headerlink");
    const button = element("button", { type: "button", "aria-controls": answer.id });
    button.append(...[...heading.childNodes].filter((node) => node !== link));
    heading.prepend(button);
    const show = (open) => {
      button.setAttribute("aria-expanded", open);
      if (open) answer.removeAttribute("hidden");
      else answer.setAttribute("hidden", "until-found"); // the browser's own search opens what it finds
    };
    button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
    answer.addEventListener("beforematch", () => show(true));
    section.classList.add("finder-question");
    show(false);
    const words = answer.cloneNode(true);
    for (const formula of words.querySelectorAll(".math")) formula.remove();
    return { section, show, heading: flat(button.textContent), text: flat(words.textContent) };
  }

  function onItsPage(root, sections) {
    const questions = sections.map(folded);
    const groups = [...new Set(sections.map((section) => section.parentElement))];
    const input = field(root, (line) => {
      const words = wanted(line);
      let found = 0;
      for (const question of questions) {
        question.section.hidden = fit(words, question.heading, question.text) === 0;
        found += !question.section.hidden;
      }
      for (const group of groups) group.hidden = !group.querySelector(".finder-question:not([hidden])");
      if (words.length) for (const question of questions) question.show(!question.section.hidden && found <= 3);
      return found || !words.length ? numbered(found, questions.length) : "Nothing fits; try one word less.";
    });
    const all = element("button", { type: "button", class: "finder-all" }, "Open all");
    all.addEventListener("click", () => {
      const open = all.textContent === "Open all";
      for (const question of questions) question.show(open);
      all.textContent = open ? "Close all" : "Open all";
    });
    root.append(all);
    const openNamed = () => {
      const target = document.getElementById(location.hash.slice(1).split("?")[0]); // an explorable's state follows its name
      const question = questions.find(({ section }) => section.contains(target));
      if (!question) return;
      if (question.section.hidden) {
        input.value = "";
        input.dispatchEvent(new Event("input"));
      }
      question.show(true);
      question.section.scrollIntoView();
    };
    addEventListener("hashchange", openNamed);
    addEventListener("beforeprint", () => questions.forEach((question) => question.show(true)));
    openNamed();
  }

  function elsewhere(root, { page, questions }) {
    const list = element("ul", { class: "finder-list" });
    const texts = questions.map(({ text, answer }) => [flat(text), flat(answer)]);
    field(root, (line) => {
      const words = wanted(line);
      const fits = texts.map(([heading, text], at) => [words.length ? fit(words, heading, text) : 0, at]).filter(([score]) => score);
      fits.sort((one, other) => other[0] - one[0] || one[1] - other[1]);
      list.replaceChildren(...fits.slice(0, 8).map(([, at]) => {
        const { text, anchor, answer } = questions[at];
        const link = element("a", { href: `${page}#${anchor}` }, text);
        return element("li", {}, link, " ", element("span", { class: "finder-answer" }, answer));
      }));
      const more = `${page}?q=${encodeURIComponent(line)}`;
      if (words.length) list.append(element("li", {}, element("a", { href: more }, "Search the whole answers for this")));
      return words.length ? numbered(fits.length, questions.length) : "";
    });
    root.append(list);
  }

  for (const root of document.querySelectorAll(".finder")) {
    const sections = [...document.querySelectorAll('section[id^="q-"]')];
    if (sections.length) onItsPage(root, sections);
    else if (window.QUESTIONS) elsewhere(root, window.QUESTIONS);
  }
})();
