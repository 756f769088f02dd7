// Step 7: files to take home. The server makes them; the page asks how far it is.

import { blob, get, post, saveAs } from "./api.js";
import { byId, show } from "./dom.js";

const TITLES = { report: "The report", result: "The files", dicom: "DICOM" };
const NAMES = { report: "report.html", result: "mewm-result.zip", dicom: "mewm-dicom.zip" };

export class Saving {
  // onerror: told what went wrong.
  constructor(onerror) {
    Object.assign(this, { onerror, making: null });
    byId("making-cancel").addEventListener("click", () => this.making && post(`/app/exports/${this.making.id}/cancel`).catch(() => {}));
  }

  async save(caseId, run, kind) {
    if (this.making) return;
    const buttons = [...document.querySelectorAll("[data-export]")];
    for (const one of buttons) one.disabled = true;
    try {
      this.making = await post(`/app/cases/${caseId}/runs/${run.id}/exports`, { kind });
      while (this.making.state === "running") {
        const { fraction, message } = this.making;
        show(byId("making"), true);
        byId("making-line").textContent = `${TITLES[kind]} ${message ? `\u2013 ${message}` : "is being made"}`;
        byId("making-bar").style.width = `${Math.round(100 * fraction)}%`;
        await new Promise((done) => setTimeout(done, 300));
        this.making = await get(`/app/exports/${this.making.id}`);
      }
      if (this.making.state === "failed") this.onerror(this.making.error);
      if (this.making.state === "done") saveAs(await blob(`/app/exports/${this.making.id}/file`), NAMES[kind]);
    } catch (error) {
      this.onerror(error);
    } finally {
      this.making = null;
      show(byId("making"), false);
      for (const one of buttons) one.disabled = false;
    }
  }
}
