/* What a page does where it is too narrow: a displayed formula or a table that is too wide gets smaller, down to three
   quarters; what is still too wide scrolls in its box, which fades where it goes on. */
"use strict";
(() => {
  const SMALLEST = 0.75;
  const WIDE = "div.math mjx-container, pre:has(.aligned), .pst-scrollable-table-container";

  function fit(box) {
    box.style.fontSize = "";
    const size = parseFloat(getComputedStyle(box).fontSize);
    for (let part = 0.97; box.scrollWidth > box.clientWidth && part >= SMALLEST; part -= 0.03) {
      box.style.fontSize = `${size * part}px`;
    }
  }
  function fade(box) {
    const rest = box.scrollWidth - box.clientWidth;
    const wide = box.clientWidth > 0 && rest > 1;
    box.classList.toggle("goes-on", wide && box.scrollLeft < rest - 2);
    if (!wide || box.dataset.watched) return;
    box.dataset.watched = "yes";
    box.tabIndex = 0; // so that the arrow keys scroll it
    box.addEventListener("scroll", () => fade(box), { passive: true });
  }
  function look() {
    document.querySelectorAll(WIDE).forEach(fit);
    document.querySelectorAll(WIDE).forEach(fade);
  }
  for (const button of document.querySelectorAll(".search-button-field, .theme-switch-button")) {
    const name = button.getAttribute("aria-label"); // which aids would read in place of what is seen
    if (button.matches(".search-button-field")) button.removeAttribute("aria-label");
    else button.querySelectorAll(".theme-switch").forEach((icon) => icon.removeAttribute("title"));
    button.title = name;
  }
  addEventListener("load", () => {
    look();
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; look(); } });
    document.addEventListener("toggle", look, true); // what was folded has had no width
    document.addEventListener("click", (event) => { if (event.target.closest(".toggle-button, .toggle")) setTimeout(look, 50); });
  });
})();
