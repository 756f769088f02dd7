// Steps 3 and 4: clinical data, goal and protocol; what is said of them comes from the server at every change.

import { put } from "./api.js";
import { byId, errorBox, fill, make } from "./dom.js";

// The values that most rules ask for; all others are folded away.
const MAIN = ["child_pugh_class", "ecog", "bilirubin_mg_per_dl", "albumin_g_per_dl", "creatinine_mg_per_dl", "portal_vein_thrombosis", "ascites", "allergies"];
const WAIT_MS = 250;
// Further texts of the form.
const SESSION = ["goal", "target", "territory"];
const SEVERITIES = { forbidden: "Forbidden", warning: "Warning", note: "Note" };

export class Form {
  // onadvice: called with what is said of the form; onerror: with what went wrong.
  constructor(start, onadvice, onerror) {
    Object.assign(this, { start, onadvice, onerror, caseId: "", inputs: new Map() });
    const main = MAIN.map((name) => start.fields.find((field) => field.name === name)).filter(Boolean);
    byId("fields-main").append(...main.map((field) => this._row(field)));
    byId("fields-more").append(...start.fields.filter((field) => !main.includes(field)).map((field) => this._row(field)));
    for (const id of SESSION) byId(id).addEventListener("input", () => this.changed());
    byId("protocol").addEventListener("input", () => { this._forgetTemplate(); this.changed(); });
    byId("templates").append(...start.templates.map((template) => this._card(template)));
  }

  _row(field) {
    const id = `field-${field.name}`, help = `${id}-help`;
    let input;
    const described = field.help ? { "aria-describedby": help } : {};
    if (field.kind === "flag" || field.kind === "choice") {
      const options = field.kind === "flag" ? [["true", "yes"], ["false", "no"]] : field.choices.map((one) => [one, one]);
      input = make("select", { id, ...described }, make("option", { value: "" }, "not known"), ...options.map(([value, text]) => make("option", { value }, text)));
    } else if (field.kind === "list") input = make("input", { id, type: "text", placeholder: "not known; none; a, b", ...described });
    else {
      const limits = { min: `${field.low}`, max: `${field.high}`, step: field.kind === "whole" ? "1" : "any" };
      input = make("input", { id, type: "number", placeholder: field.others.length ? "" : "not known", ...limits, ...described });
    }
    input.addEventListener("input", () => this.changed());
    // a number may be told in another unit: the server knows it by another key
    let unit = field.unit ? make("span", { class: "unit" }, field.unit) : null;
    const entry = { field, input, units: null };
    if (field.others.length) {
      const known = [{ key: field.name, unit: field.unit }, ...field.others];
      unit = entry.units = make("select", { class: "units", "aria-label": `unit of ${field.title}` }, ...known.map((one) => make("option", { value: one.key }, one.unit)));
      unit.addEventListener("change", () => { this._limits(entry); this.changed(); });
    }
    this.inputs.set(field.name, entry);
    return make("div", { class: "field" }, make("label", { for: id }, field.title), make("span", { class: "value" }, input, unit),
      field.help ? make("small", { id: help }, field.help) : null);
  }

  // The range that the browser checks is that of the field's own unit.
  _limits({ field, input, units }) {
    const own = units.value === field.name;
    for (const [name, value] of [["min", field.low], ["max", field.high]]) {
      if (own) input.setAttribute(name, `${value}`);
      else input.removeAttribute(name);
    }
  }

  _card(template) {
    const input = make("input", { type: "radio", name: "template", value: template.name });
    input.addEventListener("click", () => this.choose(template));
    return make("label", { class: "card radio", title: template.source }, input, make("b", {}, template.title));
  }

  // Put the agents of a template into the protocol, with doses that are usual.
  choose(template) {
    const rows = template.slots.map((slot) => {
      const select = make("select", { "aria-label": `${slot.name}, agent` },
        slot.optional ? make("option", { value: "" }, "none") : null,
        ...slot.agents.map((agent) => make("option", { value: agent.name }, agent.name)));
      select.value = slot.agents[0].name;
      const dose = make("input", { type: "number", min: "0", step: "any", "aria-label": `${slot.name}, dose` });
      const unit = make("span", { class: "unit" });
      const settle = () => {
        const agent = slot.agents.find((one) => one.name === select.value);
        dose.disabled = !agent || agent.dose === null;
        dose.value = agent && agent.dose !== null ? agent.dose : "";
        unit.textContent = agent && agent.dose !== null ? agent.unit : agent ? "to stasis" : "";
      };
      settle();
      select.addEventListener("change", () => { settle(); this._compose(); });
      dose.addEventListener("input", () => this._compose());
      return { row: make("div", { class: "slot" }, make("span", { class: "slot-name" }, slot.name), select, dose, unit), select, dose, slot };
    });
    this.rows = rows;
    byId("template-text").textContent = `${template.text}.`;
    fill(byId("slots"), ...rows.map((one) => one.row));
    this._compose();
  }

