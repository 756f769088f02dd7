// Mouse, touch and keys over the pictures.

const DRAG_SLICE_PX = 8; // of a finger, for one slice
const WHEEL_SLICE = 40; // of a wheel or touch pad, for one slice

function watchPointers(pane, viewer) {
  const { canvas } = pane;
  const down = new Map(); // pointers that touch, by id
  let doing = null, moved = 0, left = 0, turned = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const pair = () => {
    const [a, b] = [...down.values()];
    return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    down.set(event.pointerId, at(event));
    moved = left = 0;
    if (doing === "tool" && down.size === 2) viewer.tool.end(false);
    if (down.size === 2) doing = "pinch";
    else if (viewer.tool && event.button === 0 && !event.shiftKey) doing = "tool";
    else if (event.pointerType === "touch") doing = viewer.measuring ? "measure" : "scroll";
    else if (event.button === 2) doing = "window";
    else if (event.button === 1 || event.shiftKey) doing = "pan";
    else doing = viewer.measuring ? "measure" : "cross";
    const ras = pane.rasOf(...at(event));
    if (doing === "cross") viewer.goTo(ras);
    if (doing === "tool") viewer.tool.begin(pane, ras);
    if (doing === "measure") viewer.set({ tape: { plane: pane.name, from: ras, to: ras } });
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (viewer.tool) viewer.tool.hover(pane, pane.rasOf(...at(event)));
    if (!down.has(event.pointerId)) return;
    const before = down.get(event.pointerId), now = at(event), two = down.size === 2 ? pair() : null;
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    down.set(event.pointerId, now);
    moved += Math.hypot(dx, dy);
    if (doing === "cross") viewer.goTo(pane.rasOf(...now));
    else if (doing === "measure") viewer.set({ tape: { ...viewer.tape, to: pane.rasOf(...now) } });
    else if (doing === "tool") viewer.tool.move(pane, pane.rasOf(...now));
    else if (doing === "pan") viewer.pan(pane, dx, dy);
    else if (doing === "window") {
      const { width, level } = viewer.window;
      viewer.set({ window: { width: Math.max(1, Math.round(width + 2 * dx)), level: Math.round(level + dy) } });
    } else if (doing === "scroll") {
      left += dy;
      const slices = Math.trunc(left / DRAG_SLICE_PX);
      left -= slices * DRAG_SLICE_PX;
      if (slices) viewer.scroll(pane.name, -slices);
    } else if (doing === "pinch" && two) {
      const next = pair();
      if (two.apart > 0) viewer.zoom(pane, next.apart / two.apart, ...next.middle);
      viewer.pan(pane, next.middle[0] - two.middle[0], next.middle[1] - two.middle[1]);
    }
  });
  const up = (event) => {
    if (!down.delete(event.pointerId)) return;
    // a tap of a finger sets the cross-hair
    if (doing === "scroll" && moved < 6 && event.type === "pointerup") viewer.goTo(pane.rasOf(...at(event)));
    if (doing === "tool") viewer.tool.end(true);
    if (!down.size) doing = null;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => {
    viewer.zooms[pane.name] = { zoom: 1, centre: null };
    viewer.changed();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const way = event.deltaY * (event.deltaMode === 0 ? 1 : 33);
    if (event.ctrlKey) return viewer.zoom(pane, Math.exp(-way / 300), ...at(event));
    if (Math.sign(way) !== Math.sign(turned)) turned = 0;
    turned += way;
    // a notch of a wheel is one slice, whatever the browser calls it; a touch pad sends many small steps
    const slices = Math.abs(way) >= WHEEL_SLICE ? Math.sign(way) : Math.trunc(turned / WHEEL_SLICE);
    if (slices) turned = 0;
    if (slices) viewer.scroll(pane.name, -slices);
  }, { passive: false });
}

// Keys while a picture has the focus; `actions` are those that belong to buttons and fields of the page.
function watchKeys(pane, viewer, actions) {
  const slices = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pane.canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { key } = event, letter = key.toLowerCase();
    if (event.shiftKey && moves[key]) viewer.move(pane.name, ...moves[key]);
    else if (slices[key]) viewer.scroll(pane.name, slices[key]);
    else if (key === "ArrowLeft") actions.fade(-0.1);
    else if (key === "ArrowRight") actions.fade(0.1);
    else if (key === "+" || key === "=") viewer.zoom(pane, 1.25, ...pane.size.map((v) => v / 2));
    else if (key === "-") viewer.zoom(pane, 0.8, ...pane.size.map((v) => v / 2));
    else if (letter === "m") measureByKey(pane, viewer);
    else if (key === "Escape") viewer.set({ tape: null });
    else if (actions[letter]) actions[letter]();
    else return;
    event.preventDefault();
  });
}

// A key opens what may lie below the end of the window, so the page goes there; the same key goes back.
function unfold(details) {
  if (!details.open) details.back = window.scrollY;
  details.open = !details.open;
  if (details.open) details.scrollIntoView({ block: "nearest" });
  else window.scrollTo({ top: details.back ?? window.scrollY });
}

// The first press begins at the cross-hair, the second one ends there.
function measureByKey(pane, viewer) {
  const { tape } = viewer;
  if (tape && tape.open) viewer.set({ tape: { ...tape, to: [...viewer.point], open: false } });
  else viewer.set({ tape: { plane: pane.name, from: [...viewer.point], to: [...viewer.point], open: true } });
}
