// Whole volumes from files beside the report: NRRD and NIfTI, as MeWM writes them. Nothing is sent anywhere.

class FileError extends Error {}

const KINDS = {
  "int8": Int8Array, "signed char": Int8Array, "uint8": Uint8Array, "unsigned char": Uint8Array, "uchar": Uint8Array,
  "short": Int16Array, "int16": Int16Array, "unsigned short": Uint16Array, "uint16": Uint16Array, "ushort": Uint16Array,
  "int": Int32Array, "int32": Int32Array, "unsigned int": Uint32Array, "uint32": Uint32Array, "float": Float32Array, "double": Float64Array,
};
const NIFTI_KINDS = { 2: Uint8Array, 4: Int16Array, 8: Int32Array, 16: Float32Array, 64: Float64Array, 256: Int8Array, 512: Uint16Array, 768: Uint32Array };

// Numbers of a file in this computer's order of bytes.
function numbersOf(bytes, Kind, count, little, name) {
  const size = Kind.BYTES_PER_ELEMENT;
  if (bytes.length < count * size) throw new FileError(`${name} is cut off: ${bytes.length} bytes where ${count * size} belong.`);
  const own = bytes.slice(0, count * size);
  if (!little && size > 1) for (let n = 0; n < own.length; n += size) own.subarray(n, n + size).reverse();
  return new Kind(own.buffer);
}