  // What is written by hand is of no template.
  _forgetTemplate() {
    for (const input of document.querySelectorAll("input[name=template]")) input.checked = false;
    fill(byId("slots"));
    byId("template-text").textContent = "";
  }

  _compose() {
    const parts = this.rows.filter(({ select }) => select.value).map(({ select, dose, slot }) => {
      const agent = slot.agents.find((one) => one.name === select.value);
      return dose.value && !dose.disabled ? `${agent.name} ${dose.value} ${agent.unit}` : agent.name;
    });
    byId("protocol").value = parts.join(" + ");
    this.changed();
  }

  values() {
    const clinical = {};
    for (const { field, input, units } of this.inputs.values()) {
      const text = input.value.trim(), name = units ? units.value : field.name;
      if (!text) continue;
      if (field.kind === "flag") clinical[name] = text === "true";
      else if (field.kind === "list") clinical[name] = text.toLowerCase() === "none" ? [] : text.split(/[,;|]/).map((one) => one.trim()).filter(Boolean);
      else if (field.kind === "choice") clinical[name] = text;
      else clinical[name] = Number(text);
    }
    const texts = Object.fromEntries([...SESSION, "protocol"].map((id) => [id, byId(id).value]));
    return { clinical, ...texts };
  }

  // Fill the form with what the server has of a case.
  open(one) {
    this.caseId = one.id;
    const { clinical = {}, protocol = "" } = one.form;
    for (const [name, { field, input, units }] of this.inputs) {
      const key = [name, ...field.others.map((other) => other.key)].find((one) => one in clinical) || name, value = clinical[key];
      if (units) units.value = key;
      if (value === undefined || value === null) input.value = "";
      else if (field.kind === "list") input.value = value.length ? value.join(", ") : "none";
      else input.value = `${value}`;
    }
    for (const id of SESSION) byId(id).value = one.form[id] || "";
    byId("protocol").value = protocol;
    this._forgetTemplate();
    if (protocol || !this.start.templates.length) this.show(one.advice);
    else {
      document.querySelector("input[name=template]").checked = true;
      this.choose(this.start.templates[0]);
    }
  }

  // The server is told once the hand rests; what is typed meanwhile is told next.
  changed() {
    clearTimeout(this.timer);
    this.pending = true;
    this.timer = setTimeout(() => this.flush(), WAIT_MS);
  }

  async flush() {
    clearTimeout(this.timer);
    if (!this.pending || !this.caseId) return this.sending;
    this.pending = false;
    const id = this.caseId;
    this.sending = put(`/app/cases/${id}/form`, this.values()).then((advice) => {
      if (id === this.caseId) this.show(advice);
    }, (error) => this.onerror(error));
    return this.sending;
  }

  show(advice) {
    const { goal, protocol, patient, clinical, session } = advice;
    fill(byId("session-read"), ...session.map((error) => errorBox(error)));
    fill(byId("goal-read"),
      goal.error ? errorBox(goal.error) : null,
      goal.lines.length ? make("ul", { class: "read" }, ...goal.lines.map((text) => make("li", {}, text))) : null,
      ...goal.questions.map((text) => make("p", { class: "question" }, text)));
    fill(byId("clinical-error"), clinical ? errorBox(clinical) : null);
    fill(byId("patient-rules"), ...patient.map(rule));
    const said = [];
    if (protocol && protocol.error) said.push(errorBox(protocol.error));
    else if (protocol) {
      said.push(make("p", { class: "described" }, protocol.described), ...protocol.rules.map(rule));
      if (protocol.unjudged) said.push(unjudged(protocol.unjudged));
    }
    fill(byId("protocol-read"), ...said);
    this.onadvice(advice);
  }
}

// Rules that ask for what is not known; the list is long, and unfolds.
export function unjudged(text) {
  const [count] = text.split(/,| since /);
  return make("details", { class: "fold-line" }, make("summary", {}, `Not judged: ${count}`), make("p", { class: "soft" }, `${text}.`));
}

export function rule(one) {
  return make("details", { class: `rule ${one.severity}` },
    make("summary", {}, make("b", {}, SEVERITIES[one.severity] || one.severity), ` ${one.reason}`), make("p", {}, one.source));
}
