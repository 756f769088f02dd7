// What a reader has answered and clicked: kept in this browser's storage, saved as files, taken up from one.

const ANSWERS_FORMAT = "mewm-study-answers/1";
const COLUMNS = ["study", "session", "reader", "case", "answer", "confidence", "seconds", "at"];

class StudyLog {
  constructor(header, complain) {
    this.header = header;
    this.complain = complain;
    this.state = null;
  }

  get begun() { return this.state !== null; }

  get key() { return this._key(this.state.reader); }

  _key(reader) { return `mewm-study:${this.header.study}:${this.header.session}:${reader}`; }

  // Readers of whom this browser holds something.
  known() {
    return this.header.readers.filter((reader) => this._stored(reader));
  }

  _stored(reader) {
    try {
      return JSON.parse(localStorage.getItem(this._key(reader)));
    } catch {
      return null; // no storage here, or somebody else's content
    }
  }

  begin(reader) {
    const { study, session } = this.header;
    this.state = this._stored(reader) || { study, session, reader, answers: [], events: [], source: "page", spent: 0 };
    this.add("began", "", reader);
  }

  add(what, name = "", detail = "") {
    if (!this.begun) return;
    this.state.events.push({ at: new Date().toISOString(), what, case: name, detail: String(detail) });
    this.keep();
  }

  // The storage may be full, or forbidden: then only the file keeps what was answered, and the reader is told.
  keep() {
    try {
      localStorage.setItem(this._key(this.state.reader), JSON.stringify(this.state));
    } catch (error) {
      this.complain(new Error(`This browser does not keep your answers (${error.name}): save them as a file before you close the page.`));
    }
  }

  answer(name, answer, confidence, seconds) {
    const at = new Date().toISOString();
    this.state.answers.push({ case: name, answer, confidence, seconds: Math.round(10 * seconds) / 10, at });
    this.state.spent = 0;
    this.add("answered", name, `${answer} ${confidence}`);
  }

  // The first case of the reader's order that has no answer.
  next() {
    const done = new Set(this.state.answers.map((one) => one.case));
    return this.header.orders[this.state.reader].find((name) => !done.has(name)) || null;
  }

  asJson() {
    const { study, session, reader, answers, events, source } = this.state;
    return JSON.stringify({ format: ANSWERS_FORMAT, study, session, reader, answers, events, source }, null, 1) + "\n";
  }

  asCsv() {
    const { study, session, reader } = this.state;
    const rows = this.state.answers.map((one) => COLUMNS.map((name) => ({ study, session, reader, ...one })[name]).join(","));
    return [COLUMNS.join(","), ...rows].join("\n") + "\n";
  }

  save(kind) {
    const { study, session, reader } = this.state;
    this.add("saved", "", kind);
    const text = kind === "json" ? this.asJson() : this.asCsv();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind === "json" ? "application/json" : "text/csv" }));
    link.download = `answers_${study}_session${session}_${reader}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // A saved file takes the place of what this browser holds, unless that goes further.
  async take(file) {
    let saved;
    try {
      saved = JSON.parse(await file.text());
    } catch {
      throw new Error(`${file.name} is no file of answers: choose the .json that this page saved.`);
    }
    const { study, session, readers, orders } = this.header;
    if (!saved || saved.format !== ANSWERS_FORMAT || !Array.isArray(saved.answers) || !Array.isArray(saved.events)) {
      throw new Error(`${file.name} is no file of answers: choose the .json that this page saved.`);
    }
    if (saved.study !== study || saved.session !== session || !readers.includes(saved.reader)) {
      throw new Error(`${file.name} belongs to another study, session or reader.`);
    }
    if (saved.answers.some((one) => !orders[saved.reader].includes(one.case))) {
      throw new Error(`${file.name} answers cases that are not in this session.`);
    }
    const here = this._stored(saved.reader);
    if (here && here.answers.length > saved.answers.length) {
      throw new Error(`This browser holds more answers of ${saved.reader} (${here.answers.length}) than ${file.name} (${saved.answers.length}): go on with those.`);
    }
    const { reader, answers, events, source } = saved;
    this.state = { study, session, reader, answers, events, source, spent: 0 };
    this.add("taken up", "", file.name);
  }
}

// Seconds for which a case is looked at: it stands still while the page is paused or hidden.
class Clock {
  constructor() { this.spent = 0; this.since = null; }
  start(spent) { this.spent = spent; this.go(); }
  go() { if (this.since === null) this.since = performance.now(); }
  stop() { this.spent = this.seconds; this.since = null; }
  get seconds() { return this.spent + (this.since === null ? 0 : (performance.now() - this.since) / 1000); }
}
