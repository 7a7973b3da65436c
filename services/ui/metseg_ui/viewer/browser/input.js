// What pointer and keys do in the viewer.
import { STYLES } from "./toolbar.js";

/** @typedef {import("./canvas.js").PlaneCanvas} PlaneCanvas */
/** @typedef {import("./geometry.js").PlaneName} PlaneName */
/** @typedef {import("./viewer.js").Viewer} Viewer */

/**
 * Wheel, clicks and drags on a plane.
 * @param {Viewer} viewer
 * @param {HTMLCanvasElement} canvas
 * @param {PlaneName} name
 */
export function listen(viewer, canvas, name) {
  const options = { signal: viewer.ending.signal };
  const plane = () => /** @type {PlaneCanvas} */ (viewer.planes.get(name));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) plane().zoomAt(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
    else viewer.step(name, event.deltaY < 0 ? 1 : -1);
    viewer.redraw();
  }, { passive: false, ...options });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault(), options);
  canvas.addEventListener("dblclick", () => viewer.choose(name), options);
  canvas.addEventListener("pointerdown", (event) => beginDrag(viewer, event, name), options);
}

/**
 * @param {Viewer} viewer
 * @param {PointerEvent} event
 * @param {PlaneName} name
 */
function beginDrag(viewer, event, name) {
  const { study, state } = viewer;
  if (!study) return;
  const plane = /** @type {PlaneCanvas} */ (viewer.planes.get(name));
  const { canvas } = plane;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const begun = { x: event.offsetX, y: event.offsetY, low: state.low, high: state.high, ...plane.view };
  const act = event.button === 2 ? "window" : event.button === 1 || event.shiftKey ? "pan" : viewer.tool;
  const here = (/** @type {PointerEvent} */ one) => plane.voxelAt(study, state.cross, one.offsetX, one.offsetY);
  if (act === "ruler") state.ruler = { plane: name, from: here(event), to: here(event) };
  const move = (/** @type {PointerEvent} */ one) => {
    if (act === "window") dragWindow(viewer, begun, one);
    else if (act === "pan") {
      plane.view.panX = begun.panX + one.offsetX - begun.x;
      plane.view.panY = begun.panY + one.offsetY - begun.y;
    } else if (act === "ruler" && state.ruler) state.ruler.to = here(one);
    else if (act === "cross") viewer.moveCross(here(one));
    viewer.redraw();
  };
  if (act === "cross") viewer.moveCross(here(event));
  const done = new AbortController();
  canvas.addEventListener("pointermove", move, { signal: done.signal });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => done.abort(), { signal: done.signal });
  viewer.redraw();
}

/**
 * @param {Viewer} viewer
 * @param {{x: number, y: number, low: number, high: number}} begun
 * @param {PointerEvent} event
 */
function dragWindow(viewer, begun, event) {
  const full = viewer.facts.presets.at(-1) ?? viewer.facts.presets[0];
  const range = (full.high - full.low) / viewer.facts.slope / 400;
  const centre = (begun.low + begun.high) / 2 + (event.offsetY - begun.y) * range;
  const width = Math.max(begun.high - begun.low + (event.offsetX - begun.x) * range, range);
  Object.assign(viewer.state, { low: centre - width / 2, high: centre + width / 2, preset: null });
}

/**
 * Every key that the list names.
 * @param {Viewer} viewer
 * @param {KeyboardEvent} event
 */
export function onKey(viewer, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || viewer.help.open) return;
  const target = /** @type {HTMLElement} */ (event.target);
  const ranged = target instanceof HTMLInputElement;
  const active = /** @type {PlaneName} */ (target.dataset?.plane ?? viewer.state.main);
  const { axis } = /** @type {PlaneCanvas} */ (viewer.planes.get(active)).plane;
  const main = /** @type {PlaneCanvas} */ (viewer.planes.get(active));
  const middle = [main.canvas.clientWidth / 2, main.canvas.clientHeight / 2];
  /** @type {Record<string, () => void>} */
  const moves = {
    ArrowUp: () => viewer.step(active, 1), ArrowRight: () => viewer.step(active, 1),
    ArrowDown: () => viewer.step(active, -1), ArrowLeft: () => viewer.step(active, -1),
    PageUp: () => viewer.step(active, 10), PageDown: () => viewer.step(active, -10),
    Home: () => viewer.show(active, 0), End: () => viewer.show(active, viewer.facts.shape[axis] - 1),
  };
  /** @type {Record<string, () => void>} */
  const letters = {
    n: () => viewer.nextLesion(1), p: () => viewer.nextLesion(-1), o: () => viewer.setStyle(
      STYLES[(STYLES.indexOf(viewer.state.style) + 1) % STYLES.length]),
    w: () => viewer.setPreset(viewer.facts.presets[(viewer.facts.presets.findIndex(
      (one) => one.name === viewer.state.preset) + 1) % viewer.facts.presets.length].name),
    r: () => viewer.toggleRuler(), x: () => { viewer.state.showCross = !viewer.state.showCross; },
    t: () => viewer.toggleAlone(), s: () => viewer.save(), f: () => viewer.fullScreen(), "?": () => viewer.help.showModal(),
    "+": () => main.zoomAt(1.25, middle[0], middle[1]), "=": () => main.zoomAt(1.25, middle[0], middle[1]),
    "-": () => main.zoomAt(0.8, middle[0], middle[1]), 0: () => viewer.reset(),
  };
  viewer.facts.planes.forEach((name, number) => { letters[String(number + 1)] = () => viewer.choose(name); });
  const act = ranged ? letters[event.key.toLowerCase()] : moves[event.key] ?? letters[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
  viewer.redraw();
}
