// The bar around the pictures: what is shown, window, planes, fade, cross-hair, read-out; and what keys do with them.

// `more`: further actions by key. Returns what others do with the bar.
function connectToolbar(root, viewer, more = {}) {
  const one = (name) => root.querySelector(`[data-mv="${name}"]`);
  const all = (name) => [...root.querySelectorAll(`[data-mv="${name}"]`)];
  const alert = one("alert");
  const complain = (error) => {
    alert.textContent = error ? error.message : "";
    alert.hidden = !error;
  };

  const choose = (name, value) => {
    const input = all(name).find((candidate) => candidate.value === value);
    if (!input || input.disabled || input.checked) return;
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  for (const input of all("show")) input.addEventListener("change", () => viewer.set({ show: input.value }));
  for (const input of all("layout")) input.addEventListener("change", () => viewer.setLayout(input.value));
  for (const input of all("window")) input.addEventListener("change", () => viewer.setPreset(input.value));
  one("outlines").addEventListener("change", (event) => viewer.set({ outlines: event.target.checked }));
  one("measure").addEventListener("change", (event) => viewer.set({ measuring: event.target.checked, tape: null }));
  one("flicker").addEventListener("change", (event) => viewer.setFlicker(event.target.checked));
  one("reset").addEventListener("click", () => {
    viewer.resetZoom();
    viewer.set({ tape: null });
    viewer.goTo(viewer.study.target);
  });
  const fade = one("fade");
  fade.addEventListener("input", () => setFade(fade.value / 100));
  for (const name of ["width", "level"]) {
    one(name).addEventListener("change", () => {
      const value = Number(one(name).value);
      if (Number.isFinite(value) && (name === "level" || value >= 1)) setWindow({ ...viewer.window, [name]: value });
    });
  }
  one("place").addEventListener("submit", (event) => {
    event.preventDefault();
    const ras = ["r", "a", "s"].map((axis) => Number(one(axis).value));
    if (ras.every(Number.isFinite)) viewer.goTo(ras, false);
  });

  function setWindow({ width, level }) {
    viewer.set({ window: { width, level } });
  }

  function setFade(value) {
    choose("show", "simulated");
    viewer.set({ fade: Math.min(1, Math.max(0, Math.round(100 * value) / 100)) });
  }

  // What there is nothing to show of cannot be chosen.
  const allow = () => {
    for (const choice of all("show")) {
      choice.disabled = !viewer.outcome ? choice.value !== "before" : choice.value === "uncertainty" && !viewer.outcome.sd;
    }
  };

  const actions = {
    fade: (by) => setFade(viewer.fade + by),
    1: () => choose("show", "before"), 2: () => choose("show", "simulated"),
    3: () => choose("show", "difference"), 4: () => choose("show", "uncertainty"),
    l: () => viewer.setPreset("liver"), t: () => viewer.setPreset("soft"),
    i: () => viewer.setPreset("lipiodol"), b: () => viewer.setPreset("bone"),
    f: () => one("flicker").click(), o: () => one("outlines").click(), r: () => one("reset").click(),
    "?": () => unfold(one("help")),
    ...more,
  };
  for (const pane of viewer.panes) {
    watchPointers(pane, viewer);
    watchKeys(pane, viewer, actions);
  }

  const hu = (value) => (value === undefined ? "\u2014" : `${+value.toFixed(1)} HU`.replace("-", "\u2212"));
  let spoken;
  viewer.listeners.push(() => {
    const found = viewer.reading();
    const place = found.ras.map((v, axis) => placeText(axis, v)).join(", ");
    const texts = {
      "at": place, "voxel": found.voxel ? found.voxel.join(", ") : "outside",
      "hu-before": hu(found.before), "hu-simulated": hu(found.simulated),
      "hu-difference": found.difference > 0 ? `+${hu(found.difference)}` : hu(found.difference), "hu-sd": hu(found.sd),
      "length": viewer.tape ? `${apart(viewer.tape.from, viewer.tape.to).toFixed(1)} mm` : "\u2014",
    };
    for (const [name, text] of Object.entries(texts)) if (one(name).textContent !== text) one(name).textContent = text;
    ["r", "a", "s"].forEach((axis, n) => {
      if (document.activeElement !== one(axis)) one(axis).value = +found.ras[n].toFixed(4);
    });
    for (const name of ["width", "level"]) if (document.activeElement !== one(name)) one(name).value = viewer.window[name];
    for (const input of all("window")) {
      const [width, level] = viewer.header.windows[input.value];
      input.checked = width === viewer.window.width && level === viewer.window.level;
    }
    fade.value = Math.round(100 * viewer.fade);
    fade.setAttribute("aria-valuetext", `${Math.round(100 * viewer.fade)} percent simulated`);
    clearTimeout(spoken);
    // once the hand rests, for those who listen
    spoken = setTimeout(() => {
      one("spoken").textContent = `${place}: before ${texts["hu-before"]}, simulated ${texts["hu-simulated"]}`;
    }, 500);
  });
  return { one, all, choose, complain, allow };
}
