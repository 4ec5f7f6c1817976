/* Images of 8 x 8 on a canvas, and one to draw on by pointer or by keys. */
"use strict";
globalThis.DigitPad = (() => {
  const SIDE = 8;
  const FULL = 16; // ink

  /** An image, values from 0 to 1, in a square at (x, y) in pixels. */
  function image({ pen, ui }, values, x, y, size) {
    const edge = (i) => Math.round((i * size) / SIDE);
    pen.fillStyle = ui.colors.text;
    values.forEach((value, i) => {
      const [row, column] = [Math.floor(i / SIDE), i % SIDE];
      pen.globalAlpha = Math.min(1, Math.max(0, value));
      pen.fillRect(x + edge(column), y + edge(row), edge(column + 1) - edge(column), edge(row + 1) - edge(row));
    });
    pen.globalAlpha = 1;
    Object.assign(pen, { strokeStyle: ui.colors.guide, lineWidth: 1 }).strokeRect(x, y, size, size);
  }

  /** A pad for the text ui.state.drawn, one of the characters of `levels` a pixel. */
  function pad(ui, parent, levels) {
    const { state } = ui;
    const plane = ui.plane(parent, {
      label: "Your digit, 8 by 8 pixels: draw with the pointer, or move by arrow keys and paint or rub by the space bar",
      x: [0, SIDE], y: [SIDE, 0], ratio: 1, margin: { left: 1, right: 1, top: 1, bottom: 1 },
    });
    const inside = (place) => Math.min(SIDE - 1, Math.max(0, place));
    let cursor = [3, 3]; // row and column
    let stroke = null;
    const inkAt = ([row, column]) => levels.indexOf(state.drawn[row * SIDE + column]);

    function change(cells) {
      const drawn = Array.from(state.drawn);
      for (const [row, column, to] of cells) {
        if (row === inside(row) && column === inside(column)) drawn[row * SIDE + column] = levels[to(inkAt([row, column]))];
      }
      ui.set({ drawn: drawn.join("") });
    }
    const rub = ([row, column]) => change([[row, column, () => 0]]);
    /** A stroke is soft at its sides, as those of the images are. */
    function paint([row, column]) {
      const soft = (ink) => Math.max(ink, 4);
      const beside = [[row - 1, column], [row + 1, column], [row, column - 1], [row, column + 1]];
      change([[row, column, () => FULL], ...beside.map((place) => [...place, soft])]);
    }
    const brush = () => (inkAt(cursor) > FULL / 2 ? rub : paint);

    const { canvas } = plane;
    Object.assign(canvas, { tabIndex: 0, role: "application" });
    Object.assign(canvas.style, { touchAction: "none", cursor: "crosshair" });
    const cell = (event) => plane.at(event).map(Math.floor).reverse();
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      cursor = cell(event).map(inside);
      stroke = brush();
      stroke(cursor);
    });
    canvas.addEventListener("pointermove", (event) => { if (stroke) stroke(cell(event)); });
    canvas.addEventListener("lostpointercapture", () => { stroke = null; });
    const ways = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    canvas.addEventListener("keydown", (event) => {
      const way = ways[event.key];
      if (way) cursor = cursor.map((place, axis) => inside(place + way[axis]));
      else if (event.key === " ") brush()(cursor);
      else return;
      event.preventDefault();
      ui.status.textContent = `row ${cursor[0] + 1}, column ${cursor[1] + 1}: ink ${inkAt(cursor)} of ${FULL}`;
      ui.redraw();
    });
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => ui.redraw());

    function draw(values) {
      plane.begin();
      image(plane, values, 1, 1, plane.width - 2);
      if (document.activeElement === canvas) {
        const [row, column] = cursor;
        const corners = [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0]];
        plane.line(corners[0].map((x) => column + x), corners[1].map((y) => row + y), { color: ui.colors.posterior, width: 3 });
      }
      plane.end();
    }
    return { draw };
  }

  return { image, pad };
})();
