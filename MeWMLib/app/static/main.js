// The app: which case is open, which step is next, and what each button does. What there is lies at the server.

import { AppError, get, line, post, remove, sendFile, token } from "./api.js";
import { Brush } from "./brush.js";
import { button, byId, errorBox, fill, make, say, show } from "./dom.js";
import { JobBar } from "./jobs.js";
import { dropAnywhere, dropPlace, openFiles, phaseText, readSeries, showSamples, showSeries } from "./opening.js";
import { showAssessment, showFacts, showRanking, showRuns } from "./outcome.js";
import { Form } from "./patient.js";
import { Saving } from "./saving.js";
import { heed, settle } from "./settle.js";
import { Stage } from "./stage.js";
import { Steps } from "./steps.js";

// What a user may go on with all the same, by the kind of the error.
const CONSENTS = {
  LabelQuestionError: "accept_labels", TargetQuestionError: "accept_labels", GoalQuestionError: "accept_goal",
  ForbiddenProtocolError: "allow_forbidden", ContraindicatedError: "allow_forbidden", RegistrationError: "accept_registration",
};
const LIVE_MS = 1200;
// What is still on its way from another page is that page's.
const usable = (one) => one.state !== "sending";

class App {
  constructor(start) {
    this.start = start;
    this.case = null;
    this.advice = null;
    this.result = null; // of the run that is shown
    this.judged = null; // the run of the assessment that is shown
    this.accepted = new Map(); // what a user went on with all the same, by job
    this.stage = new Stage(start);
    this.steps = new Steps();
    this.stage.onrank = (by) => this.stepRank(by);
    this.brush = new Brush(this.stage, (one) => this.took(one), (error) => this.guard(async () => { await this.refresh(); throw error; }));
    this.form = new Form(start, (advice) => heed(this, advice), (error) => this.complain(error));
    this.jobs = new JobBar(start.kinds, (run, event) => this.heard(run, event), (run, final, failure) => this.ended(run, final, failure));
    this.saving = new Saving((error) => this.complain(error));
    byId("banner").textContent = start.banner;
    byId("research").title = start.banner;
    this.wire();
  }

