// The page of a reader study: a case at a time, real or simulated, how sure, next.

class StudyPage {
  constructor(root, header) {
    this.root = root;
    this.header = header;
    this.alert = this.one("alert");
    this.log = new StudyLog(header, (error) => this.complain(error));
    this.clock = new Clock();
    this.viewer = new Viewer(document.getElementById("viewer"), header);
    this.name = null; // of the case that is shown
    this.loading = new Map();
    this.shownAs = "";
    this._connect();
    this._start();
  }

  one(name) { return this.root.querySelector(`[data-st="${name}"]`); }
  all(name) { return [...this.root.querySelectorAll(`[data-st="${name}"]`)]; }
  checked(name) { const found = this.all(name).find((input) => input.checked); return found ? found.value : null; }
  get state() { return this.root.dataset.state; }
  set state(value) { this.root.dataset.state = value; }

  complain(error) {
    this.alert.textContent = error ? error.message : "";
    this.alert.hidden = !error;
  }

  // Calls what a button does; an error is told above the pictures.
  async _try(work) {
    this.complain(null);
    try {
      await work();
    } catch (error) {
      this.complain(error);
    }
  }

  _start() {
    const reader = this.one("reader"), known = this.log.known();
    for (const code of this.header.readers) reader.append(new Option(known.includes(code) ? `${code} (begun here)` : code, code));
    if (known.length) reader.value = known[0];
    this.state = "start";
  }

  _connect() {
    const on = (name, kind, work) => this.all(name).forEach((one) => one.addEventListener(kind, (event) => this._try(() => work(event))));
    on("begin", "click", () => this._go(() => this.log.begin(this.one("reader").value)));
    on("take", "change", async (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      await this.log.take(file);
      await this._go(() => {});
    });
    on("next", "click", () => this.next());
    on("pause", "click", () => this.pause());
    on("resume", "click", () => this.resume());
    on("save-json", "click", () => this.log.save("json"));
    on("save-csv", "click", () => this.log.save("csv"));
    for (const name of ["answer", "confidence"]) {
      on(name, "change", (event) => {
        this.log.add(name, this.name, event.target.value);
        this._ready();
      });
    }
    this._connectViewer();
    document.addEventListener("visibilitychange", () => {
      if (this.state !== "reading") return;
      if (document.hidden) this._rest("hidden");
      else { this.log.add("seen again", this.name); this.clock.go(); }
    });
    addEventListener("storage", (event) => {
      if (!this.log.begun || event.key !== this.log.key) return;
      // two tabs would overwrite each other's answers: this one writes no more
      this.clock.stop();
      this.log.state = null;
      this.state = "failed";
      this.complain(new Error("This session was opened in another tab or window. Go on there, or close it and load this page again."));
    });
    addEventListener("pagehide", () => { if (this.state === "reading") this._rest("left"); });
    // every click is kept, also those that do nothing
    addEventListener("click", (event) => {
      const place = event.target.closest("button, label, summary, select, input");
      if (place && this.log.begun) this.log.add("click", this.name || "", (place.textContent.trim() || place.getAttribute("aria-label") || place.type || "").slice(0, 40));
    }, true);
    addEventListener("keydown", (event) => this._key(event));
  }

