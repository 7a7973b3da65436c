// Draws one plane on its canvas, and tells which voxel lies under a point of it.
import { PLANES, clamp, fitted, outlines, scaleBar, sliceOf, windowed } from "./geometry.js";

export const LESION = "rgb(255,84,44)";
export const CHOSEN = "rgb(0,214,255)";
const INK = "rgb(214,224,232)";
const CROSS = "rgba(120,200,255,0.55)";
const MARGIN = 22;

export class PlaneCanvas {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./geometry.js").PlaneName} name
   */
  constructor(canvas, name) {
    this.canvas = canvas;
    this.name = name;
    this.plane = PLANES[name];
    this.view = { zoom: 1, panX: 0, panY: 0 };
    this.offscreen = document.createElement("canvas");
    /** @type {number[]} */
    this.labels = [];
    /** @type {import("./geometry.js").Fit} */
    this.fit = { scale: 1, left: 0, top: 0 };
    this.size = [1, 1];
  }

  /** Show all of the slice again. */
  reset() {
    this.view = { zoom: 1, panX: 0, panY: 0 };
  }

  /**
   * Zoom so that the point under the pointer stays there.
   * @param {number} factor
   * @param {number} x
   * @param {number} y
   */
  zoomAt(factor, x, y) {
    const zoom = clamp(this.view.zoom * factor, 0.5, 20);
    const real = zoom / this.view.zoom;
    const middleX = this.canvas.clientWidth / 2 + this.view.panX;
    const middleY = this.canvas.clientHeight / 2 + this.view.panY;
    this.view.panX += (x - middleX) * (1 - real);
    this.view.panY += (y - middleY) * (1 - real);
    this.view.zoom = zoom;
  }

  /**
   * Voxel indices, not rounded, under a point of the canvas.
   * @param {import("./types.js").Study} study
   * @param {number[]} cross gives the third index
   * @param {number} x
   * @param {number} y
   */
  voxelAt(study, cross, x, y) {
    const { across, down } = this.plane;
    const voxel = [...cross];
    voxel[across] = study.shape[across] - (x - this.fit.left) / (this.fit.scale * study.spacing[across]) - 0.5;
    voxel[down] = study.shape[down] - (y - this.fit.top) / (this.fit.scale * study.spacing[down]) - 0.5;
    return voxel;
  }

  /**
   * Where the middle of a voxel is drawn.
   * @param {import("./types.js").Study} study
   * @param {number[]} voxel
   */
  pointOf(study, voxel) {
    const { across, down } = this.plane;
    return [
      this.fit.left + (study.shape[across] - voxel[across] - 0.5) * study.spacing[across] * this.fit.scale,
      this.fit.top + (study.shape[down] - voxel[down] - 0.5) * study.spacing[down] * this.fit.scale,
    ];
  }

