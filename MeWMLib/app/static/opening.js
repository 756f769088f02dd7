// Step 1, and the CT after treatment: files that are dropped or chosen, a series of several, samples.

import { post, remove, sendFile } from "./api.js";
import { fill, make, show } from "./dom.js";

const AT_ONCE = 4; // files on their way at a time

// All files of what was dropped, folders with everything in them: [{ file, name }].
export async function filesOfDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // a folder is told in parts of a hundred
      const part = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!part.length) return;
      for (const one of part) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

export const filesOfInput = (input) => [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));

const hidden = ({ name }) => name.split("/").pop().startsWith(".") || /(^|\/)(DICOMDIR|Thumbs\.db)$/i.test(name);

// Send files as a new case and read it. `onprogress`: told a share and a text.
export async function openFiles(files, onprogress, afterOf = "") {
  const wanted = files.filter((one) => !hidden(one) && one.file.size > 0);
  const listed = wanted.map(({ file, name }) => ({ name, bytes: file.size }));
  const one = await post("/app/cases", { files: listed, after_of: afterOf });
  try {
    await sendAll(one, wanted, onprogress);
    onprogress(null, "Reading");
    return await post(`/app/cases/${one.id}/read`, {});
  } catch (error) {
    // what cannot be opened does not stay
    await remove(`/app/cases/${one.id}`).catch(() => {});
    throw error;
  }
}

async function sendAll(one, wanted, onprogress) {
  let next = 0, sent = 0;
  const work = async () => {
    while (next < wanted.length) {
      const number = next++;
      await sendFile(`/app/cases/${one.id}/files/${number}`, wanted[number].file);
      onprogress(++sent / wanted.length, `${sent} of ${wanted.length} files`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

export const readSeries = (one, series) => post(`/app/cases/${one.id}/read`, { series });

const PHASES = { arterial: "arterial phase", portal: "portal phase", delayed: "delayed phase", "non-contrast": "no contrast", unknown: "phase unknown" };
export const phaseText = (phase) => PHASES[phase] || phase;

// The series of a folder, to choose one.
export function showSeries(place, one, onchosen) {
  const rows = one.choices.map((choice) => {
    const apart = choice.step_mm ? `, ${choice.step_mm} mm apart` : "";
    const facts = [choice.date, `${choice.slices} slices${apart}`, phaseText(choice.phase)].filter(Boolean).join(", ");
    return make("button", { type: "button", class: `card${choice.best ? " best" : ""}`, onclick: () => onchosen(choice.key) },
      make("b", {}, choice.title), choice.best ? make("i", {}, "Recommended") : null, make("span", {}, facts),
      choice.trouble ? make("span", { class: "trouble" }, choice.trouble) : null);
  });
  fill(place, make("h3", {}, "Which series?"), make("div", { class: "cards" }, ...rows));
  show(place, true);
}

export function showSamples(place, samples, onchosen) {
  fill(place, ...samples.map((sample) => make("div", { class: "sample" },
    make("button", { type: "button", class: "card", "data-sample": sample.name, onclick: () => onchosen(sample.name) },
      make("b", {}, sample.title)),
    make("details", { class: "terms" }, make("summary", {}, "Where it is from"), make("p", {}, sample.terms)))));
}

// A place to drop files on, with its two buttons.
export function dropPlace({ drop, folder, file, inputFolder, inputFile }, onfiles) {
  folder.addEventListener("click", () => inputFolder.click());
  file.addEventListener("click", () => inputFile.click());
  for (const input of [inputFolder, inputFile]) {
    input.addEventListener("change", () => {
      const files = filesOfInput(input);
      input.value = "";
      if (files.length) onfiles(files);
    });
  }
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    drop.classList.remove("over");
    onfiles(await filesOfDrop(event.dataTransfer));
  });
}


// Files may be dropped anywhere in the window; `onfiles` is told on what.
export function dropAnywhere(veil, onfiles) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    show(veil, !event.target.closest(".drop, #step-outline"));
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) show(veil, false); });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    show(veil, false);
    if (event.target.closest(".drop")) return;
    const files = await filesOfDrop(event.dataTransfer);
    if (files.length) onfiles(files, event.target);
  });
}