  wire() {
    showSamples(byId("samples"), this.start.samples, (name) => this.guard(() => this.openSample(name)));
    const drops = (ending) => ({
      drop: byId(`drop${ending}`), folder: byId(`pick-folder${ending}`), file: byId(`pick-file${ending}`),
      inputFolder: byId(`input-folder${ending}`), inputFile: byId(`input-file${ending}`),
    });
    dropPlace(drops(""), (files) => this.guard(() => this.openFiles(files)));
    dropPlace(drops("-after"), (files) => this.guard(() => this.openAfter(files)));
    const click = (id, what) => byId(id).addEventListener("click", () => this.guard(what));
    click("another", () => this.another());
    click("find", () => this.begin("segment"));
    click("simulate", () => this.begin("simulate"));
    click("explore", () => this.begin("plan"));
    click("assess", () => this.begin("assess"));
    byId("pick-labels").addEventListener("click", () => byId("input-labels").click());
    byId("input-labels").addEventListener("change", () => {
      const [file] = byId("input-labels").files;
      byId("input-labels").value = "";
      if (file) this.guard(() => this.useLabels(file));
    });
    for (const one of document.querySelectorAll("[data-export]")) {
      one.addEventListener("click", () => this.run && this.saving.save(this.case.id, this.run, one.dataset.export));
    }
    this.wireBrush();
    dropAnywhere(byId("veil"), (files, place) => this.guard(() => {
      const labels = this.case && place.closest("#step-outline");
      return labels ? this.useLabels(files[0].file) : this.openFiles(files);
    }));
    line.onchange = (away) => {
      byId("research").textContent = away ? "No answer from the app \u2026" : "Research use only";
      byId("research").classList.toggle("away", away);
    };
    // another tab may have changed something
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.case) this.guard(() => this.refresh());
    });
  }

  wireBrush() {
    const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
    const set = () => {
      byId("brush-mm").textContent = `${byId("brush-size").value} mm`;
      this.brush.set({ mode: chosen("brush"), of: Number(chosen("brush-of")), diameter: Number(byId("brush-size").value) });
    };
    for (const input of document.querySelectorAll("input[name=brush], input[name=brush-of], #brush-size")) input.addEventListener("input", set);
    byId("undo").addEventListener("click", () => this.brush.undo());
    byId("slice-up").addEventListener("click", () => this.stage.scroll(1));
    byId("slice-down").addEventListener("click", () => this.stage.scroll(-1));
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
      if ((event.ctrlKey || event.metaKey) && event.key === "z" && this.brush.canUndo && !typing) {
        event.preventDefault();
        this.brush.undo();
      }
    });
  }

  // Do something; what goes wrong is shown as it is, and nothing else stops.
  async guard(what) {
    try {
      await what();
    } catch (error) {
      this.jobs.end();
      this.complain(error);
    }
    this.settle();
  }

  complain(error, again = null) {
    const told = error instanceof AppError || error.what ? error : { what: "This page failed", given: `${error.message || error}`, remedy: "Load it anew; what was computed is kept" };
    const consent = CONSENTS[told.type], actions = [];
    const box = errorBox(told, actions);
    const row = make("p", { class: "pair" });
    if (consent && again) {
      row.append(button("Go on all the same", () => {
        box.remove();
        this.guard(() => again(consent));
      }));
    }
    row.append(button("Close", () => box.remove(), "quiet small"));
    box.append(row);
    fill(byId("errors"), box);
    box.scrollIntoView({ block: "nearest" });
  }

  clear() { fill(byId("errors")); }

  // the case

  async openSample(name) {
    this.clear();
    this.jobs.begin("Opening the sample");
    await this.show((await post("/app/cases", { sample: name })).id);
    this.jobs.end();
  }

  async openFiles(files) {
    this.clear();
    this.jobs.begin("Opening the CT");
    const one = await openFiles(files, (share, text) => this.jobs.step(share, text));
    this.jobs.end();
    await this.opened(one, byId("series"), (series) => this.show(series.id));
  }

  // A case that was read, or one of which a series must be chosen.
  async opened(one, place, done) {
    if (one.state !== "choosing") {
      show(place, false);
      return done(one);
    }
    showSeries(place, one, (series) => this.guard(async () => {
      this.jobs.begin("Reading the series");
      const read = await readSeries(one, series);
      this.jobs.end();
      show(place, false);
      await done(read);
    }));
    (place.querySelector(".best") || place.querySelector("button")).focus();
    return undefined;
  }

  async show(caseId) {
    const one = await get(`/app/cases/${caseId}`);
    if (one.state === "choosing") return this.opened(one, byId("series"), (read) => this.show(read.id));
    this.jobs.begin("Opening the CT");
    this.case = one;
    this.result = this.run = this.judged = null;
    this.brush.forget();
    sessionStorage.setItem("case", one.id);
    fill(byId("assessment"));
    await this.stage.open(one);
    await this.stage.outline(one);
    this.jobs.end();
    if (this.case !== one) return undefined;
    this.form.open(one);
    this.settle();
    say(`${one.name} is open`);
    await this.takeUp();
    return undefined;
  }

  // What the server knows now; jobs that are at work are followed, also those that another page has started.
  async refresh() {
    const one = await get(`/app/cases/${this.case.id}`);
    if (!this.case || one.id !== this.case.id) return;
    this.case = one;
    await this.stage.outline(one);
    this.settle();
    await this.takeUp();
  }

  async takeUp() {
    const runs = this.case.runs, open = runs.filter((run) => !run.final);
    for (const run of open) {
      const told = await get(`/app/cases/${this.case.id}/runs/${run.id}`);
      if (told.state !== "ended") {
        if (!this.jobs.busy) this.jobs.follow(run);
        continue;
      }
      await this.arrived(run, told); // it ended while no page looked
    }
    const last = runs.filter((run) => run.final && run.final.kind === "result" && run.kind !== "segment");
    const plan = last.filter((run) => run.kind !== "assess").pop(), judged = last.filter((run) => run.kind === "assess").pop();
    if (plan && !this.result) await this.showRun(plan);
    if (judged && !byId("assessment").childElementCount) await this.showJudged(judged);
  }

  // A case as the server told it after a change by this page.
  took(one) {
    if (this.case && one.id === this.case.id) Object.assign(this.case, one);
    this.settle();
  }

  async useLabels(file) {
    this.clear();
    const one = await sendFile(`/app/cases/${this.case.id}/outline?name=${encodeURIComponent(file.name)}`, file);
    this.brush.forget();
    this.took(one);
    await this.stage.outline(one);
  }

  async openAfter(files) {
    this.clear();
    this.jobs.begin("Opening the CT after treatment");
    const one = await openFiles(files, (share, text) => this.jobs.step(share, text), this.case.id);
    this.jobs.end();
    await this.opened(one, byId("series-after"), () => this.refresh());
  }

  async another() {
    this.jobs.stop();
    this.case = this.result = this.run = this.judged = null;
    sessionStorage.removeItem("case");
    this.stage.wanted = "";
    this.stage.close();
    this.clear();
    this.steps.open("open");
    this.settle();
    await this.listCases();
  }

  // Cases of this app that are open already.
  async listCases() {
    const cases = (await get("/app/cases")).cases.filter(usable);
    const place = byId("series");
    if (!cases.length) return show(place, false);
    fill(place, make("h3", {}, "Open in this app"), ...cases.map((one) => make("div", { class: "known" },
      make("button", { type: "button", class: "card", onclick: () => this.guard(() => this.show(one.id)) }, make("b", {}, one.name),
        make("span", {}, `${one.state === "open" ? phaseText(one.phase) : "several series"}, ${new Date(one.created * 1000).toLocaleTimeString()}`)),
      make("button", { type: "button", class: "quiet small", "aria-label": `Remove ${one.name}`, onclick: () => this.guard(async () => {
        await remove(`/app/cases/${one.id}`);
        await this.listCases();
      }) }, "Remove"))));
    show(place, true);
    return undefined;
  }

  // jobs

  // `accept`: names of what the user goes on with all the same; for this one job alone.
  async begin(kind, accept = []) {
    this.clear();
    await this.form.flush();
    await this.brush.sending;
    const asked = { kind, accept };
    if (kind === "simulate") asked.protocol = byId("protocol").value;
    try {
      const { id } = await post(`/app/cases/${this.case.id}/runs`, asked);
      this.accepted.set(id, accept);
      this.case.runs.push({ id, kind, title: kind, final: null });
      this.jobs.follow({ id, kind });
      if (kind === "plan") byId("outcome-none").textContent = "Protocols are simulated one after the other; the best so far come up here.";
    } catch (error) {
      this.complain(error, (consent) => this.begin(kind, [...accept, consent]));
    }
  }

  heard(run, event) {
    if (event.kind === "log" && event.message) byId("job-left").title = event.message;
    if (run.kind !== "plan" || event.kind !== "partial" || this.asking) return;
    // the ranking grows while the search goes on
    this.asking = true;
    setTimeout(async () => {
      try {
        const told = await get(`/app/cases/${this.case.id}/runs/${run.id}`);
        if (this.jobs.run && this.jobs.run.id === run.id && told.plan) {
          show(byId("outcome-none"), false);
          byId("outcome-note").textContent = `${told.plan.evaluated} protocols simulated so far. They can be looked at when the search ends, or is stopped.`;
          showRanking(told.plan, 0, true, () => {});
          showFacts(null);
        }
      } catch { /* the next one tells it again */ }
      this.asking = false;
    }, LIVE_MS);
  }

  ended(run, final, failure) {
    this.guard(async () => {
      if (!this.case) return;
      if (failure) throw failure;
      const told = await get(`/app/cases/${this.case.id}/runs/${run.id}`);
      await this.arrived(run, told);
    });
  }

  // A job has ended: show what came of it.
  async arrived(run, told) {
    const one = await get(`/app/cases/${this.case.id}`);
    this.case = one;
    const kept = one.runs.find((candidate) => candidate.id === run.id) || run;
    if (told.final.kind === "error") {
      const accepted = this.accepted.get(run.id) || [];
      if (told.final.data.type === "CancelledError") say("Stopped");
      else this.complain(told.final.data, (consent) => this.begin(run.kind, [...accepted, consent]));
      if (this.result) this.showResult();
      return;
    }
    say("Done");
    if (run.kind === "segment") {
      this.brush.forget();
      await this.stage.outline(one);
    } else if (run.kind === "assess") await this.showJudged(kept, told.final.data);
    else await this.showRun(kept, told);
    this.settle();
  }

  // outcomes

  async showRun(run, told = null) {
    const found = told || (await get(`/app/cases/${this.case.id}/runs/${run.id}`));
    if (!found.plan || !found.plan.candidates.length) return;
    Object.assign(this, { run, result: found });
    const first = found.plan.candidates.find((one) => one.shown);
    await this.showRank(first || null);
    this.steps.open("outcome");
  }

  async showJudged(run, data = run.final.data) {
    this.judged = run;
    await showAssessment(this.case.id, run, data);
  }

  async showRank(candidate) {
    this.rank = candidate ? candidate.rank : 0;
    this.showResult();
    this.jobs.begin("Loading the pictures");
    try {
      await this.stage.outcome(this.run, candidate);
    } finally {
      this.jobs.end();
    }
  }

  stepRank(by) {
    if (!this.result) return;
    const shown = this.result.plan.candidates.filter((one) => one.shown);
    const next = shown[shown.findIndex((one) => one.rank === this.rank) + by];
    if (next) this.guard(() => this.showRank(next));
  }

  showResult() {
    const { plan } = this.result;
    show(byId("outcome-none"), false);
    const note = [plan.stopped ? "The search was stopped; these are the best until then." : ""];
    if (plan.kind === "searched") note.unshift(`Best of ${plan.evaluated} protocols, by predicted risk.`);
    byId("outcome-note").textContent = note.filter(Boolean).join(" ");
    showRanking(plan, this.rank, false, (one) => this.guard(() => this.showRank(one)));
    showFacts(plan.candidates.find((one) => one.rank === this.rank));
    showRuns(this.case.runs, this.run, (run) => this.guard(() => this.showRun(run)));
  }

  // what can be done now

  settle() { settle(this); }
}

async function begin() {
  if (!token()) {
    fill(byId("errors"), errorBox({ what: "The address lacks its token", given: "", remedy: "Open the whole address that `mewm app` has printed, with what follows #" }));
    return;
  }
  try {
    const app = new App(await get("/app/start"));
    const cases = (await get("/app/cases")).cases.filter(usable);
    app.settle();
    const last = cases.find((one) => one.id === sessionStorage.getItem("case")) || cases[cases.length - 1];
    if (last) await app.guard(() => app.show(last.id));
    document.body.dataset.ready = "yes";
  } catch (error) {
    fill(byId("errors"), errorBox(error instanceof AppError ? error : { what: "This page failed", given: `${error}`, remedy: "Load it anew" }));
  }
}

begin();
