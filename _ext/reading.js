/* What a page does where it is too narrow: a displayed formula or a table that is too wide gets smaller, down to three
   quarters; what is still too wide scrolls in its box, which fades where it goes on. */
"use strict";
(() => {
  const SMALLEST = 0.75;
  const WIDE = "div.math mjx-container, span.math, pre:has(.aligned), .pst-scrollable-table-container";

  /** How wide a box would have to be; beside a formula in a line stands MathML, which nobody sees and which may be wider. */
  const needed = (box) => (box.matches("span") ? Math.floor(box.querySelector("svg").getBoundingClientRect().width) : box.scrollWidth);
  const rest = (box) => needed(box) - box.clientWidth;
  const fitted = new WeakMap(); // box -> width of the window for which it was made to fit

  function fade(box) {
    const wide = rest(box) > 1;
    box.classList.toggle("goes-on", wide && box.scrollLeft < rest(box) - 1);
    if (!wide || box.dataset.watched) return;
    box.dataset.watched = "yes";
    box.tabIndex = 0; // so that the arrow keys scroll it
    box.addEventListener("scroll", () => fade(box), { passive: true });
  }
  /** Fit what is shown and was not yet: all is measured before anything changes, or each change would lay the page out anew. */
  function look() {
    const boxes = [...document.querySelectorAll(WIDE)].filter((box) => box.clientWidth && fitted.get(box) !== innerWidth);
    for (const box of boxes) {
      fitted.set(box, innerWidth);
      if (box.style.fontSize) box.style.fontSize = "";
    }
    const wide = boxes.filter((box) => rest(box) > 0);
    const sizes = wide.map((box) => [parseFloat(getComputedStyle(box).fontSize), box.clientWidth / needed(box)]);
    wide.forEach((box, i) => { box.style.fontSize = `${sizes[i][0] * Math.max(SMALLEST, 0.99 * sizes[i][1])}px`; });
    const still = wide.map((box) => rest(box) > 0); // a table, whose cells do not shrink with their letters
    wide.forEach((box, i) => { if (still[i]) box.style.fontSize = `${sizes[i][0] * SMALLEST}px`; });
    boxes.filter((box) => wide.includes(box) || box.dataset.watched).forEach(fade);
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
