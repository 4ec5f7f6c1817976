/* The search: sections of the book, ranked, under the field as one types.
   The sections come as a classic script (`sections.js`), asked for when a field gets the focus: a page opened as a file may
   fetch nothing. The words of a heading count most; a question of the field finds what this book calls by another name. */
"use strict";
(() => {
  // What others say, and what this book says: each typed word also finds the phrases of its lines.
  const SAME = [
    ["annealing", "warm-up", "schedule"], ["logvar", "log-variance", "logsigma", "log_sigma"],
    ["iwae", "importance-weighted", "l_k"], ["cluster", "group", "classes"], ["nan", "overflow", "explode", "inf"],
    ["bce", "cross-entropy", "binary_cross_entropy"], ["mse", "squared error", "mse_loss", "l2"], ["std", "standard deviation", "sigma"],
    ["ae", "autoencoder", "vae"], ["compression", "compress", "pca"], ["weight", "beta"], ["collapse", "kl zero", "dead", "vanish", "kl 0"],
    ["zero", "0"], ["instability", "explode", "nan", "unstable"], ["label", "classes"], ["elbo", "evidence lower bound", "bound"],
    ["marginal", "evidence"], ["amortization", "gap", "amortized"], ["fp16", "half precision", "autocast", "bfloat16"],
    ["text", "autoregressive", "lstm"], ["disentangle", "axes", "factors"], ["blurry", "blur", "blurred"], ["generate", "sample", "prior"],
    ["bpd", "bits per dimension", "bits"], ["nll", "evidence", "log-likelihood"], ["overfit", "test", "held-out", "fresh"],
    ["number", "many"], ["small", "low"], ["dimension", "latents", "axes"], ["hyperparameter", "choose"], ["tune", "choose"], ["variance", "sigma"],
    ["reconstruct", "reconstruction"], ["reparam", "reparameterization", "rsample"], ["ppca", "linear vae", "pca"],
    ["optimum", "minimum"], ["anomaly", "anomali", "outlier"], ["dequantization", "dequantise", "grey"], ["gray", "grey"],
  ];
  const GREEK = {
    α: "alpha", β: "beta", γ: "gamma", δ: "delta", ε: "epsilon", η: "eta", θ: "theta", κ: "kappa", λ: "lambda", μ: "mu", ν: "nu",
    π: "pi", ρ: "rho", σ: "sigma", ς: "sigma", τ: "tau", φ: "phi", ψ: "psi", ω: "omega", ℓ: "ell", "∞": "inf",
  };
  const EMPTY = new Set(("a about am an and any are as at be been but by can could did do does doing for from get gets give has have how i if in "
    + "into is it its just me my of on or our should so than that the their them then there these they this to too use used using was "
    + "we were what when where which while who why will with would you your vs").split(" "));

  /** A word without its ending, so that "collapsed" finds "collapse". */
  function stem(word) {
    if (word.length < 4 || /\d/.test(word)) return word;
    let short = word.replace(/(?<![su])s$/, "").replace(/(sse|xe|che)$/, (end) => end.slice(0, -1)).replace(/isation|ization/, "is").replace(/(i[sz])(e[drs]?|ing|able)$/, "is");
    short = short.replace(/(ing|ed|er)$/, (end, _, at) => (at >= 3 ? "" : end)).replace(/(.)\1$/, (pair) => (/ll|ss/.test(pair) ? pair : pair[0]));
    return short.length > 3 ? short.replace(/(e|y|i)$/, "") : short;
  }
  /** The words of a text; a compound also counts in one piece: "log-variance" is log, variance and logvariance. */
  function terms(text) {
    const found = [];
    for (const piece of text.toLowerCase().replace(/[α-ωℓ∞]/g, (letter) => ` ${GREEK[letter] || ""} `).match(/[a-z0-9]+(?:[-_/][a-z0-9]+)*/g) || []) {
      const parts = piece.split(/[-_/]/);
      found.push(...parts.map(stem));
      if (parts.length > 1) found.push(stem(parts.join("")));
    }
    return found;
  }
  const SYNONYMS = new Map();
  for (const group of SAME) {
    for (const one of group) {
      const [key] = terms(one).slice(-1);
      if (terms(one).length > 1 && !/[-_]/.test(one)) continue; // found by others, but no word that one types
      SYNONYMS.set(key, [...(SYNONYMS.get(key) || []), ...group.filter((other) => other !== one).map((other) => (/[-_]/.test(other) ? terms(other).slice(-1) : terms(other)))]);
    }
  }

  /** Whether two words differ by a slip or two of the finger. */
  function alike(one, other) {
    const most = one.length < 5 ? 0 : one.length < 8 ? 1 : 2;
    if (Math.abs(one.length - other.length) > most || one[0] !== other[0]) return false;
    let before = [], row = [...Array(other.length + 1).keys()];
    for (let i = 1; i <= one.length; i++) {
      const next = [i];
      for (let j = 1; j <= other.length; j++) {
        next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] !== other[j - 1]));
        if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
      }
      [before, row] = [row, next];
    }
    return row[other.length] <= most;
  }

  /** From the sections: for each word, where it stands and how much it counts there. */
  function build({ pages, sections }) {
    const words = new Map();
    const lengths = sections.map(({ text }) => text.length);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    sections.forEach((section, at) => {
      const long = 0.4 + (0.6 * lengths[at]) / mean; // a word in a long section says less
      const add = (text, amount) => {
        for (const term of terms(text)) {
          if (!words.has(term)) words.set(term, new Map());
          words.get(term).set(at, (words.get(term).get(at) || 0) + amount);
        }
      };
      add(section.text, 1 / long);
      add(section.heading, 5);
      add(section.labels, 2);
      add(section.anchor.replace(/-/g, " "), 1.5);
      if (section.anchor) add(pages[section.page].title, 0.6);
    });
    return { pages, sections, words, rare: (term) => Math.log(1 + sections.length / (words.get(term)?.size || 1)) };
  }

  /** What a typed line asks for: for each of its words, the phrases of which one must occur, with what each is worth. */
  function wanted(index, line) {
    const typed = [...line.toLowerCase().replace(/kld\b|kl[\s-]*divergence|kullback[\s-]*leibler( divergence)?/g, "kl").replace(/importance[\s-]weight\w*( auto-?encoders?)?/g, "iwae").replace(/[α-ωℓ∞]/g, (letter) => ` ${GREEK[letter] || ""} `).matchAll(/[a-z0-9]+(?:[-_/][a-z0-9]+)*/g)].map(([piece]) => piece);
    const said = typed.filter((piece) => !EMPTY.has(piece)), pieces = said.length ? said : typed;
    const known = [...index.words.keys()], concepts = new Map();
    const offer = (term, phrase, worth) => concepts.get(term).set(phrase, Math.max(worth, concepts.get(term).get(phrase) || 0));
    pieces.forEach((piece, at) => {
      const last = at === pieces.length - 1;
      for (const term of new Set(terms(piece))) {
        concepts.set(term, concepts.get(term) || new Map([[term, 1]]));
        const same = SYNONYMS.get(term) || [], whole = index.words.has(term);
        for (const other of same) offer(term, other.join(" "), whole ? 0.55 : 0.9);
        if (same.length || term.length < 2 || (whole && !last)) continue;
        for (const other of known) {
          if (other === term) continue;
          if (other.startsWith(term)) offer(term, other, whole ? 0.35 : 0.8);
          else if (!whole && alike(term, other)) for (const right of [[other], ...(SYNONYMS.get(other) || [])]) offer(term, right.join(" "), right[0] === other ? 0.6 : 0.3);
        }
      }
      const pair = last ? "" : stem(piece + pieces[at + 1]); // "cross entropy" is also "cross-entropy"
      if (!index.words.has(pair) && !SYNONYMS.has(pair)) return;
      for (const term of [stem(piece), stem(pieces[at + 1])]) {
        concepts.set(term, concepts.get(term) || new Map([[term, 1]]));
        for (const other of [[pair], ...(SYNONYMS.get(pair) || [])]) offer(term, other.join(" "), 0.7);
      }
    });
    return [...concepts].map(([term, phrases]) => {
      const options = [...phrases].map(([phrase, worth]) => ({ words: phrase.split(" "), worth }));
      const known = options.filter(({ words }) => words.every((word) => index.words.has(word)));
      const rare = index.words.has(term) ? index.rare(term) : Math.min(index.rare(term), ...known.map(({ words }) => index.rare(words[0])));
      return { term, rare, options: known }; // a rarer name for the same thing counts no more than what was typed
    });
  }

  /** The sections that fit, best first, each with the words that made it fit. */
  function find(index, line) {
    const concepts = wanted(index, line), asked = concepts.map(({ term }) => term);
    const all = concepts.reduce((sum, { rare }) => sum + rare, 0);
    const scores = new Map();
    for (const { rare, options } of concepts) {
      const best = new Map();
      for (const { words, worth } of options) {
        const lists = words.map((word) => index.words.get(word));
        for (const [at, first] of lists[0]) {
          const count = lists.reduce((least, list) => Math.min(least, list.get(at) || 0), first);
          const value = worth * rare * (count / (count + 1.4));
          if (count && value > (best.get(at)?.value || 0)) best.set(at, { value, words });
        }
      }
      for (const [at, { value, words }] of best) {
        const score = scores.get(at) || { sum: 0, share: 0, words: new Set() };
        score.sum += value;
        score.share += rare / all;
        for (const word of words) score.words.add(word);
        scores.set(at, score);
      }
    }
    const ranked = [...scores].map(([at, { sum, share, words }]) => {
      const section = index.sections[at], page = index.pages[section.page];
      const heading = terms(section.heading).filter((term) => !EMPTY.has(term));
      const named = heading.length > 0 && heading.every((term) => asked.includes(term)); // the heading is what was typed
      const whole = !section.anchor && asked.every((term) => heading.includes(term)); // a page about just this
      const worth = page.weight * (named ? 1.3 : 1) * (whole ? 1.6 : 1) * (section.heading === "References" ? 0.4 : 1);
      return { section, page, words, score: sum * share ** 2 * worth };
    });
    ranked.sort((one, other) => other.score - one.score);
    for (const one of ranked.slice(0, 40)) {
      if (asked.length > 1 && ` ${terms(one.section.text).join(" ")} `.includes(` ${asked.join(" ")} `)) one.score *= 1.2;
    }
    ranked.sort((one, other) => other.score - one.score);
    return ranked.filter(({ score }) => score > 0.15 * ranked[0].score);
  }

  /** The part of a text where most of the words stand, as pieces of which the found words are marked. */
  function snippet(text, words, length = 190) {
    const places = [...text.matchAll(/[\p{L}\p{N}]+(?:[-_/][\p{L}\p{N}]+)*/gu)].map((match) => ({ at: match.index, word: match[0], found: terms(match[0]).some((term) => words.has(term)) }));
    const hits = places.filter(({ found }) => found);
    let start = 0, most = 0;
    for (const { at } of hits) {
      const inside = new Set(hits.filter((hit) => hit.at >= at && hit.at < at + length - 30).map(({ word }) => word.toLowerCase())).size;
      if (inside > most) [most, start] = [inside, at];
    }
    const begin = places.filter(({ at }) => at <= Math.max(0, start - 40)).pop()?.at || 0;
    const from = begin < 12 ? 0 : begin;
    const cut = from + length >= text.length ? text.length : text.lastIndexOf(" ", from + length);
    const parts = [from ? "… " : ""];
    let done = from;
    for (const { at, word } of hits) {
      if (at < from || at + word.length > cut) continue;
      const mark = document.createElement("mark");
      mark.textContent = word;
      parts.push(text.slice(done, at), mark);
      done = at + word.length;
    }
    return [...parts, text.slice(done, cut), cut < text.length ? " …" : ""];
  }

  const root = document.documentElement.dataset.content_root || "";
  let loading = null;
  const load = () => (loading ??= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = `${root}_static/sections.js`;
    script.onload = () => resolve(build(window.SECTIONS));
    document.head.append(script);
  }));

  const element = (tag, className, ...children) => {
    const node = document.createElement(tag);
    node.className = className;
    node.append(...children);
    return node;
  };

  function result({ section, page, words }) {
    const link = element("a", "", section.heading);
    link.href = `${root}${page.href}${section.anchor ? `#${section.anchor}` : ""}`;
    const where = element("span", "search-where", page.number ? `${page.number.padStart(2, "0")} ${page.title}` : page.title);
    return element("li", "", link, where, element("p", "", ...snippet(section.text, words)));
  }

  /** Results under a form's field, as one types; the arrows go through them. */
  function attach(form, most) {
    const input = form.querySelector("input");
    const status = element("p", "search-status");
    status.setAttribute("role", "status");
    const list = element("ol", "search-results");
    form.after(element("div", "search-found", status, list));
    const show = async () => {
      const index = await load(), line = input.value.trim();
      const found = /[\p{L}\p{N}]/u.test(line) ? find(index, line) : [];
      list.replaceChildren(...found.slice(0, most).map(result));
      const shown = Math.min(most, found.length);
      status.textContent = !line ? "" : !found.length ? "Nothing found. Try another word, or one fewer." : found.length === 1 ? "1 section" : shown < found.length ? `The best ${shown} of ${found.length} sections` : `${shown} sections`;
    };
    input.addEventListener("focus", load);
    input.addEventListener("input", show);
    (form.closest("dialog") || form.parentElement).addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      const stops = [input, ...list.querySelectorAll("a")], at = stops.indexOf(document.activeElement);
      event.preventDefault();
      stops[Math.min(stops.length - 1, Math.max(0, at + step))].focus();
    });
    return { input, show };
  }

  const dialog = document.getElementById("pst-search-dialog");
  if (dialog) attach(dialog.querySelector("form"), 8);
  const form = document.querySelector(".bd-search-container form");
  if (form) {
    const { input, show } = attach(form, 40);
    input.value = (new URLSearchParams(location.search).get("q") || "").slice(0, 200);
    const remember = () => history.replaceState(null, "", input.value ? `?q=${encodeURIComponent(input.value)}` : location.pathname);
    input.addEventListener("input", remember);
    form.addEventListener("submit", (event) => event.preventDefault());
    show();
  }
  window.sectionSearch = async (line) => find(await load(), line); // for the tests
})();
