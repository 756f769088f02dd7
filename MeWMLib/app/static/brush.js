// A brush on the outline: strokes on the slice that is seen, kept by the server when the hand is lifted, with undo.

import { PLANES, add, mapped } from "./viewer.js";
import { patchBytes } from "./api.js";

const LIVER = 1, TUMOUR = 2, MOST_UNDO = 50;
const COLOURS = { add: "#7dff9b", erase: "#ff8f7d" };

export class Brush {
  // stage: the pictures; onkept: called with the case as the server has it now; onerror: with what went wrong.
  constructor(stage, onkept, onerror) {
    Object.assign(this, { stage, onkept, onerror, mode: "", of: TUMOUR, diameter: 10, at: null, stroke: null });
    this.done = [];
    this.sending = Promise.resolve();
  }

  set(values) {
    Object.assign(this, values);
    this.stage.viewer.set({ tool: this.mode && this.stage.labels ? this : null });
    if (!this.mode) this.at = null;
  }

  forget() { this.done = []; }

  get canUndo() { return this.done.length > 0; }

  // what the pictures tell

  begin(pane, ras) {
    this.stroke = { former: new Map(), pane: pane.name };
    this.last = ras;
    this._dab(pane, ras);
  }

  move(pane, ras) {
    if (!this.stroke || pane.name !== this.stroke.pane) return;
    const way = ras.map((v, n) => v - this.last[n]), length = Math.hypot(...way);
    const steps = Math.max(1, Math.ceil(length / Math.max(0.5, this.diameter / 4)));
    for (let n = 1; n <= steps; n++) this._dab(pane, add(this.last, way, n / steps));
    this.last = ras;
  }

  end(kept) {
    const stroke = this.stroke;
    this.stroke = null;
    if (!stroke || !stroke.former.size) return;
    if (!kept) this._put(stroke.former);
    else {
      this.done.push(stroke.former);
      this.done.splice(0, this.done.length - MOST_UNDO);
      this._send([...stroke.former.keys()]);
    }
  }

  hover(pane, ras) {
    this.at = { pane: pane.name, ras };
    this.stage.viewer.changed();
  }

  draw(pane) {
    if (!this.at || this.at.pane !== pane.name) return;
    const [x, y] = pane.placeOf(this.at.ras), context = pane.context;
    context.strokeStyle = COLOURS[this.mode];
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(x, y, Math.max(2, this.diameter / 2 / pane.view.scale), 0, 2 * Math.PI);
    context.stroke();
  }

  undo() {
    const former = this.done.pop();
    if (!former) return;
    this._put(former);
    this._send([...former.keys()]);
  }

  // what it does

  // Every voxel whose middle lies in the disc, on the slice that is seen; at least the one under the pointer.
  _dab(pane, ras) {
    const { stage } = this, { viewer } = stage, { before } = viewer.study, { dims } = before;
    const { right, down, normal } = PLANES[pane.name];
    const radius = this.diameter / 2, thick = viewer.spacing(normal) / 2 + 1e-6;
    const through = [0, 0, 0].map((_, n) => (n === normal ? 1 : 0));
    const corners = [-1, 1].flatMap((a) => [-1, 1].flatMap((b) => [-1, 1].map((c) =>
      mapped(before.toIjk, add(add(add(ras, right, a * radius), down, b * radius), through, c * thick)))));
    const low = [0, 1, 2].map((n) => Math.max(0, Math.floor(Math.min(...corners.map((v) => v[n])))));
    const high = [0, 1, 2].map((n) => Math.min(dims[n] - 1, Math.ceil(Math.max(...corners.map((v) => v[n])))));
    for (let k = low[2]; k <= high[2]; k++) {
      for (let j = low[1]; j <= high[1]; j++) {
        for (let i = low[0]; i <= high[0]; i++) {
          const apart = stage.rasOf([i, j, k]).map((v, n) => v - ras[n]);
          const off = apart[normal];
          if (Math.abs(off) <= thick && Math.hypot(...apart) ** 2 - off * off <= radius * radius) this._set(i, j, k);
        }
      }
    }
    const nearest = mapped(before.toIjk, ras).map(Math.round);
    if (nearest.every((v, n) => v >= 0 && v < dims[n])) this._set(...nearest);
    viewer.set({ maskEdition: viewer.maskEdition + 1 });
  }

  _set(i, j, k) {
    const { dims } = this.stage.viewer.study.before, index = (k * dims[1] + j) * dims[0] + i;
    const { labels } = this.stage, old = labels[index];
    let now = old;
    if (this.of === TUMOUR) now = this.mode === "add" ? TUMOUR : old === TUMOUR ? LIVER : old;
    // tumour lies in the liver: who paints or erases liver leaves it as it is
    else if (old !== TUMOUR) now = this.mode === "add" ? LIVER : 0;
    if (now === old) return;
    if (!this.stroke.former.has(index)) this.stroke.former.set(index, old);
    this._write(index, now);
  }

  _write(index, value) {
    const { labels, viewer } = this.stage, { liver, tumour } = viewer.study.masks;
    labels[index] = value;
    liver[index] = value ? 255 : 0;
    tumour[index] = value >= TUMOUR ? 255 : 0;
  }

  _put(former) {
    for (const [index, value] of former) this._write(index, value);
    const { viewer } = this.stage;
    viewer.set({ maskEdition: viewer.maskEdition + 1 });
  }

  // The box around what has changed goes to the server, one stroke after the other.
  _send(indices) {
    const { stage } = this, { dims } = stage.viewer.study.before, [I, J] = dims;
    const low = [Infinity, Infinity, Infinity], high = [-1, -1, -1];
    for (const index of indices) {
      [index % I, Math.floor(index / I) % J, Math.floor(index / (I * J))].forEach((v, n) => {
        low[n] = Math.min(low[n], v);
        high[n] = Math.max(high[n], v);
      });
    }
    const caseId = stage.caseId, [w, h, d] = high.map((v, n) => v - low[n] + 1);
    const part = new Uint8Array(w * h * d);
    for (let k = 0, n = 0; k < d; k++) {
      for (let j = 0; j < h; j++, n += w) {
        const row = ((low[2] + k) * J + low[1] + j) * I + low[0];
        part.set(stage.labels.subarray(row, row + w), n);
      }
    }
    const box = [low[2], low[2] + d, low[1], low[1] + h, low[0], low[0] + w].join();
    this.sending = this.sending.then(async () => {
      if (stage.caseId !== caseId) return;
      try {
        const one = await patchBytes(`/app/cases/${caseId}/outline?box=${box}&edition=${stage.edition}`, part);
        stage.edition = one.outline.edition;
        this.onkept(one);
      } catch (error) {
        this.forget();
        stage.edition = 0; // what the server has is shown again
        this.onerror(error);
      }
    });
    return this.sending;
  }
}
