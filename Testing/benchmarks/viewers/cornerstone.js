// Cornerstone3D over the same voxels, as a local volume in three orthographic viewports; answers for measure.py.
import * as cs from "@cornerstonejs/core";

const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
const { dimensions, spacing, direction, origin } = window.GRID; // LPS
let volume, viewports;

async function show() {
  await cs.init();
  const voxels = new Int16Array(
    await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  cs.metaData.addProvider((type) => ({
    imagePixelModule: { bitsAllocated: 16, bitsStored: 16, highBit: 15, pixelRepresentation: 1, samplesPerPixel: 1, photometricInterpretation: "MONOCHROME2" },
    generalSeriesModule: { modality: "CT" },
  })[type], 1);
  volume = cs.volumeLoader.createLocalVolume("ct", {
    metadata: { FrameOfReferenceUID: "1", BitsAllocated: 16, PixelRepresentation: 1 }, dimensions, spacing, origin, direction, scalarData: voxels,
  });
  const engine = new cs.RenderingEngine("engine");
  const planes = ["axial", "coronal", "sagittal"];
  planes.forEach((orientation) => engine.enableElement({
    viewportId: orientation, type: cs.Enums.ViewportType.ORTHOGRAPHIC,
    element: document.getElementById(orientation), defaultOptions: { orientation },
  }));
  await cs.setVolumesForViewports(engine, [{ volumeId: "ct" }], planes);
  viewports = planes.map((name) => engine.getViewport(name));
  viewports.forEach((one) => one.setProperties({ voiRange: { lower: -100, upper: 350 } }));
  engine.render();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  document.title = "shown";
}
window.huAt = (ras) => {
  const index = volume.imageData.worldToIndex([-ras[0], -ras[1], ras[2]]).map(Math.round);
  return { value: volume.voxelManager.getAtIJK(...index), mm: ras };
};
window.scroll1 = (step) => {
  viewports[0].scroll(step);
  viewports[0].render();
  return new Promise((done) => viewports[0].element.addEventListener("CORNERSTONE_IMAGE_RENDERED", done, { once: true }));
};
show().catch((error) => (document.title = `failed: ${error.stack ?? error}`));