async function readNrrd(bytes, name) {
  let end = -1;
  for (let n = 0; n < bytes.length - 1 && end < 0; n++) {
    if (bytes[n] === 10 && (bytes[n + 1] === 10 || (bytes[n + 1] === 13 && bytes[n + 2] === 10))) end = n;
  }
  const head = new TextDecoder().decode(bytes.subarray(0, end < 0 ? 0 : end));
  if (!head.startsWith("NRRD")) throw new FileError(`${name} is not an NRRD file.`);
  const fields = {}, tags = {};
  for (const line of head.split(/\r?\n/).slice(1)) {
    const tag = line.match(/^([^#:]+):=(.*)$/), field = line.match(/^([^#:]+): (.*)$/);
    if (tag) tags[tag[1]] = tag[2];
    else if (field) fields[field[1].toLowerCase()] = field[2].trim();
  }
  const flip = { "left-posterior-superior": [-1, -1, 1], lps: [-1, -1, 1], "right-anterior-superior": [1, 1, 1], ras: [1, 1, 1], "left-anterior-superior": [-1, 1, 1], las: [-1, 1, 1] }[(fields.space || "").toLowerCase()];
  const Kind = KINDS[fields.type], sizes = (fields.sizes || "").split(/\s+/).map(Number);
  const axes = [...(fields["space directions"] || "").matchAll(/none|\(([^)]*)\)/g)].map((found) => found[1] && found[1].split(",").map(Number));
  const origin = (fields["space origin"] || "").replace(/[()]/g, "").split(",").map(Number);
  if (!flip || !Kind || fields["data file"] || axes.filter(Boolean).length !== 3 || origin.length !== 3) {
    throw new FileError(`${name} is an NRRD file of a kind that is not read here; take one that MeWM wrote.`);
  }
  const first = bytes[end + 1] === 13 ? end + 3 : end + 2;
  const packed = bytes.subarray(first);
  const raw = /^gz/.test(fields.encoding) ? await unpacked(packed) : packed;
  let voxels = numbersOf(raw, Kind, sizes.reduce((a, b) => a * b, 1), fields.endian !== "big", name);
  let shape = sizes;
  if (sizes.length === 4) {
    // the layers of a segmentation; liver and tumour are in the first
    const layers = sizes[0];
    voxels = voxels.filter((_, n) => n % layers === 0);
    shape = sizes.slice(1);
  }
  const vectors = axes.filter(Boolean);
  const affine = [0, 1, 2].flatMap((axis) => [...vectors.map((v) => flip[axis] * v[axis]), flip[axis] * origin[axis]]);
  return { volume: volumeOf(voxels, [...shape].reverse(), affine), tags };
}

async function readNifti(bytes, name) {
  if (bytes[0] === 31 && bytes[1] === 139) bytes = await unpacked(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes.length > 348 && view.getInt32(0, true) === 348;
  if (!little && !(bytes.length > 348 && view.getInt32(0, false) === 348)) throw new FileError(`${name} is not a NIfTI-1 file.`);
  const short = (at) => view.getInt16(at, little), float = (at) => view.getFloat32(at, little);
  const sizes = [short(42), short(44), short(46)], Kind = NIFTI_KINDS[short(70)];
  if (!Kind || short(40) < 3) throw new FileError(`${name} is a NIfTI file of a kind that is not read here; take one that MeWM wrote.`);
  let affine;
  if (short(254) > 0) affine = Array.from({ length: 12 }, (_, n) => float(280 + 4 * n));
  else {
    const [b, c, d] = [float(256), float(260), float(264)], a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
    const [dx, dy, dz] = [float(80), float(84), float(88) * (float(76) < 0 ? -1 : 1)];
    affine = [
      (a * a + b * b - c * c - d * d) * dx, 2 * (b * c - a * d) * dy, 2 * (b * d + a * c) * dz, float(268),
      2 * (b * c + a * d) * dx, (a * a + c * c - b * b - d * d) * dy, 2 * (c * d - a * b) * dz, float(272),
      2 * (b * d - a * c) * dx, 2 * (c * d + a * b) * dy, (a * a + d * d - b * b - c * c) * dz, float(276),
    ];
  }
  let voxels = numbersOf(bytes.subarray(float(108)), Kind, sizes[0] * sizes[1] * sizes[2], little, name);
  const slope = float(112), offset = float(116);
  if (slope && (slope !== 1 || offset !== 0)) voxels = Float32Array.from(voxels, (v) => v * slope + offset);
  const described = new TextDecoder().decode(bytes.subarray(148, 228));
  const tags = described.includes("SIMULATED") ? { MeWM_SIMULATED: "1" } : {};
  return { volume: volumeOf(voxels, [...sizes].reverse(), affine), tags };
}

const RANKED = /simulated_(\d+|mine)(_sd|[._]seg|_labels)?\.(seg\.)?(nrrd|nii|nii\.gz)$/i;

// A study of files that were chosen together: pre, simulated_NN, their labels and deviations, told by their names.
async function studyOfFiles(files) {
  const found = { outcomes: new Map() };
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer()), lower = file.name.toLowerCase();
    const { volume, tags } = lower.endsWith(".nrrd") ? await readNrrd(bytes, file.name) : await readNifti(bytes, file.name);
    const ranked = lower.match(RANKED);
    const labels = /\.seg\.nrrd$|_labels\.nii/.test(lower), deviation = /_sd\./.test(lower);
    const kind = labels ? "labels" : deviation ? "sd" : "ct";
    if (!ranked && (tags.MeWM_SIMULATED || deviation)) throw new FileError(`${file.name} is simulated and has no rank in its name; leave its name as MeWM wrote it.`);
    const rank = ranked ? (ranked[1] === "mine" ? 0 : Number(ranked[1])) : null;
    const into = ranked ? found.outcomes.get(rank) || {} : found;
    if (ranked) found.outcomes.set(rank, into);
    if (into[kind]) throw new FileError(`${file.name} and another file are both ${kind === "ct" ? "a scan" : kind} of the same outcome.`);
    into[kind] = volume;
    into.name = file.name;
    if (kind === "ct" && tags.MeWM_seed !== undefined) into.seed = Number(tags.MeWM_seed);
  }
  if (!found.ct) throw new FileError("The scan before treatment is missing: choose pre.nrrd together with the simulated volumes.");
  const onGrid = (volume, name) => {
    if (volume && !sameGrid(found.ct, volume)) throw new FileError(`${name} is not on the grid of the scan before treatment.`);
    return volume;
  };
  const outcomes = new Map();
  for (const [rank, one] of found.outcomes) {
    if (!one.ct) throw new FileError(`${one.name} has no simulated scan beside it.`);
    for (const kind of ["ct", "labels", "sd"]) onGrid(one[kind], one.name);
    outcomes.set(rank, {
      seed: one.seed, difference: limitOf(one.ct.voxels, found.ct.voxels),
      deviation: one.sd ? limitOf(one.sd.voxels) : 0,
      load: async () => ({ ct: one.ct, sd: one.sd || null, masks: one.labels ? masksOf(one.labels.voxels) : null }),
    });
  }
  const masks = onGrid(found.labels, "The segmentation") ? masksOf(found.labels.voxels) : null;
  const middle = mapped(found.ct.toRas, found.ct.dims.map((n) => (n - 1) / 2));
  return { before: found.ct, masks, outcomes, target: masks ? centreOf(found.ct, masks.tumour) || middle : middle, whole: true };
}

// A round limit of HU that all but the outermost values stay below.
function limitOf(voxels, others) {
  let most = 0;
  for (let n = 0; n < voxels.length; n += 7) {
    const value = Math.abs(others ? voxels[n] - others[n] : voxels[n]);
    if (value > most) most = value;
  }
  return Math.max(20, Math.min(300, 50 * Math.ceil(most / 50)));
}

// A voxel of a mask near its middle, in RAS.
function centreOf(volume, mask) {
  const [I, J] = volume.dims;
  let count = 0;
  const sum = [0, 0, 0];
  for (let n = 0; n < mask.length; n++) {
    if (!mask[n]) continue;
    count++;
    sum[0] += n % I;
    sum[1] += Math.floor(n / I) % J;
    sum[2] += Math.floor(n / (I * J));
  }
  return count ? mapped(volume.toRas, sum.map((v) => Math.round(v / count))) : null;
}
