// What is looked at: study, outcome, place, window. Everything that changes goes through here and is drawn once a frame.

const LAYOUTS = {
  four: ["axial before", "axial", "coronal", "sagittal"],
  three: ["axial", "coronal", "sagittal"],
  axial: ["axial before", "axial"],
  coronal: ["coronal before", "coronal"],
  sagittal: ["sagittal before", "sagittal"],
  one: ["axial"],
};

class Viewer {
  constructor(root, header) {
    this.root = root;
    this.header = header;
    this.colours = header.colours;
    this.study = this.outcome = null;
    this.rank = this.seed = null;
    this.named = ""; // such as "rank 1"
    this.edition = 0;
    this.maskEdition = 0; // outlines alone are drawn anew
    this.tool = null; // takes what a pointer does, such as a brush: begin, move, end, hover, draw
    this.show = "simulated";
    this.fade = 1;
    this.flicker = this.flickerPhase = false;
    this.setPreset("liver");
    this.outlines = true;
    this.tape = null;
    this.measuring = false;
    this.alone = false; // see `setLayout`
    this.point = [0, 0, 0];
    this.zooms = {};
    this.panes = [...root.querySelectorAll("canvas")].map((canvas) => new Pane(canvas, this));
    this.listeners = [];
    this.resetZoom();
    this.setLayout(header.layout || "four");
    new ResizeObserver(() => this.changed()).observe(root.querySelector(".panes"));
  }

  get limits() { return { low: this.window.level - this.window.width / 2, high: this.window.level + this.window.width / 2 }; }

  changed() {
    if (this.waiting || !this.study) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      for (const pane of this.shown) pane.draw();
      for (const tell of this.listeners) tell();
    });
  }

  get shown() { return this.panes.filter((pane) => !pane.canvas.parentElement.hidden); }

  // A study takes the place of the one before; outcomes are loaded when they are asked for.
  setStudy(study) {
    this.study = study;
    this.edition++;
    this.outcome = null;
    const { dims, toRas } = study.before;
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => mapped(toRas, dims.map((size, axis) => ((n >> axis) & 1 ? size - 0.5 : -0.5))));
    const over = (choose) => [0, 1, 2].map((axis) => choose(...corners.map((c) => c[axis])));
    this.extent = { low: over(Math.min), high: over(Math.max) };
    this.finest = Math.min(...[0, 1, 2].map((axis) => this._column(axis).length));
    this.goTo(study.target);
    this.changed();
  }

  _column(axis) {
    const m = this.study.before.toRas.m;
    const direction = [m[axis], m[3 + axis], m[6 + axis]];
    return { direction, length: Math.hypot(...direction) };
  }

  // The axis of the grid that runs most along an axis of the patient.
  _along(normal) {
    const share = (axis) => Math.abs(this._column(axis).direction[normal]) / this._column(axis).length;
    const axis = [0, 1, 2].reduce((best, n) => (share(n) > share(best) ? n : best), 0);
    return { axis, share: share(axis), length: this._column(axis).length };
  }

  spacing(normal) { return this._along(normal).length; }

  get straight() { return [0, 1, 2].every((normal) => this._along(normal).share > 0.999999); }

  async setOutcome(rank, named) {
    const one = this.study.outcomes.get(rank);
    this.asked = rank;
    const study = this.study;
    if (one && !one.loaded) {
      one.loaded = await one.load();
      const { difference, deviation } = this.header.maps;
      one.loaded.difference = { low: -one.difference, high: one.difference, table: colourTable(difference) };
      one.loaded.deviation = { low: 0, high: one.deviation, table: colourTable(deviation) };
    }
    if (this.asked !== rank || this.study !== study) return; // another one was chosen meanwhile
    this.outcome = one ? one.loaded : null;
    if (this.alone) this.setLayout(this.layout);
    Object.assign(this, { rank, named, seed: one ? one.seed : null });
    this.edition++;
    this.changed();
  }

  setPreset(name) {
    const [width, level] = this.header.windows[name];
    this.set({ window: { width, level } });
  }

  setLayout(name) {
    this.layout = name;
    // a page that has no outcome yet may do without the picture of before beside it
    const single = this.alone && !this.outcome;
    const wanted = single ? LAYOUTS[name === "four" ? "three" : name].filter((one) => !one.endsWith(" before")) : LAYOUTS[name];
    this.root.dataset.layout = single && name === "four" ? "three" : name;
    this.root.dataset.panes = wanted.length;
    this.panes.forEach((pane, n) => {
      pane.canvas.parentElement.hidden = n >= wanted.length;
      if (n >= wanted.length) return;
      const [plane, fixed] = wanted[n].split(" ");
      pane.name = plane;
      pane.fixed = fixed === "before";
    });
    this.changed();
  }

  set(values) {
    Object.assign(this, values);
    this.changed();
  }

  goTo(ras, snap = true) {
    let point = ras.map((v, axis) => Math.min(Math.max(v, this.extent.low[axis]), this.extent.high[axis]));
    const { before } = this.study;
    if (snap && this.straight) {
      // the middle of a voxel: what is seen is then what the file holds
      const ijk = mapped(before.toIjk, point).map((v, axis) => Math.min(Math.max(Math.round(v), 0), before.dims[axis] - 1));
      point = mapped(before.toRas, ijk);
    }
    this.point = point;
    if (this.tape && this.tape.open) this.tape.to = [...point];
    this.changed();
  }

  // Towards superior, anterior or right by a number of slices.
  scroll(plane, slices) {
    const normal = PLANES[plane].normal, point = [...this.point];
    point[normal] += slices * this.spacing(normal);
    this.goTo(point);
  }

  // One voxel across the screen.
  move(plane, right, down) {
    const { right: across, down: along } = PLANES[plane];
    const step = (direction) => this.spacing([0, 1, 2].find((axis) => direction[axis] !== 0));
    this.goTo(add(add(this.point, across, right * step(across)), along, down * step(along)));
  }

  resetZoom() {
    for (const name of Object.keys(PLANES)) this.zooms[name] = { zoom: 1, centre: null };
    this.changed();
  }

  // Zoom about a place of a pane, which stays where it is.
  zoom(pane, factor, x, y) {
    const own = this.zooms[pane.name], fixed = pane.rasOf(x, y);
    own.zoom = Math.min(Math.max(own.zoom * factor, 0.5), 20);
    own.centre = pane.view.centre;
    own.centre = add(own.centre, add(fixed, pane.rasOf(x, y), -1));
    this.changed();
  }

  pan(pane, dx, dy) {
    const { scale, centre } = pane.view, { right, down } = pane.plane;
    this.zooms[pane.name].centre = add(add(centre, right, -dx * scale), down, -dy * scale);
    this.changed();
  }

  setFlicker(on) {
    clearInterval(this.timer);
    this.flicker = on;
    this.flickerPhase = on;
    if (on) {
      // two changes a second at most: far below what can harm
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.timer = setInterval(() => this.set({ flickerPhase: !this.flickerPhase }), still ? 1500 : 600);
    }
    this.changed();
  }

  // The cross-hair in numbers; HU of the nearest voxel, as the files hold them.
  reading() {
    const { before } = this.study, ijk = nearest(before, this.point);
    if (!ijk) return { ras: this.point };
    const found = { ras: this.point, voxel: ijk.map((n, axis) => before.start[axis] + n * before.step[axis]), before: valueAt(before, ijk) };
    if (this.outcome) {
      found.simulated = valueAt(this.outcome.ct, ijk);
      found.difference = found.simulated - found.before;
      if (this.outcome.sd) found.sd = valueAt(this.outcome.sd, ijk);
    }
    return found;
  }
}
