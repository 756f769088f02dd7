// The pictures in the middle: CT, outline and outcomes of the case that is open, shown by the report's own viewer.

import { Viewer, add, connectToolbar, limitOf, mapped, masksOf, volumeOf } from "./viewer.js";
import { bytes, edition } from "./api.js";
import { byId, make, show } from "./dom.js";

const KINDS = { i2: Int16Array, f4: Float32Array };

export class Stage {
  constructor(start) {
    const root = byId("viewer");
    const presets = byId("window-presets");
    for (const [name, { title }] of Object.entries(start.windows)) {
      presets.append(make("label", {}, make("input", { type: "radio", name: "mv-window", "data-mv": "window", value: name }), title));
    }
    for (const [key, what] of start.keys) byId("keys").append(make("div", {}, make("dt", {}, key), make("dd", {}, what)));
    this.root = root;
    this.viewer = new Viewer(root, start.viewer);
    this.onrank = () => {};
    this.bar = connectToolbar(root, this.viewer, { "[": () => this.onrank(-1), "]": () => this.onrank(1) });
    this.viewer.set({ alone: true });
    this.viewer.setLayout("three");
    this.caseId = "";
    this.edition = 0;
    this.shownRun = this.shownRank = null;
  }

  get isOpen() { return Boolean(this.caseId); }

  // Show the CT of a case; its outline comes by `outline`.
  async open(one) {
    this.wanted = one.id;
    if (this.caseId === one.id) return;
    // nobody's pictures are better than another patient's
    this.close();
    const { shape, affine, dtype } = one.grid;
    const voxels = new KINDS[dtype](await bytes(`/app/cases/${one.id}/voxels`));
    if (this.wanted !== one.id) return;
    const before = volumeOf(voxels, shape, affine);
    const middle = mapped(before.toRas, before.dims.map((n) => Math.round((n - 1) / 2)));
    this.caseId = one.id;
    this.edition = 0;
    this.labels = null;
    this.shownRun = this.shownRank = null;
    show(byId("welcome"), false);
    show(this.root, true);
    this.viewer.resetZoom();
    this.viewer.setStudy({ before, masks: null, outcomes: new Map(), target: middle, whole: true });
    this.viewer.set({ rank: null, named: "", seed: null });
    this.viewer.setLayout(this.viewer.layout);
    this.root.dataset.state = "open";
    this.bar.allow();
  }

  close() {
    this.caseId = "";
    this.root.dataset.state = "empty";
    show(this.root, false);
    show(byId("welcome"), true);
  }

  // The outline as the server has it, if it is another one than the one that is shown.
  async outline(one) {
    const { viewer } = this, study = viewer.study;
    if (!one.outline || one.id !== this.caseId || one.outline.edition === this.edition) return;
    const found = await edition(`/app/cases/${one.id}/outline`);
    if (one.id !== this.caseId) return;
    this.edition = found.edition;
    this.labels = new Uint8Array(found.bytes);
    const first = !study.masks;
    study.masks = masksOf(this.labels);
    viewer.set({ maskEdition: viewer.maskEdition + 1 });
    if (one.outline.target) {
      study.target = one.outline.target;
      if (first) viewer.goTo(study.target);
    }
  }

  // Show an outcome of a run; null shows the CT alone.
  async outcome(run, candidate) {
    const { viewer } = this, study = viewer.study;
    if (!candidate) {
      this.shownRun = this.shownRank = null;
      study.outcomes.clear();
      await viewer.setOutcome(-1, "");
      this.bar.allow();
      return;
    }
    if (this.shownRun !== run.id) study.outcomes.clear();
    const fresh = this.shownRun === null;
    [this.shownRun, this.shownRank] = [run.id, candidate.rank];
    if (!study.outcomes.has(candidate.rank)) study.outcomes.set(candidate.rank, this._entry(run, candidate));
    await viewer.setOutcome(candidate.rank, candidate.named);
    this.bar.allow();
    if (fresh) {
      this.bar.choose("layout", "four");
      this.bar.choose("show", "simulated");
      viewer.goTo(study.target);
    }
  }

  _entry(run, candidate) {
    const { before } = this.viewer.study, KindOf = before.voxels.constructor;
    const path = `/app/cases/${this.caseId}/runs/${run.id}/volumes/${candidate.rank}`;
    const on = (voxels) => ({ ...before, voxels });
    const entry = { seed: candidate.seed, difference: 0, deviation: 0 };
    entry.load = async () => {
      const wanted = [bytes(`${path}/ct`), bytes(`${path}/labels`), candidate.sd ? bytes(`${path}/sd`) : null];
      const [ct, labels, sd] = await Promise.all(wanted);
      const voxels = new KindOf(ct), deviation = sd ? new Float32Array(sd) : null;
      entry.difference = limitOf(voxels, before.voxels);
      entry.deviation = deviation ? limitOf(deviation) : 0;
      return { ct: on(voxels), sd: deviation ? on(deviation) : null, masks: masksOf(new Uint8Array(labels)) };
    };
    return entry;
  }

  scroll(slices) { this.viewer.scroll("axial", slices); }

  // A place of a voxel, RAS mm.
  rasOf(ijk) { return mapped(this.viewer.study.before.toRas, ijk); }

  static along(point, direction, share) { return add(point, direction, share); }
}
