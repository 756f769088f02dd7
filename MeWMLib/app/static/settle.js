// What can be done now, and what is said of it: every button and line that follows from the state of the app.

import { byId, fill, make, show } from "./dom.js";
import { phaseText } from "./opening.js";

const SOURCES = {
  expert: "Comes with the sample.", assistant: "Found by MeWM. Look at it before you go on.",
  file: "From your file.", you: "Corrected by you.",
};

// What the server says of the form, and which results it changes.
export function heed(app, advice) {
  app.advice = advice;
  if (app.case && advice.changed) app.case.changed = advice.changed;
  app.settle();
}

// What has changed since a result was computed, in a sentence.
function changedSince(one, run) {
  const found = (one && run && one.changed && one.changed[run.id]) || [];
  return found.length ? `Changed since this was computed: ${found.join(", ")}. Compute it again to see what that changes.` : "";
}

export function settle(app) {
  const one = app.case, busy = app.jobs.busy, outline = one && one.outline;
  show(byId("another"), Boolean(one));
  byId("case-name").textContent = one ? one.name : "No CT open";
  const facts = one && one.grid && one.phase !== "unknown" ? one.phase : "";
  app.steps.done("open", facts);
  app.steps.done("outline", outline ? `${outline.tumour_ml} ml` : "");
  byId("outline-from").textContent = outline ? [SOURCES[outline.source], outline.note].filter(Boolean).join(" ") : "MeWM outlines both on the CT. You can correct it with a brush.";
  fill(byId("outline-facts"), ...(outline ? [make("div", {}, make("dt", {}, "Liver"), make("dd", {}, `${outline.liver_ml} ml`)), make("div", {}, make("dt", {}, "Tumour"), make("dd", {}, `${outline.tumour_ml} ml`))] : []));
  show(byId("outline-facts"), Boolean(outline));
  show(byId("brush-part"), Boolean(outline));
  byId("undo").disabled = !app.brush.canUndo;
  byId("find").disabled = !one || busy;
  byId("find").textContent = outline ? "Find them again" : "Find liver and tumour";
  byId("find").classList.toggle("primary", !outline);
  const advice = app.advice, protocol = advice && advice.protocol;
  const filled = one ? Object.keys(app.form.values().clinical).length : 0;
  app.steps.done("patient", !filled ? "optional" : filled === 1 ? "1 value" : `${filled} values`);
  const why = !outline ? "Find liver and tumour first." : outline.tumour_ml === 0 ? "There is no tumour in the outline." : busy ? "" : !protocol || protocol.error ? "Choose a kind of treatment, or write a protocol." : "";
  const ready = Boolean(outline) && outline.tumour_ml > 0 && !busy;
  byId("simulate").disabled = !ready || !protocol || Boolean(protocol.error);
  byId("explore").disabled = !ready;
  byId("treat-why").textContent = why;
  app.steps.done("outcome", !app.result ? "" : app.result.plan.kind === "searched" ? `rank ${app.rank} of ${app.result.plan.candidates.length}` : "your protocol");
  const after = one && one.after && one.after.state === "open" ? one.after : null, sample = one && one.after_sample;
  byId("after-name").textContent = after ? `${after.name}, ${phaseText(after.phase)}` : sample ? "The sample has a CT after treatment of its own." : "";
  byId("assess").disabled = !ready || !(after || sample);
  for (const button of document.querySelectorAll("[data-export]")) button.disabled = !app.run || Boolean(app.saving.making);
  byId("save-what").textContent = app.run ? `Of the result \u201c${app.run.title}\u201d:` : "Simulate a treatment first.";
  for (const [id, run] of [["pictures-changed", app.run], ["outcome-changed", app.run], ["assessment-changed", app.judged]]) {
    const text = changedSince(one, run);
    // the same text put in again would be read aloud again
    if (byId(id).textContent !== text) byId(id).textContent = text;
    show(byId(id), Boolean(text));
  }
  show(byId("samples-part"), !one);
  const searching = app.jobs.run && app.jobs.run.kind === "plan";
  app.steps.next(!one ? "open" : !outline ? "outline" : app.result || searching ? "outcome" : "treat");
}
