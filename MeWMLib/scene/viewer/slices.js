// Slices of volumes along the patient's own axes, whatever grid the voxels lie on, on the processor alone.

// Directions across the screen (right, down) and through it, in RAS: as a radiologist looks at a patient.
const PLANES = {
  axial: { title: "Axial", right: [-1, 0, 0], down: [0, -1, 0], normal: 2 },
  coronal: { title: "Coronal", right: [-1, 0, 0], down: [0, 0, -1], normal: 1 },
  sagittal: { title: "Sagittal", right: [0, -1, 0], down: [0, 0, -1], normal: 0 },
};
const AXES = ["RL", "AP", "SI"];

// The letter of a direction in RAS, such as L of [-1, 0, 0].
function letterOf(direction) {
  const axis = [0, 1, 2].reduce((best, n) => (Math.abs(direction[n]) > Math.abs(direction[best]) ? n : best), 0);
  return AXES[axis][direction[axis] > 0 ? 0 : 1];
}

const mm = (value, digits = 1) => `${Math.abs(value).toFixed(digits)}`;
const placeText = (axis, value) => `${AXES[axis][value >= 0 ? 0 : 1]} ${mm(value)} mm`;

// Trilinear samples on a grid of w x h points into `out`; NaN outside. corner: RAS of the first point; across, down: mm.
function sample(volume, voxels, corner, across, down, w, h, out) {
  const [I, J, K] = volume.dims;
  const m = volume.toIjk.m;
  const [i0, j0, k0] = mapped(volume.toIjk, corner);
  const [di, dj, dk] = times(m, across);
  const [ei, ej, ek] = times(m, down);
  const row = I, slab = I * J;
  for (let y = 0, n = 0; y < h; y++) {
    let i = i0 + y * ei, j = j0 + y * ej, k = k0 + y * ek;
    for (let x = 0; x < w; x++, n++, i += di, j += dj, k += dk) {
      if (!(i >= -0.5 && j >= -0.5 && k >= -0.5 && i <= I - 0.5 && j <= J - 0.5 && k <= K - 0.5)) {
        out[n] = NaN;
        continue;
      }
      const a = i < 0 ? 0 : i > I - 1 ? I - 1 : i, b = j < 0 ? 0 : j > J - 1 ? J - 1 : j, c = k < 0 ? 0 : k > K - 1 ? K - 1 : k;
      const ia = a | 0, jb = b | 0, kc = c | 0;
      const fa = a - ia, fb = b - jb, fc = c - kc;
      const at = kc * slab + jb * row + ia;
      const ni = fa > 0 ? 1 : 0, nj = fb > 0 ? row : 0, nk = fc > 0 ? slab : 0;
      const low0 = voxels[at] + fa * (voxels[at + ni] - voxels[at]);
      const low1 = voxels[at + nj] + fa * (voxels[at + nj + ni] - voxels[at + nj]);
      const low = low0 + fb * (low1 - low0);
      if (nk === 0) {
        out[n] = low;
        continue;
      }
      const up = at + nk;
      const up0 = voxels[up] + fa * (voxels[up + ni] - voxels[up]);
      const up1 = voxels[up + nj] + fa * (voxels[up + nj + ni] - voxels[up + nj]);
      out[n] = low + fc * (up0 + fb * (up1 - up0) - low);
    }
  }
}

// 256 colours between the anchors of a map, as [r, g, b].
function colourTable(anchors) {
  return Array.from({ length: 256 }, (_, n) => {
    const at = (n / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    return anchors[low].map((v, c) => v + (at - low) * (anchors[low + 1][c] - v));
  });
}

const BLACK = 0xff000000;

// HU to grey pixels (little endian: alpha, blue, green, red).
function paintGrey(pixels, hu, low, high) {
  const scale = 255 / (high - low);
  for (let n = 0; n < pixels.length; n++) {
    const grey = (hu[n] - low) * scale;
    const g = grey > 0 ? (grey < 255 ? grey | 0 : 255) : 0; // NaN is black
    pixels[n] = BLACK | (g * 0x010101);
  }
}

// Grey of two scans, of which the second one weighs `share`.
function paintFade(pixels, one, other, share, low, high) {
  const scale = 255 / (high - low);
  const clip = (v) => (v > 0 ? (v < 255 ? v : 255) : 0);
  for (let n = 0; n < pixels.length; n++) {
    const g = ((1 - share) * clip((one[n] - low) * scale) + share * clip((other[n] - low) * scale)) | 0;
    pixels[n] = BLACK | (g * 0x010101);
  }
}

// Colours of a map over grey pixels; what lies near 0 stays grey.
function paintMap(pixels, values, map, full) {
  const scale = 255 / (map.high - map.low);
  for (let n = 0; n < pixels.length; n++) {
    const value = values[n];
    const size = value < 0 ? -value : value;
    if (!(size > 0)) continue;
    const index = (value - map.low) * scale;
    const [r, g, b] = map.table[index > 0 ? (index < 255 ? index | 0 : 255) : 0];
    const share = 0.85 * (size < full ? size / full : 1);
    const grey = (1 - share) * (pixels[n] & 255);
    pixels[n] = BLACK | ((grey + share * b) << 16) | ((grey + share * g) << 8) | (grey + share * r);
  }
}

// The line where a mask's interpolated value crosses 127.5, as a path in points of the grid (marching squares).
function outlinePath(field, w, h, scale) {
  const path = new Path2D();
  const level = 127.5;
  const share = (a, b) => (level - a) / (b - a);
  for (let y = 0; y < h - 1; y++) {
    for (let x = 0; x < w - 1; x++) {
      const n = y * w + x;
      const a = field[n] || 0, b = field[n + 1] || 0, c = field[n + w + 1] || 0, d = field[n + w] || 0;
      const kind = (a > level ? 8 : 0) | (b > level ? 4 : 0) | (c > level ? 2 : 0) | (d > level ? 1 : 0);
      if (kind === 0 || kind === 15) continue;
      const top = [x + share(a, b), y], right = [x + 1, y + share(b, c)], bottom = [x + share(d, c), y + 1], left = [x, y + share(a, d)];
      const draw = (from, to) => {
        path.moveTo(from[0] * scale, from[1] * scale);
        path.lineTo(to[0] * scale, to[1] * scale);
      };
      if (kind === 1 || kind === 14) draw(left, bottom);
      else if (kind === 2 || kind === 13) draw(bottom, right);
      else if (kind === 3 || kind === 12) draw(left, right);
      else if (kind === 4 || kind === 11) draw(top, right);
      else if (kind === 6 || kind === 9) draw(top, bottom);
      else if (kind === 7 || kind === 8) draw(left, top);
      else {
        // 5 and 10: a saddle, told apart by the middle
        const joined = (a + b + c + d) / 4 > level;
        if ((kind === 5) === joined) { draw(left, top); draw(bottom, right); }
        else { draw(left, bottom); draw(top, right); }
      }
    }
  }
  return path;
}
