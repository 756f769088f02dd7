// The steps on the left: they unfold when they are next, and stay as the user has folded them.

import { byId } from "./dom.js";

const NAMES = ["open", "outline", "patient", "treat", "outcome", "after", "save"];

export class Steps {
  constructor() {
    this.last = "open";
    for (const name of NAMES) {
      this._head(name).addEventListener("click", () => this._fold(name, this._body(name).hidden));
    }
  }

  _head(name) { return document.querySelector(`#step-${name} .fold`); }

  _body(name) { return byId(`body-${name}`); }

  _fold(name, open) {
    this._head(name).setAttribute("aria-expanded", `${open}`);
    this._body(name).hidden = !open;
    byId(`step-${name}`).classList.toggle("open", open);
  }

  open(name) { this._fold(name, true); }

  // What is next unfolds once, and what was next before folds.
  next(name) {
    for (const one of NAMES) byId(`step-${one}`).classList.toggle("now", one === name);
    if (name === this.last) return;
    this._fold(this.last, false);
    this._fold(name, true);
    this.last = name;
    byId(`step-${name}`).scrollIntoView({ block: "nearest" });
  }

  done(name, text) {
    byId(`step-${name}`).querySelector("[data-done]").textContent = text;
  }
}
