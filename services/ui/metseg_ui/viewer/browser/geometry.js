// Planes of a volume in RAS+ order, (x, y, z) with x fastest, and what is drawn on them. No DOM in here.

/** @typedef {"axial" | "coronal" | "sagittal"} PlaneName */
/** @typedef {{axis: number, across: number, down: number, edges: string[]}} Plane */
/** @typedef {Uint8Array | Uint16Array | Int16Array} Voxels */
/** @typedef {{scale: number, left: number, top: number}} Fit */

/**
 * Radiological convention: the patient's left is on the right of axial and coronal slices, the front on the left of
 * sagittal ones. Edges are named left, right, top, bottom.
 * @type {Record<PlaneName, Plane>}
 */
export const PLANES = {
  axial: { axis: 2, across: 0, down: 1, edges: ["R", "L", "A", "P"] },
  coronal: { axis: 1, across: 0, down: 2, edges: ["R", "L", "S", "I"] },
  sagittal: { axis: 0, across: 1, down: 2, edges: ["A", "P", "S", "I"] },
};

/**
 * One slice as it is seen, row by row.
 * @param {Voxels} voxels
 * @param {number[]} shape (x, y, z)
 * @param {Plane} plane
 * @param {number} index
 * @returns {{pixels: Voxels, width: number, height: number}}
 */
export function sliceOf(voxels, shape, plane, index) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  const width = shape[plane.across];
  const height = shape[plane.down];
  const pixels = /** @type {Voxels} */ (new /** @type {any} */ (voxels.constructor)(width * height));
  const start = index * strides[plane.axis];
  let place = 0;
  for (let row = height - 1; row >= 0; row--) {
    let at = start + row * strides[plane.down] + (width - 1) * strides[plane.across];
    for (let column = 0; column < width; column++, at -= strides[plane.across]) pixels[place++] = voxels[at];
  }
  return { pixels, width, height };
}

/**
 * The largest size at which a slice fits, in its true proportions.
 * @param {number[]} box width and height on the screen
 * @param {number[]} size width and height of the slice in mm
 * @param {{zoom: number, panX: number, panY: number}} view
 * @param {number} margin
 * @returns {Fit} screen pixels per mm, and where the slice begins
 */
export function fitted(box, size, view, margin) {
  const scale = Math.min((box[0] - 2 * margin) / size[0], (box[1] - 2 * margin) / size[1]) * view.zoom;
  return {
    scale,
    left: (box[0] - size[0] * scale) / 2 + view.panX,
    top: (box[1] - size[1] * scale) / 2 + view.panY,
  };
}

/**
 * The borders between lesions and what surrounds them, as lines between pixel corners.
 * @param {Voxels} labels row by row
 * @param {number} width
 * @param {number} height
 * @returns {Map<number, number[]>} for each lesion x0, y0, x1, y1, x0, …
 */
export function outlines(labels, width, height) {
  /** @type {Map<number, number[]>} */
  const lines = new Map();
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const label = labels[at];
      if (!label) continue;
      let own = lines.get(label);
      if (!own) lines.set(label, (own = []));
      if (y === 0 || labels[at - width] !== label) own.push(x, y, x + 1, y);
      if (y === height - 1 || labels[at + width] !== label) own.push(x, y + 1, x + 1, y + 1);
      if (x === 0 || labels[at - 1] !== label) own.push(x, y, x, y + 1);
      if (x === width - 1 || labels[at + 1] !== label) own.push(x + 1, y, x + 1, y + 1);
    }
  }
  return lines;
}

/**
 * Grey values as RGBA, black at `low` and below, white at `high` and above.
 * @param {Voxels} pixels
 * @param {number} low
 * @param {number} high
 * @param {Uint8ClampedArray} target four bytes a pixel
 */
export function windowed(pixels, low, high, target) {
  const gain = 255 / Math.max(high - low, 1e-6);
  for (let at = 0, place = 0; at < pixels.length; at++, place += 4) {
    const grey = (pixels[at] - low) * gain;
    target[place] = target[place + 1] = target[place + 2] = grey;
    target[place + 3] = 255;
  }
}

/**
 * The longest round length that takes up at most a fifth of the width.
 * @param {number} width
 * @param {number} scale screen pixels per mm
 */
export function scaleBar(width, scale) {
  return [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * scale <= width / 5) ?? 1;
}

/**
 * A slice in words.
 * @param {PlaneName} name
 * @param {number} index
 * @param {number} count
 * @param {number[]} labels
 * @param {boolean} isPicture
 */
export function inWords(name, index, count, labels, isPicture) {
  const sorted = [...labels].sort((one, other) => one - other);
  let found = "no lesion";
  if (sorted.length === 1) found = `lesion ${sorted[0]}`;
  else if (sorted.length) found = `lesions ${sorted.slice(0, -1).join(", ")} and ${sorted.at(-1)}`;
  const place = isPicture ? "Picture" : `${name[0].toUpperCase()}${name.slice(1)} slice ${index + 1} of ${count}`;
  return `${place} with ${found}`;
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
