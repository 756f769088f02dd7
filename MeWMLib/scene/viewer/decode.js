// From what the page holds to volumes. A volume: { voxels, dims: [I, J, K], toRas, toIjk, start, step }.

async function unpacked(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function bytesOfBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let n = 0; n < raw.length; n++) bytes[n] = raw.charCodeAt(n);
  return bytes;
}

// The way back from `volume_code.py`: planes of bytes; of int16 also zigzag and differences along a row of `width`.
function voxelsOf(code, raw, width) {
  if (code === "u1") return raw;
  if (code === "f4") {
    const size = raw.length / 4;
    const joined = new Uint8Array(raw.length);
    for (let n = 0; n < size; n++) for (let b = 0; b < 4; b++) joined[4 * n + b] = raw[b * size + n];
    return new Float32Array(joined.buffer);
  }
  const size = raw.length / 2;
  const voxels = new Int16Array(size);
  for (let row = 0; row < size; row += width) {
    let value = 0;
    for (let n = row; n < row + width; n++) {
      const folded = raw[n] | (raw[size + n] << 8);
      value += (folded >> 1) ^ -(folded & 1);
      voxels[n] = value; // wraps around, as it did when it was written
    }
  }
  return voxels;
}

async function blobVoxels(entry, width) {
  const text = document.getElementById(`voxels-${entry.blob}`).textContent;
  return voxelsOf(entry.code, await unpacked(bytesOfBase64(text)), width);
}

// Row-major 4 x 4 from (i, j, k) to RAS, and its inverse, both as [3 x 3 by rows, offset].
function frameOf(affine) {
  const m = [affine[0], affine[1], affine[2], affine[4], affine[5], affine[6], affine[8], affine[9], affine[10]];
  const t = [affine[3], affine[7], affine[11]];
  const [a, b, c, d, e, f, g, h, i] = m;
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const inverse = [
    e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f, d * h - e * g, b * g - a * h, a * e - b * d,
  ].map((v) => v / determinant);
  const back = times(inverse, t).map((v) => -v);
  return { toRas: { m, t }, toIjk: { m: inverse, t: back } };
}

function times(m, v) {
  return [
    m[0] * v[0] + m[1] * v[1] + m[2] * v[2], m[3] * v[0] + m[4] * v[1] + m[5] * v[2], m[6] * v[0] + m[7] * v[1] + m[8] * v[2],
  ];
}

function mapped(frame, v) {
  const [x, y, z] = times(frame.m, v);
  return [x + frame.t[0], y + frame.t[1], z + frame.t[2]];
}

function volumeOf(voxels, shape, affine, start = [0, 0, 0], step = [1, 1, 1]) {
  const [k, j, i] = shape;
  return { voxels, dims: [i, j, k], start: [...start].reverse(), step: [...step].reverse(), ...frameOf(affine) };
}

function sameGrid(one, other) {
  const [i, j, k] = one.dims;
  if (one.dims.some((n, axis) => n !== other.dims[axis])) return false;
  return [[0, 0, 0], [i - 1, 0, 0], [0, j - 1, 0], [0, 0, k - 1]].every((corner) =>
    mapped(other.toIjk, mapped(one.toRas, corner)).every((v, axis) => Math.abs(v - corner[axis]) < 0.01));
}

// A box of voxels ([[k0, k1], [j0, j1], [i0, i1]]) written or added into a volume.
function putBox(whole, dims, part, box, adds) {
  const [[k0, k1], [j0, j1], [i0, i1]] = box;
  let n = 0;
  for (let k = k0; k < k1; k++) {
    for (let j = j0; j < j1; j++) {
      const row = (k * dims[1] + j) * dims[0];
      for (let i = i0; i < i1; i++, n++) whole[row + i] = adds ? whole[row + i] + part[n] : part[n];
    }
  }
}

const widthOf = (box) => box[2][1] - box[2][0];

// The nearest voxel of a place, or null outside: what the read-out under the cross-hair goes by.
function nearest(volume, ras) {
  const ijk = mapped(volume.toIjk, ras).map(Math.round);
  return ijk.every((n, axis) => n >= 0 && n < volume.dims[axis]) ? ijk : null;
}

function valueAt(volume, ijk) {
  return volume.voxels[(ijk[2] * volume.dims[1] + ijk[1]) * volume.dims[0] + ijk[0]];
}

// The scans that the page holds: before at once, each outcome when it is first asked for.
async function packedStudy(header) {
  const grid = (voxels) => volumeOf(voxels, header.shape, header.affine, header.start, header.step);
  const width = header.shape[2];
  const before = grid(await blobVoxels(header.before, width));
  const masks = masksOf(await blobVoxels(header.labels, width));
  const outcomes = new Map();
  for (const one of header.outcomes) {
    outcomes.set(one.rank, {
      seed: one.seed, difference: one.difference, deviation: one.deviation,
      load: async () => {
        const voxels = before.voxels.slice();
        if (one.ct) putBox(voxels, before.dims, await blobVoxels(one.ct, widthOf(one.ct.box)), one.ct.box, one.ct.adds);
        let sd = null;
        if (one.sd) {
          sd = grid(new Float32Array(voxels.length));
          const steps = await blobVoxels(one.sd, widthOf(one.sd.box));
          putBox(sd.voxels, before.dims, Float32Array.from(steps, (v) => v * one.sd.unit), one.sd.box, false);
        }
        return { ct: grid(voxels), sd, masks: masksOf(await blobVoxels(one.labels, width)) };
      },
    });
  }
  return { before, masks, outcomes, target: header.target, whole: false };
}

// Liver (with its tumour) and tumour, 0 or 255, so that the edge between voxels lies at 127.5.
function masksOf(labels) {
  const liver = new Uint8Array(labels.length);
  const tumour = new Uint8Array(labels.length);
  for (let n = 0; n < labels.length; n++) {
    if (labels[n]) liver[n] = 255;
    if (labels[n] >= 2) tumour[n] = 255;
  }
  return { liver, tumour };
}
