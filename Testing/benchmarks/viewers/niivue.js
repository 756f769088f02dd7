// NiiVue over a NIfTI that is embedded in the page, as its own documentation sets it up; answers for measure.py.
import { Niivue, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";

const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
const nv = new Niivue({ backColor: [0, 0, 0, 1], crosshairWidth: 1, multiplanarShowRender: SHOW_RENDER.NEVER });
let last = null;
// `finish` returns before a software renderer has drawn; who reads a pixel waits for it
const drawn = () => nv.gl.readPixels(0, 0, 1, 1, nv.gl.RGBA, nv.gl.UNSIGNED_BYTE, new Uint8Array(4));
nv.onLocationChange = (where) => (last = where);

async function show() {
  await nv.attachToCanvas(document.querySelector("canvas"));
  nv.setSliceMM(window.SLICE_MM ?? true);
  await nv.loadFromArrayBuffer(bytes.buffer, "ct.nii.gz");
  nv.setSliceType(SLICE_TYPE.MULTIPLANAR);
  nv.volumes[0].cal_min = -100;
  nv.volumes[0].cal_max = 350;
  nv.updateGLVolume();
  nv.drawScene();
  drawn();
  document.title = "shown";
}
window.huAt = (ras) => {
  nv.scene.crosshairPos = nv.mm2frac(ras);
  nv.createOnLocationChange();
  return { value: last.values[0].value, mm: [...last.mm].slice(0, 3) };
};
window.scroll1 = (step) => {
  nv.moveCrosshairInVox(0, 0, step);
  nv.drawScene();
  drawn();
};
show().catch((error) => (document.title = `failed: ${error.stack ?? error}`));