  /**
   * @param {import("./types.js").Study} study
   * @param {import("./types.js").State} state
   */
  draw(study, state) {
    const ratio = window.devicePixelRatio || 1;
    const box = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!box[0] || !box[1]) return;
    if (this.canvas.width !== Math.round(box[0] * ratio) || this.canvas.height !== Math.round(box[1] * ratio)) {
      this.canvas.width = Math.round(box[0] * ratio);
      this.canvas.height = Math.round(box[1] * ratio);
    }
    const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "black";
    pen.fillRect(0, 0, box[0], box[1]);
    const { axis, across, down } = this.plane;
    const index = state.cross[axis];
    const grey = sliceOf(study.scan, study.shape, this.plane, index);
    const marked = sliceOf(study.labels, study.shape, this.plane, index);
    const step = [study.spacing[across], study.spacing[down]];
    this.size = [grey.width * step[0], grey.height * step[1]];
    this.fit = fitted(box, this.size, this.view, MARGIN);
    this.paintGrey(pen, grey, state);
    this.labels = [...new Set(marked.pixels)].filter((label) => label > 0);
    if (state.style !== "off") this.paintLesions(pen, marked, step, state);
    if (!study.isPicture) this.paintCross(pen, study, state, box);
    if (state.ruler && state.ruler.plane === this.name) this.paintRuler(pen, study, state.ruler);
    this.paintFrame(pen, study, box);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {{pixels: import("./geometry.js").Voxels, width: number, height: number}} grey
   * @param {import("./types.js").State} state
   */
  paintGrey(pen, grey, state) {
    if (this.offscreen.width !== grey.width || this.offscreen.height !== grey.height) {
      this.offscreen.width = grey.width;
      this.offscreen.height = grey.height;
    }
    const behind = /** @type {CanvasRenderingContext2D} */ (this.offscreen.getContext("2d"));
    const picture = behind.createImageData(grey.width, grey.height);
    windowed(grey.pixels, state.low, state.high, picture.data);
    behind.putImageData(picture, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(
      this.offscreen, this.fit.left, this.fit.top, this.size[0] * this.fit.scale, this.size[1] * this.fit.scale,
    );
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {{pixels: import("./geometry.js").Voxels, width: number, height: number}} marked
   * @param {number[]} step mm a pixel
   * @param {import("./types.js").State} state
   */
  paintLesions(pen, marked, step, state) {
    const x = (/** @type {number} */ column) => this.fit.left + column * step[0] * this.fit.scale;
    const y = (/** @type {number} */ row) => this.fit.top + row * step[1] * this.fit.scale;
    for (const [label, lines] of outlines(marked.pixels, marked.width, marked.height)) {
      const colour = label === state.chosen ? CHOSEN : LESION;
      pen.globalAlpha = state.opacity[state.style === "fill" ? "fill" : "outline"];
      let right = 0, top = marked.height;
      if (state.style === "fill") {
        pen.fillStyle = colour;
        const wide = step[0] * this.fit.scale, high = step[1] * this.fit.scale;
        for (let at = 0; at < marked.pixels.length; at++) {
          if (marked.pixels[at] !== label) continue;
          pen.fillRect(x(at % marked.width), y(Math.floor(at / marked.width)), wide + 0.3, high + 0.3);
        }
      }
      pen.strokeStyle = colour;
      pen.lineWidth = 1.6;
      if (state.style === "outline") pen.beginPath();
      for (let at = 0; at < lines.length; at += 4) {
        right = Math.max(right, lines[at + 2]);
        top = Math.min(top, lines[at + 1]);
        if (state.style !== "outline") continue;
        pen.moveTo(x(lines[at]), y(lines[at + 1]));
        pen.lineTo(x(lines[at + 2]), y(lines[at + 3]));
      }
      if (state.style === "outline") pen.stroke();
      pen.globalAlpha = 1;
      write(pen, String(label), x(right) + 3, y(top) - 2, colour, "left", 15);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {import("./types.js").Study} study
   * @param {import("./types.js").State} state
   * @param {number[]} box
   */
  paintCross(pen, study, state, box) {
    if (!state.showCross) return;
    const [x, y] = this.pointOf(study, state.cross);
    const gap = 14;
    pen.strokeStyle = CROSS;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const [from, to] of [[0, x - gap], [x + gap, box[0]]]) {
      pen.moveTo(from, y);
      pen.lineTo(to, y);
    }
    for (const [from, to] of [[0, y - gap], [y + gap, box[1]]]) {
      pen.moveTo(x, from);
      pen.lineTo(x, to);
    }
    pen.stroke();
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {import("./types.js").Study} study
   * @param {import("./types.js").Ruler} ruler
   */
  paintRuler(pen, study, ruler) {
    const [from, to] = [this.pointOf(study, ruler.from), this.pointOf(study, ruler.to)];
    const apart = Math.hypot(...[0, 1, 2].map((axis) => (ruler.to[axis] - ruler.from[axis]) * study.spacing[axis]));
    pen.strokeStyle = "rgb(255,221,87)";
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(from[0], from[1]);
    pen.lineTo(to[0], to[1]);
    pen.stroke();
    const text = `${apart.toFixed(1)} ${study.hasSpacing ? "mm" : "px"}`;
    write(pen, text, to[0] + 6, to[1] - 6, "rgb(255,221,87)", "left", 14);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {import("./types.js").Study} study
   * @param {number[]} box
   */
  paintFrame(pen, study, box) {
    if (study.knowsSides) {
      const [left, right, top, bottom] = this.plane.edges;
      write(pen, left, 5, box[1] / 2 + 5, INK, "left", 15);
      write(pen, right, box[0] - 5, box[1] / 2 + 5, INK, "right", 15);
      write(pen, top, box[0] / 2, 16, INK, "center", 15);
      write(pen, bottom, box[0] / 2, box[1] - 6, INK, "center", 15);
    }
    if (!study.hasSpacing) return;
    const mm = scaleBar(box[0], this.fit.scale);
    const end = 10 + mm * this.fit.scale;
    pen.strokeStyle = INK;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(10, box[1] - 14);
    pen.lineTo(10, box[1] - 8);
    pen.lineTo(end, box[1] - 8);
    pen.lineTo(end, box[1] - 14);
    pen.stroke();
    write(pen, `${mm} mm`, 12, box[1] - 16, INK, "left", 11);
  }
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {string} colour
 * @param {CanvasTextAlign} align
 * @param {number} size
 */
function write(pen, text, x, y, colour, align, size) {
  pen.font = `600 ${size}px "DejaVu Sans", "Segoe UI", sans-serif`;
  pen.textAlign = align;
  pen.lineWidth = 3;
  pen.strokeStyle = "black";
  pen.strokeText(text, x, y);
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}
