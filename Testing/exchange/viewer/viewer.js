// A CT slice with a segmentation over it, read by what OHIF reads with: dcmjs and the adapters of Cornerstone3D.
// The page's address holds files=N (slices 1.dcm ... N.dcm and seg.dcm beside it), slice=K (from 0) and scale=S.
import { metaData } from "@cornerstonejs/core";
import { adaptersSEG } from "@cornerstonejs/adapters";
import dcmjs from "dcmjs";

const asked = new URLSearchParams(location.search);
const number = (name) => Number(asked.get(name));

async function bytes(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.arrayBuffer();
}

function naturalized(buffer) {
  const file = dcmjs.data.DicomMessage.readFile(buffer);
  const data = dcmjs.data.DicomMetaDictionary.naturalizeDataset(file.dict);
  data._meta = dcmjs.data.DicomMetaDictionary.namifyDataset(file.meta);
  return data;
}

async function show() {
  const instances = new Map();
  for (let n = 1; n <= number("files"); n++) instances.set(`ct:${n}`, naturalized(await bytes(`${n}.dcm`)));
  const get = (type, imageId) => {
    const one = instances.get(imageId);
    if (!one) return undefined;
    if (type === "instance") return one;
    if (type === "generalSeriesModule") return { modality: one.Modality, seriesInstanceUID: one.SeriesInstanceUID };
    if (type === "generalImageModule") return { sopInstanceUID: one.SOPInstanceUID, instanceNumber: one.InstanceNumber };
    if (type === "imagePlaneModule") {
      return {
        rows: one.Rows, columns: one.Columns, frameOfReferenceUID: one.FrameOfReferenceUID,
        imageOrientationPatient: one.ImageOrientationPatient.map(Number),
        imagePositionPatient: one.ImagePositionPatient.map(Number),
        rowCosines: one.ImageOrientationPatient.slice(0, 3).map(Number),
        columnCosines: one.ImageOrientationPatient.slice(3).map(Number),
        pixelSpacing: one.PixelSpacing.map(Number), rowPixelSpacing: Number(one.PixelSpacing[0]),
        columnPixelSpacing: Number(one.PixelSpacing[1]), sliceThickness: Number(one.SliceThickness),
      };
    }
    return undefined;
  };
  metaData.addProvider(get, 1000);
  const ids = [...instances.keys()];
  const seg = await bytes("seg.dcm");
  const found = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(ids, seg, { metadataProvider: { get } });
  draw(instances.get(ids[number("slice")]), found.labelMapImages.map((images) => images[number("slice")]));
  const labels = found.segMetadata.data.filter(Boolean).map((one) => one.SegmentLabel);
  document.title = `shown: ${labels.join(", ")}`;
}

// liver adds green, tumour adds red; both lie over one another, as their segments do
const ADDED = { 1: [0, 90, 0], 2: [120, 0, 0] };

function draw(ct, maps) {
  const [rows, columns, scale] = [ct.Rows, ct.Columns, number("scale")];
  const hu = new Int16Array(ct.PixelData[0] ?? ct.PixelData);
  const image = new ImageData(columns, rows);
  for (let n = 0; n < rows * columns; n++) {
    const value = hu[n] * Number(ct.RescaleSlope) + Number(ct.RescaleIntercept);
    const grey = Math.max(0, Math.min(1, (value + 160) / 400)) * 120;
    const pixel = [grey, grey, grey];
    for (const map of maps) {
      const added = ADDED[map?.voxelManager.getScalarData()[n]];
      if (added) added.forEach((more, channel) => (pixel[channel] += more));
    }
    image.data.set([...pixel, 255], 4 * n);
  }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(image, 0, 0);
  const canvas = document.querySelector("canvas");
  [canvas.width, canvas.height] = [columns * scale, rows * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, columns * scale, rows * scale);
}

show().catch((error) => (document.title = `failed: ${error.stack ?? error}`));
