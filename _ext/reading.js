/* What a page does where it is too narrow: a displayed formula or a table that is too wide gets smaller, down to three
   quarters; what is still too wide scrolls in its box, which fades where it goes on. */
"use strict";
(() => {
  const SMALLEST = 0.75;
  const WIDE = "div.math mjx-container, span.math, pre:has(.aligned), .pst-scrollable-table-container";

  /** What of a box does not fit; beside a formula in a line stands MathML, which nobody sees and which may be wider. */
  function rest(box) {
    if (!box.clientWidth) return 0;
    return (box.matches("span") ? Math.ceil(box.querySelector("svg").getBoundingClientRect().width) : box.scrollWidth) - box.clientWidth;
  }
  function fit(box) {
    const size = parseFloat(getComputedStyle(box).fontSize);
    for (let part = 1; rest(box) > 0 && part > SMALLEST; ) {
      part = Math.max(part - 0.03, SMALLEST);
      box.style.fontSize = `${size * part}px`;
    }
  }
  function fade(box) {
    const wide = rest(box) > 1;
    box.classList.toggle("goes-on", wide && box.scrollLeft < rest(box) - 1);
    if (!wide || box.dataset.watched) return;
    box.dataset.watched = "yes";
    box.tabIndex = 0; // so that the arrow keys scroll it
    box.addEventListener("scroll", () => fade(box), { passive: true });
  }
  function look() {
    const boxes = [...document.querySelectorAll(WIDE)];
    for (const box of boxes) if (box.style.fontSize) box.style.fontSize = "";
    const wide = boxes.filter((box) => rest(box) > 0); // all are measured before one is changed
    wide.forEach(fit);
    [...wide, ...boxes.filter((box) => box.dataset.watched)].forEach(fade);
  }
  for (const button of document.querySelectorAll(".search-button-field, .theme-switch-button")) {
    const name = button.getAttribute("aria-label"); // which aids would read in place of what is seen
    if (button.matches(".search-button-field")) button.removeAttribute("aria-label");
    else button.querySelectorAll(".theme-switch").forEach((icon) => icon.removeAttribute("title"));
    button.title = name;
  }
  addEventListener("load", () => {
    look();
    const bar = document.querySelector(".bd-sidebar-primary"); // the theme scrolls it to the page's title, seen or not
    const title = bar?.querySelector(".current.active");
    if (title && title.getBoundingClientRect().bottom + bar.scrollTop < innerHeight) bar.scrollTop = 0;
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; look(); } });
    document.addEventListener("toggle", look, true); // what was folded has had no width
    document.addEventListener("click", (event) => { if (event.target.closest(".toggle-button, .toggle")) setTimeout(look, 50); });
  });
})();