  _connectViewer() {
    const viewer = this.viewer, root = viewer.root;
    const one = (name) => root.querySelector(`[data-mv="${name}"]`);
    const all = (name) => [...root.querySelectorAll(`[data-mv="${name}"]`)];
    for (const input of all("layout")) input.addEventListener("change", () => viewer.setLayout(input.value));
    for (const input of all("window")) input.addEventListener("change", () => viewer.setPreset(input.value));
    one("measure").addEventListener("change", (event) => viewer.set({ measuring: event.target.checked, tape: null }));
    one("reset").addEventListener("click", () => this._centre());
    for (const name of ["width", "level"]) {
      one(name).addEventListener("change", () => {
        const value = Number(one(name).value);
        if (Number.isFinite(value) && (name === "level" || value >= 1)) viewer.set({ window: { ...viewer.window, [name]: value } });
      });
    }
    const actions = {
      fade: () => {}, l: () => viewer.setPreset("liver"), t: () => viewer.setPreset("soft"),
      i: () => viewer.setPreset("lipiodol"), b: () => viewer.setPreset("bone"), "?": () => unfold(one("help")),
    };
    for (const pane of viewer.panes) {
      watchPointers(pane, viewer);
      watchKeys(pane, viewer, actions);
      pane.canvas.addEventListener("pointerdown", (event) => {
        const box = pane.canvas.getBoundingClientRect();
        const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => v.toFixed(3));
        this.log.add("picture", this.name || "", `${pane.name} ${at.join(" ")}`);
      });
    }
    viewer.listeners.push(() => {
      const { point, window: { width, level }, layout } = viewer, found = viewer.reading();
      const hu = found.before === undefined ? "\u2014" : `${found.before} HU`.replace("-", "\u2212");
      if (one("hu").textContent !== hu) one("hu").textContent = hu;
      const length = viewer.tape ? `${apart(viewer.tape.from, viewer.tape.to).toFixed(1)} mm` : "\u2014";
      if (one("length").textContent !== length) one("length").textContent = length;
      for (const input of all("window")) {
        const [w, l] = viewer.header.windows[input.value];
        input.checked = w === width && l === level;
      }
      for (const name of ["width", "level"]) if (document.activeElement !== one(name)) one(name).value = viewer.window[name];
      clearTimeout(this.resting);
      // where the eye rests, once it does
      this.resting = setTimeout(() => {
        const shown = `${layout} ${point.map((v) => v.toFixed(1)).join(" ")} W${width} L${level}`;
        if (this.state === "reading" && shown !== this.shownAs) this.log.add("looked at", this.name, this.shownAs = shown);
      }, 400);
    });
  }

  _key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || this.state !== "reading") return;
    const { key, target } = event, letter = key.toLowerCase();
    if (target.matches("input[type=number], select")) return;
    this.log.add("key", this.name, key);
    const choose = (name, value) => this.all(name).find((input) => input.value === value).click();
    if (letter === "r") choose("answer", "real");
    else if (letter === "s") choose("answer", "simulated");
    else if ("12345".includes(key)) choose("confidence", key);
    else if (letter === "p") this.one("pause").click();
    else if (key === "Enter" && !target.matches("button, summary")) this.one("next").click();
    else return;
    event.preventDefault();
  }

  async _go(begin) {
    begin();
    await this._show(this.log.next());
  }

  async _load(name) {
    if (!this.loading.has(name)) {
      this.loading.set(name, (async () => {
        const { shape, affine, code } = this.header;
        const before = volumeOf(await blobVoxels({ blob: name, code }, shape[2]), shape, affine);
        return { before, masks: null, outcomes: new Map(), target: mapped(before.toRas, before.dims.map((n) => Math.floor((n - 1) / 2))), whole: false };
      })());
    }
    return this.loading.get(name);
  }

  _centre() {
    this.viewer.resetZoom();
    this.viewer.set({ tape: null });
    this.viewer.goTo(this.viewer.study.target);
  }

  async _show(name) {
    this.name = name;
    for (const input of [...this.all("answer"), ...this.all("confidence")]) input.checked = false;
    this._progress();
    if (name === null) {
      this.state = "done";
      this.log.add("finished");
      this.one("done-title").focus();
      return;
    }
    this.state = "loading";
    const study = await this._load(name);
    this.state = "reading";
    this.viewer.setPreset("liver"); // every case begins with the same window
    this.viewer.setStudy(study);
    this._centre();
    this._ready();
    this.viewer.panes[0].canvas.focus({ preventScroll: true }); // arrows scroll at once
    this.log.add("shown", name);
    this.clock.start(this.log.state.spent || 0);
    const order = this.header.orders[this.log.state.reader], after = order[order.indexOf(name) + 1];
    for (const kept of [...this.loading.keys()]) if (kept !== name && kept !== after) this.loading.delete(kept);
    if (after) this._load(after);
  }

  _progress() {
    const done = this.log.state.answers.length, all = this.header.orders[this.log.state.reader].length;
    const text = this.name === null ? `All ${all} cases are answered` : `Case ${done + 1} of ${all}`;
    for (const one of this.all("progress")) one.textContent = text;
    this.one("bar").max = all;
    this.one("bar").value = done;
    for (const one of this.all("who")) one.textContent = this.log.state.reader;
  }

  _ready() {
    this.one("next").disabled = !(this.checked("answer") && this.checked("confidence"));
  }

  async next() {
    if (this.one("next").disabled || this.state !== "reading") return;
    this.clock.stop();
    this.log.answer(this.name, this.checked("answer"), Number(this.checked("confidence")), this.clock.seconds);
    this.one("next").disabled = true;
    await this._show(this.log.next());
  }

  // The clock stands still, and what it shows is kept for whoever goes on.
  _rest(why) {
    this.clock.stop();
    this.log.state.spent = this.clock.seconds;
    this.log.add(why, this.name);
  }

  pause() {
    if (this.state !== "reading") return;
    this._rest("paused");
    this.state = "paused";
    this.one("resume").focus();
  }

  resume() {
    this.state = "reading";
    this.log.add("went on", this.name);
    this.clock.go();
    this.viewer.changed();
  }
}

(() => {
  const root = document.getElementById("study");
  const page = new StudyPage(root, JSON.parse(document.getElementById("viewer-header").textContent));
  if (typeof DecompressionStream === "undefined") {
    page.state = "failed";
    page.complain(new Error("This browser cannot unpack the pictures (it lacks DecompressionStream): use Chrome or Edge 80, Firefox 113, Safari 16.4 or newer."));
  }
})();
