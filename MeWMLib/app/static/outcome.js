// Steps 5 and 6: the ranking while it grows and when it is there, the numbers of one protocol, and an assessment.

import { blob } from "./api.js";
import { byId, fill, make, show, signed } from "./dom.js";
import { rule, unjudged } from "./patient.js";

const ml = (value) => (value === null || value === undefined ? "not known" : `${value.toFixed(1)} ml`);

export function fact(value, title) {
  return make("div", { class: "fact" }, make("b", {}, value), make("span", {}, title));
}

// The protocols of a plan; `live` while the search goes on, when none can be looked at yet.
export function showRanking(plan, chosen, live, onchosen) {
  const place = byId("ranking"), focused = document.activeElement && document.activeElement.closest("#ranking") !== null;
  const asked = live ? [] : plan.questions;
  fill(byId("cautions"), ...(live ? [] : plan.cautions).map((text) => make("p", { class: "question" }, text)),
    asked.length ? make("details", { class: "fold-line" }, make("summary", {}, `What was asked or noted of this case: ${asked.length}`),
      ...asked.map((one) => make("p", { class: "soft" }, one.text))) : null);
  const single = plan.candidates.length === 1 && plan.kind !== "searched";
  fill(place, ...plan.candidates.map((one) => {
    const input = make("input", { type: "radio", name: "rank", value: `${one.rank}`, disabled: live || !one.shown, checked: !live && one.rank === chosen });
    input.addEventListener("change", () => onchosen(one));
    const risk = `log-risk ${signed(one.log_risk, 2)}${one.interval ? ` (${one.interval})` : ""}`;
    const change = `viable tumour ${signed(one.viable_change_percent)} %`;
    return make("label", { class: `card radio${one.shown || live ? "" : " dim"}` }, input,
      make("b", {}, single ? "" : make("span", { class: "rank" }, `${one.rank}`), one.protocol),
      make("span", {}, `${one.template}. ${risk}, ${change}`),
      one.apart && !live ? make("span", {}, one.apart) : null,
      one.forbidden ? make("span", { class: "trouble" }, `forbidden by ${one.forbidden}`) : null);
  }));
  if (focused) {
    const input = place.querySelector("input:checked");
    if (input) input.focus({ preventScroll: true });
  }
}

export function showFacts(one) {
  const place = byId("outcome-facts"), rules = byId("outcome-rules");
  if (!one) {
    fill(place);
    return fill(rules);
  }
  fill(place, make("h3", {}, one.described),
    make("div", { class: "facts" },
      fact(`${signed(one.viable_change_percent)} %`, `viable tumour, predicted by the model: ${ml(one.viable_before_ml)} to ${ml(one.viable_after_ml)}${one.picture ? `; measured in the picture: ${one.picture}` : ""}`),
      fact(signed(one.log_risk, 2), `predicted log-risk${one.interval ? ` (${one.interval})` : ""}; 0 is the average synthetic patient`),
      fact(one.survival.split(" (")[0], `predicted median survival${one.survival.includes("(") ? ` (${one.survival.split(" (")[1]}` : ""}`),
      fact(`${ml(one.volume_before_ml)} to ${ml(one.volume_after_ml)}`, "whole tumour")));
  return fill(rules, ...one.warnings.map(rule), one.unjudged ? unjudged(one.unjudged) : null);
}

// Earlier results of the case, where there are several.
export function showRuns(runs, shown, onchosen) {
  const known = runs.filter((run) => run.kind !== "segment" && run.kind !== "assess" && run.final && run.final.kind === "result");
  const select = make("select", { "aria-label": "Result" }, ...known.map((run, n) => make("option", { value: run.id }, `${n + 1}. ${run.title}`)));
  select.value = shown.id;
  select.addEventListener("change", () => onchosen(known.find((run) => run.id === select.value)));
  fill(byId("runs"), select);
  show(byId("runs"), known.length > 1);
}

const CATEGORIES = { CR: "Complete response", PR: "Partial response", SD: "Stable disease", PD: "Progressive disease" };

// What `assess` found, in the words of its own result.
export async function showAssessment(caseId, run, data) {
  const place = byId("assessment");
  const { before, after } = data.volumes_ml;
  const rows = [fact(`${ml(before.volume)} to ${ml(after.volume)}`, "tumour, by its outline"), fact(`${ml(after.lipiodol)}`, "tissue with Lipiodol")];
  for (const one of [data.recist, data.mrecist]) rows.push(fact(CATEGORIES[one.category] || "cannot be judged", `${one.criterion}: ${one.reasons.join("; ")}`));
  const told = data.risk_total_interval, months = data.median_interval_months;
  rows.push(fact(signed(data.risk, 2), `predicted log-risk, from the CT after treatment${told ? ` (95 % interval ${signed(told[0], 2)} to ${signed(told[1], 2)})` : ""}`));
  if (typeof data.median_survival_months === "number") {
    const spread = months ? ` (90 % interval ${months.map((end) => (end === null ? "later" : end.toFixed(1))).join(" to ")})` : "";
    rows.push(fact(`${data.median_survival_months.toFixed(1)} months`, `predicted median survival${spread}`));
  }
  const { word, text } = data.registration;
  fill(place, make("div", { class: "facts" }, ...rows),
    make("details", { class: "fold-line" }, make("summary", {}, `Registration of the two scans: ${word}`), make("p", { class: "soft" }, `${text}. ${data.labels_after.note}.`)));
  for (const question of data.questions || []) {
    place.append(make("p", { class: "question" }, question.text));
  }
  try {
    const image = make("img", { alt: "The CT after treatment, registered, beside the one before" });
    image.src = await dataUrl(await blob(`/app/cases/${caseId}/runs/${run.id}/picture`));
    place.append(image);
  } catch { /* an assessment without a picture is one all the same */ }
  show(place, true);
}

// A picture that the page's policy lets in.
function dataUrl(content) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(content);
  });
}
