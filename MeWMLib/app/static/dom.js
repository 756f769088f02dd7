// Elements from data. Texts of files, users and models go in as text alone, never as markup.

export const byId = (id) => document.getElementById(id);

// An element: attributes, listeners ("onclick"), children (elements and texts).
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

export const show = (element, shown) => { element.hidden = !shown; };

const MINUS = "\u2212";
export const signed = (value, digits = 0) => `${value > 0 ? "+" : ""}${value.toFixed(digits)}`.replace("-", MINUS);

// An error of MeWM as it is: what was wrong, what was given, what to do.
export function errorBox(error, actions = []) {
  const box = make("div", { class: "error", role: "alert" }, make("p", { class: "what" }, `${error.what}.`));
  if (error.given) box.append(make("p", { class: "given" }, error.given));
  if (error.remedy) box.append(make("p", { class: "remedy" }, `${error.remedy}.`));
  if (actions.length) box.append(make("p", { class: "pair" }, ...actions));
  return box;
}

export const button = (text, onclick, kind = "") => make("button", { type: "button", class: kind, onclick }, text);

export function say(text) {
  byId("spoken-app").textContent = text;
}
