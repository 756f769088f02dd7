// One picture of the viewer: a slice, what is drawn over it, and what is burned into it.

const BAND = 24; // height of the mark; every picture is fitted below it, so that two beside one another are alike
const MARK = "SIMULATED \u2014 research use only";
const YELLOW = "#ffdd57", BLUE = "#9fd8ff";
const FONT = "system-ui, \"Segoe UI\", Roboto, \"DejaVu Sans\", sans-serif";
const CROSS = "rgba(120, 255, 160, 0.85)";
const add = (v, w, share = 1) => v.map((x, n) => x + share * w[n]);
const dot = (v, w) => v[0] * w[0] + v[1] * w[1] + v[2] * w[2];
const apart = (v, w) => Math.hypot(v[0] - w[0], v[1] - w[1], v[2] - w[2]);

class Pane {
  constructor(canvas, viewer) {
    this.canvas = canvas;
    this.viewer = viewer;
    this.context = canvas.getContext("2d", { alpha: false });
    this.layer = document.createElement("canvas");
    this.kept = { image: "", outlines: "", paths: [] };
  }

  get plane() { return PLANES[this.name]; }

  // What is seen now: before, simulated, difference or uncertainty.
  get shows() {
    const viewer = this.viewer;
    if (this.fixed || !viewer.outcome) return "before";
    if (viewer.flicker) return viewer.flickerPhase ? "simulated" : "before";
    if (viewer.show === "uncertainty" && !viewer.outcome.sd) return "simulated";
    return viewer.show === "simulated" && viewer.fade === 0 ? "before" : viewer.show;
  }

