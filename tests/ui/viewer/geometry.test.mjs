// Run by Node's own runner; see test_geometry.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  PLANES, fitted, inWords, outlines, scaleBar, sliceOf, windowed,
} from "../../../services/ui/metseg_ui/viewer/browser/geometry.js";

const SHAPE = [4, 5, 6];

/** A volume with one voxel, (x, y, z), of value 7. */
function withVoxel(x, y, z) {
  const voxels = new Int16Array(SHAPE[0] * SHAPE[1] * SHAPE[2]);
  voxels[x + SHAPE[0] * (y + SHAPE[1] * z)] = 7;
  return voxels;
}

function placeIn(slice) {
  const at = slice.pixels.indexOf(7);
  return at < 0 ? null : [at % slice.width, Math.floor(at / slice.width)];
}

test("left, front and top of the patient are right, up and up; the front is left in sagittal slices", () => {
  const left = 0, front = SHAPE[1] - 1, top = SHAPE[2] - 1;
  const voxels = withVoxel(left, front, top);
  assert.deepEqual(placeIn(sliceOf(voxels, SHAPE, PLANES.axial, top)), [SHAPE[0] - 1, 0]);
  assert.deepEqual(placeIn(sliceOf(voxels, SHAPE, PLANES.coronal, front)), [SHAPE[0] - 1, 0]);
  assert.deepEqual(placeIn(sliceOf(voxels, SHAPE, PLANES.sagittal, left)), [0, 0]);
});

test("each voxel is on one slice of each plane, at the place that its indices say", () => {
  for (let x = 0; x < SHAPE[0]; x++) for (let y = 0; y < SHAPE[1]; y++) for (let z = 0; z < SHAPE[2]; z++) {
    const voxels = withVoxel(x, y, z), voxel = [x, y, z];
    for (const plane of Object.values(PLANES)) {
      const expected = [SHAPE[plane.across] - 1 - voxel[plane.across], SHAPE[plane.down] - 1 - voxel[plane.down]];
      for (let index = 0; index < SHAPE[plane.axis]; index++) {
        const found = placeIn(sliceOf(voxels, SHAPE, plane, index));
        assert.deepEqual(found, index === voxel[plane.axis] ? expected : null);
      }
    }
  }
});

test("letters agree with where things are drawn", () => {
  assert.deepEqual(PLANES.axial.edges, ["R", "L", "A", "P"]);
  assert.deepEqual(PLANES.coronal.edges, ["R", "L", "S", "I"]);
  assert.deepEqual(PLANES.sagittal.edges, ["A", "P", "S", "I"]);
});

test("an outline closes: every corner has an even number of lines", () => {
  const labels = Uint8Array.from([0, 1, 1, 0, 2, 1, 1, 0, 2, 0, 1, 1]);
  for (const lines of outlines(labels, 4, 3).values()) {
    const ends = new Map();
    for (let at = 0; at < lines.length; at += 2) {
      const corner = `${lines[at]},${lines[at + 1]}`;
      ends.set(corner, (ends.get(corner) ?? 0) + 1);
    }
    assert.ok([...ends.values()].every((count) => count % 2 === 0));
  }
});

test("a lesion at the border of the slice is outlined there, too", () => {
  assert.equal(outlines(Uint8Array.from([3]), 1, 1).get(3).length, 4 * 4);
});

test("grey values run from black at the low to white at the high end", () => {
  const target = new Uint8ClampedArray(4 * 4);
  windowed(Int16Array.from([-5, 0, 20, 200]), 0, 100, target);
  assert.deepEqual([0, 4, 8, 12].map((at) => target[at]), [0, 0, 51, 255]);
  assert.equal(target[3], 255);
});

test("slices keep their proportions and lie in the middle", () => {
  const fit = fitted([400, 300], [100, 50], { zoom: 1, panX: 0, panY: 0 }, 0);
  assert.deepEqual(fit, { scale: 4, left: 0, top: 50 });
  assert.equal(fitted([400, 300], [100, 50], { zoom: 2, panX: 5, panY: 0 }, 0).left, -195);
});

test("a scale bar is a round length of at most a fifth of the width", () => {
  assert.equal(scaleBar(500, 1), 100);
  assert.equal(scaleBar(500, 3), 20);
  assert.equal(scaleBar(10, 50), 1);
});

test("a slice is said in words", () => {
  assert.equal(inWords("axial", 34, 60, [1], false), "Axial slice 35 of 60 with lesion 1");
  assert.equal(inWords("coronal", 0, 9, [], false), "Coronal slice 1 of 9 with no lesion");
  assert.equal(inWords("axial", 0, 1, [2, 1], true), "Picture with lesions 1 and 2");
});
