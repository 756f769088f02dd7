// The job that is at work: stage, time left, Cancel. The server has it; any page, also a new one, takes it up.

import { follow, post } from "./api.js";
import { byId, say, show } from "./dom.js";

export class JobBar {
  // words: titles of kinds and stages; onevent: told every event; onend: told the run and its last event.
  constructor(words, onevent, onend) {
    Object.assign(this, { words, onevent, onend, run: null });
    byId("job-cancel").addEventListener("click", () => this.cancel());
  }

  get busy() { return this.run !== null || Boolean(this.local); }

  // Something that is done by this page itself, such as sending files.
  begin(title, oncancel = null) {
    this.local = { title, oncancel };
    this._show(title, "", null, null, Boolean(oncancel));
  }

  step(fraction, text) {
    if (this.local) this._show(this.local.title, text, fraction, null, Boolean(this.local.oncancel));
  }

  end() {
    this.local = null;
    if (!this.run) show(byId("job"), false);
  }

  // Follow a run of a case to its end.
  async follow(run) {
    if (this.run && this.run.id === run.id) return;
    this.stop();
    const watching = new AbortController();
    Object.assign(this, { run, watching });
    const kind = this.words[run.kind];
    this._show(kind.title, "", null, null, true);
    let stage = "", final = null, failure = null;
    try {
      final = await follow(run.id, (event) => {
        if (event.kind === "queue") this._show(kind.title, `waits, place ${event.position}`, null, event.expected_wait_s, true);
        else if (event.kind === "progress") {
          const title = kind.stages[event.stage] || event.stage;
          if (title !== stage) say(`${kind.title}: ${title}`);
          stage = title;
          this._show(kind.title, event.message || title, event.fraction, event.eta_s, true);
        }
        this.onevent(run, event);
      }, watching.signal);
    } catch (error) {
      failure = error;
    }
    if (this.watching !== watching) return;
    Object.assign(this, { run: null, watching: null });
    show(byId("job"), false);
    this.onend(run, final, failure);
  }

  stop() {
    if (this.watching) this.watching.abort();
    Object.assign(this, { run: null, watching: null });
    show(byId("job"), false);
  }

  async cancel() {
    if (this.local && this.local.oncancel) return this.local.oncancel();
    if (!this.run) return undefined;
    byId("job-stage").textContent = "stopping";
    byId("job-cancel").disabled = true;
    return post(`/jobs/${this.run.id}/cancel`).catch(() => {});
  }

  _show(title, stage, fraction, left, stoppable) {
    show(byId("job"), true);
    byId("job-title").textContent = title;
    byId("job-stage").textContent = stage;
    const meter = byId("job-meter"), bar = byId("job-bar"), known = typeof fraction === "number";
    meter.classList.toggle("waiting", !known);
    bar.style.width = known ? `${Math.round(100 * fraction)}%` : "";
    if (known) meter.setAttribute("aria-valuenow", `${Math.round(100 * fraction)}`);
    else meter.removeAttribute("aria-valuenow");
    byId("job-left").textContent = typeof left === "number" ? timeText(left) : "";
    show(byId("job-cancel"), stoppable);
    byId("job-cancel").disabled = false;
  }
}

export function timeText(seconds) {
  if (seconds < 1) return "a moment left";
  if (seconds < 90) return `about ${Math.ceil(seconds)} s left`;
  return `about ${Math.round(seconds / 60)} min left`;
}