  get size() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }

  // Millimetres of one pixel of the page, and the place in the middle of the picture.
  get view() {
    const { right, down, normal } = this.plane;
    const viewer = this.viewer, [w, h] = this.size;
    const extent = viewer.extent;
    const span = (direction) => dot(extent.high, direction.map(Math.abs)) - dot(extent.low, direction.map(Math.abs));
    const fit = Math.max(span(right) / Math.max(w, 1), span(down) / Math.max(h - BAND, 1)) * 1.02;
    const own = viewer.zooms[this.name];
    const middle = add(extent.low, extent.high).map((v) => v / 2);
    const centre = own.centre ? [...own.centre] : middle;
    centre[normal] = viewer.point[normal];
    return { scale: fit / own.zoom, centre };
  }

  rasOf(x, y) {
    const { scale, centre } = this.view, [w, h] = this.size;
    return add(add(centre, this.plane.right, (x - w / 2) * scale), this.plane.down, (y - (h + BAND) / 2) * scale);
  }

  placeOf(ras) {
    const { scale, centre } = this.view, [w, h] = this.size;
    const from = add(ras, centre, -1);
    return [dot(from, this.plane.right) / scale + w / 2, dot(from, this.plane.down) / scale + (h + BAND) / 2];
  }

  draw() {
    const [w, h] = this.size;
    if (!w || !h) return;
    const dpr = Math.min(window.devicePixelRatio || 1, 2);
    const [W, H] = [Math.round(w * dpr), Math.round(h * dpr)];
    if (this.canvas.width !== W || this.canvas.height !== H) Object.assign(this.canvas, { width: W, height: H });
    this._slice(w, h, W, H, dpr);
    const context = this.context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(this.layer, 0, 0, this.layer.width * this.kept.step, this.layer.height * this.kept.step);
    if (this.viewer.outlines) this._outlines(w, h, dpr);
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    this._crosshair(w, h);
    this._tape();
    if (this.viewer.tool) this.viewer.tool.draw(this);
    this._burn(w, h);
    this._label();
  }

  // The grey or coloured slice, drawn anew only where something that it shows has changed.
  _slice(w, h, W, H, dpr) {
    const viewer = this.viewer, shows = this.shows, { scale, centre } = this.view;
    const { low, high } = viewer.limits;
    const key = [this.name, shows, viewer.rank, viewer.edition, scale, ...centre, W, H, low, high, shows === "simulated" && !viewer.flicker ? viewer.fade : 1].join();
    if (key === this.kept.image) return;
    const pixel = scale / dpr;
    // no more samples than the voxels have to tell: the canvas scales the rest
    const step = Math.max(1, Math.min(4, Math.floor((0.5 * viewer.finest) / pixel)));
    const [sw, sh] = [Math.ceil(W / step), Math.ceil(H / step)];
    const corner = this.rasOf((0.5 * step) / dpr, (0.5 * step) / dpr);
    const across = this.plane.right.map((v) => v * pixel * step), down = this.plane.down.map((v) => v * pixel * step);
    const take = (volume) => {
      const out = new Float32Array(sw * sh);
      sample(volume, volume.voxels, corner, across, down, sw, sh, out);
      return out;
    };
    const image = new ImageData(sw, sh), pixels = new Uint32Array(image.data.buffer);
    const before = viewer.study.before, after = viewer.outcome && viewer.outcome.ct;
    if (shows === "before") paintGrey(pixels, take(before), low, high);
    else if (shows === "simulated") {
      const fade = viewer.flicker ? 1 : viewer.fade;
      if (fade === 1) paintGrey(pixels, take(after), low, high);
      else paintFade(pixels, take(before), take(after), fade, low, high);
    } else if (shows === "difference") {
      const one = take(before), other = take(after);
      paintGrey(pixels, one, low, high);
      for (let n = 0; n < one.length; n++) other[n] -= one[n];
      paintMap(pixels, other, viewer.outcome.difference, 20);
    } else {
      paintGrey(pixels, take(after), low, high);
      paintMap(pixels, take(viewer.outcome.sd), viewer.outcome.deviation, 10);
    }
    Object.assign(this.layer, { width: sw, height: sh });
    this.layer.getContext("2d").putImageData(image, 0, 0);
    Object.assign(this.kept, { image: key, step });
  }

  _outlines(w, h, dpr) {
    const viewer = this.viewer, { scale, centre } = this.view;
    const simulated = this.marked;
    const key = [this.name, viewer.rank, viewer.edition, viewer.maskEdition, scale, ...centre, w, h, dpr, simulated].join();
    const step = Math.max(1.5, Math.min(4, (0.5 * viewer.finest) / scale)); // pixels of the page between samples
    if (key !== this.kept.outlines) {
      const [sw, sh] = [Math.ceil(w / step), Math.ceil(h / step)];
      const corner = this.rasOf(0, 0), field = new Float32Array(sw * sh);
      const across = this.plane.right.map((v) => v * scale * step), down = this.plane.down.map((v) => v * scale * step);
      const line = (masks, part, colour, width) => {
        sample(viewer.study.before, masks[part], corner, across, down, sw, sh, field);
        return { path: outlinePath(field, sw, sh, step), colour, width };
      };
      const paths = [];
      if (viewer.study.masks) {
        paths.push(line(viewer.study.masks, "liver", "rgba(255, 255, 255, 0.55)", 1));
        paths.push(line(viewer.study.masks, "tumour", viewer.colours.before, 2));
      }
      if (simulated && viewer.outcome.masks) paths.push(line(viewer.outcome.masks, "tumour", viewer.colours.after, 2));
      Object.assign(this.kept, { outlines: key, paths });
    }
    this.context.setTransform(dpr, 0, 0, dpr, 0, 0);
    for (const { path, colour, width } of this.kept.paths) {
      this.context.strokeStyle = colour;
      this.context.lineWidth = width;
      this.context.stroke(path);
    }
  }

  // True where a simulated scan, or something made from one, is in the picture.
  get marked() { return this.shows !== "before"; }

  // What stands in the band above a picture: the mark, or within a reader study the same notice over every picture.
  get banner() { return this.viewer.header.notice || (this.marked ? MARK : ""); }

  _crosshair(w, h) {
    // on whole pixels, so that the lines are sharp
    const context = this.context, [x, y] = this.placeOf(this.viewer.point).map((v) => Math.floor(v) + 0.5);
    context.strokeStyle = CROSS;
    context.lineWidth = 1;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - 9, y], [x + 9, y, w, y], [x, 0, x, y - 9], [x, y + 9, x, h]]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }

  _tape() {
    const { tape, point } = this.viewer, normal = this.plane.normal;
    if (!tape || tape.plane !== this.name) return;
    const near = [tape.from, tape.to].some((end) => Math.abs(end[normal] - point[normal]) <= this.viewer.spacing(normal) / 2 + 1e-6);
    if (!near) return;
    const context = this.context, from = this.placeOf(tape.from), to = this.placeOf(tape.to);
    for (const [colour, width] of [["black", 4], [YELLOW, 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
    }
    this._text(`${apart(tape.from, tape.to).toFixed(1)} mm`, (from[0] + to[0]) / 2 + 8, (from[1] + to[1]) / 2 - 8, 14, "left", YELLOW);
  }

  _text(text, x, y, size, align = "left", colour = "white", baseline = "alphabetic") {
    const context = this.context;
    context.font = `600 ${size}px ${FONT}`;
    context.textAlign = align;
    context.textBaseline = baseline;
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = "black"; // a rim keeps it readable on bone and Lipiodol
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }

  // A text as lines that are no longer than the room, where its words are.
  _lines(text, size, room) {
    this.context.font = `600 ${size}px ${FONT}`;
    const lines = [];
    for (const word of text.split(" ")) {
      const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
      if (lines.length && this.context.measureText(longer).width <= room) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  }

  // What belongs to the picture wherever it is shown: that it is simulated, which side is which, where it lies, its scale.
  _burn(w, h) {
    const context = this.context, viewer = this.viewer, shows = this.shows, { right, down, normal } = this.plane;
    let top = 6;
    if (this.banner) {
      const colour = viewer.header.notice ? BLUE : YELLOW;
      context.fillStyle = "rgba(0, 0, 0, 0.72)";
      context.fillRect(0, 0, w, BAND);
      this._text(this.banner, w / 2, 12.5, Math.min(14, w / 20, (1.6 * w) / this.banner.length), "center", colour, "middle");
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.strokeRect(1, 1, w - 2, h - 2);
      top = 28;
    }
    const small = w < 300 ? 11 : 12.5, room = w / 2 - 12 - 14; // up to the letter of the side
    let line = top + 14;
    for (const [text, size] of [[this.title, w < 300 ? small : small + 1.5], [`${this.plane.title} ${placeText(normal, viewer.point[normal])}`, small]]) {
      for (const part of this._lines(text, size, room)) {
        this._text(part, 8, line, size);
        line += size + 4;
      }
    }
    const { width, level } = viewer.window;
    if (this.marked) {
      const lines = this._lines(viewer.seed == null ? viewer.named : `${viewer.named}, seed ${viewer.seed}`, small - 0.5, room);
      lines.reverse().forEach((part, n) => this._text(part, 8, h - 10 - n * (small + 3), small - 0.5));
    }
    this._text(`W ${width} L ${level}`, w - 8, h - 10, small - 0.5, "right");
    this._scaleBar(w, h);
    if (shows === "difference") this._legend(w, top + 16, h, viewer.outcome.difference);
    if (shows === "uncertainty") this._legend(w, top + 16, h, viewer.outcome.deviation);
    const back = (v) => v.map((x) => -x);
    const sides = [[back(right), 4, h / 2], [right, w - 28, h / 2], [back(down), w / 2 - 12, this.banner ? 30 : 5], [down, w / 2 - 12, h - 29]];
    for (const [direction, x, y] of sides) this._side(letterOf(direction), x, y);
  }

  // The patient's right alone is on yellow: a picture that is turned over cannot be taken for one that is not.
  _side(letter, x, y) {
    const context = this.context;
    context.fillStyle = letter === "R" ? YELLOW : "rgba(0, 0, 0, 0.6)";
    context.beginPath();
    context.roundRect(x, y, 24, 24, 5);
    context.fill();
    context.font = `800 17px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = letter === "R" ? "black" : "white";
    context.fillText(letter, x + 12, y + 13);
  }

  _scaleBar(w, h) {
    const context = this.context, { scale } = this.view;
    const length = [100, 50, 20, 10, 5, 1].find((one) => one / scale <= w * 0.3) || 1;
    const [x1, y, long] = [w - 10, h - 30, length / scale];
    for (const [colour, width] of [["black", 5], ["white", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x1 - long, y - 4);
      context.lineTo(x1 - long, y);
      context.lineTo(x1, y);
      context.lineTo(x1, y - 4);
      context.stroke();
    }
    this._text(`${length} mm`, x1 - long / 2, y - 6, 11.5, "center");
  }

  _legend(w, top, h, map) {
    const context = this.context, high = Math.round(Math.max(40, Math.min(150, h / 2 - top - 22))), x = w - 48; // above the letter of the side
    for (let n = 0; n < high; n++) {
      const [r, g, b] = map.table[Math.round(255 * (1 - n / (high - 1)))];
      context.fillStyle = `rgb(${r}, ${g}, ${b})`;
      context.fillRect(x + 32, top + n, 10, 1.5);
    }
    for (const value of [map.high, (map.low + map.high) / 2, map.low]) {
      const y = top + ((map.high - value) / (map.high - map.low)) * high;
      this._text(`${map.low < 0 && value > 0 ? "+" : ""}${value}`.replace("-", "\u2212"), x + 27, y, 11.5, "right", "white", "middle");
    }
    this._text("HU", x + 42, top - 7, 11.5, "right");
  }

  get title() {
    const viewer = this.viewer;
    const fade = viewer.flicker ? 1 : viewer.fade;
    return {
      before: viewer.header.titleOfScan || "Before treatment",
      simulated: fade < 1 ? `Simulated ${Math.round(100 * fade)} % over before` : "Simulated",
      difference: "Difference",
      uncertainty: "Spread (SD)",
    }[this.shows];
  }

  // For readers who cannot see the picture.
  _label() {
    const text = `${this.plane.title}: ${this.title}${this.marked ? ", SIMULATED" : ""}${this.viewer.header.notice ? `, ${this.viewer.header.notice}` : ""}`;
    if (text !== this.canvas.getAttribute("aria-label")) this.canvas.setAttribute("aria-label", text);
  }
}
