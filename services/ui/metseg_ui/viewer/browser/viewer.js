// The viewer of one study: three linked planes, lesions, window, ruler, keys. Streamlit mounts it by `mount`.
import { PlaneCanvas } from "./canvas.js";
import { clamp, inWords } from "./geometry.js";
import { listen, onKey } from "./input.js";
import { button, element, fillBar, fillHelp } from "./toolbar.js";

/** @typedef {import("./types.js").Facts} Facts */
/** @typedef {import("./types.js").PlaneName} PlaneName */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Study} Study */

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array };
/** @type {WeakMap<object, Viewer>} */
const mounted = new WeakMap();

/**
 * Called by Streamlit's component at the first run of the page's script and again after each later one.
 * @param {{parentElement: any, data: Facts, setTriggerValue: (name: string, value: unknown) => void}} component
 */
export function mount(component) {
  const root = component.parentElement;
  const viewer = mounted.get(root);
  if (viewer && viewer.facts.job === component.data.job) {
    viewer.update(component.data, component.setTriggerValue);
    return;
  }
  viewer?.close();
  mounted.set(root, new Viewer(root, component.data, component.setTriggerValue));
}

/** @param {any} root */
export function unmount(root) {
  mounted.get(root)?.close();
  mounted.delete(root);
}

export class Viewer {
  /**
   * @param {any} root
   * @param {Facts} facts
   * @param {(name: string, value: unknown) => void} tell
   */
  constructor(root, facts, tell) {
    this.facts = facts;
    this.tell = tell;
    /** @type {Study | null} */
    this.study = null;
    this.frame = 0;
    this.tool = "cross";
    this.ending = new AbortController();
    this.host = /** @type {HTMLElement} */ (root.querySelector(".viewer"));
    this.message = element("p", "message", "Loading the images…");
    this.bar = element("div", "bar");
    this.board = element("div", "board");
    this.said = element("p", "said");
    this.help = /** @type {HTMLDialogElement} */ (element("dialog", "help"));
    this.slider = /** @type {HTMLInputElement} */ (element("input", ""));
    this.opacity = /** @type {HTMLInputElement} */ (element("input", "opacity"));
    /** @type {Map<PlaneName, PlaneCanvas>} */
    this.planes = new Map();
    this.state = this.stored() ?? this.fresh();
    this.build();
    this.load();
  }

  /** What this visit saw last of the job. @returns {State | null} */
  stored() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.storeName()) ?? "null");
      return kept && kept.cross.length === 3 ? { ...this.fresh(), ...kept } : null;
    } catch {
      return null;
    }
  }

  storeName() {
    return `metseg-viewer-${this.facts.job}`;
  }

  /** @returns {State} */
  fresh() {
    const { facts } = this;
    const first = facts.lesions.find((one) => one.label === facts.chosen) ?? facts.lesions[0];
    const cross = first ? [...first.at] : facts.shape.map((count) => Math.floor(count / 2));
    const preset = facts.presets[0];
    return {
      cross, low: this.toStored(preset.low), high: this.toStored(preset.high), preset: preset.name, style: "outline",
      opacity: { outline: 1, fill: 0.4 }, chosen: facts.chosen, main: facts.planes[0], alone: facts.isPicture,
      showCross: !facts.isPicture, jump: facts.jump, ruler: null,
    };
  }

  /** @param {number} grey */
  toStored(grey) {
    return (grey - this.facts.intercept) / this.facts.slope;
  }

  /**
   * @param {Facts} facts
   * @param {(name: string, value: unknown) => void} tell
   */
  update(facts, tell) {
    this.facts = facts;
    this.tell = tell;
    if (this.study) Object.assign(this.study, facts);
    if (facts.jump !== this.state.jump) {
      this.state.jump = facts.jump;
      this.goTo(facts.chosen);
    }
    this.redraw();
  }

  close() {
    this.ending.abort();
    cancelAnimationFrame(this.frame);
    this.host.replaceChildren();
  }

  async load() {
    try {
      const [scan, labels] = await Promise.all(["scan", "labels"].map((name) => this.fetched(name)));
      const { facts } = this;
      /** @type {any} */ const types = TYPES;
      this.study = { ...facts, scan: new types[facts.scanType](scan), labels: new types[facts.labelType](labels) };
      this.host.dataset.state = "ready";
      this.message.hidden = true;
      this.arrange();
      if (document.activeElement === document.body) this.canvasOf(this.state.main).focus({ preventScroll: true });
    } catch (error) {
      if (this.ending.signal.aborted) return;
      this.host.dataset.state = "failed";
      this.message.replaceChildren("The images could not be loaded. ");
      this.message.append(button("Try again", "Load the images again", () => this.tell("again", Date.now())));
    }
  }

  /** @param {string} name */
  async fetched(name) {
    const answer = await fetch(`${this.facts.address}/${name}`, { signal: this.ending.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.arrayBuffer();
  }

  build() {
    const { facts, host } = this;
    host.replaceChildren();
    host.dataset.state = "loading";
    this.bar.setAttribute("role", "toolbar");
    this.bar.setAttribute("aria-label", "Display");
    this.said.setAttribute("role", "status");
    for (const name of facts.planes) {
      const canvas = document.createElement("canvas");
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "img");
      const shown = facts.isPicture ? "Picture" : `${name[0].toUpperCase()}${name.slice(1)} plane`;
      canvas.setAttribute("aria-label", shown);
      canvas.dataset.plane = name;
      this.board.append(canvas);
      this.planes.set(name, new PlaneCanvas(canvas, name));
      listen(this, canvas, name);
    }
    this.slider.type = "range";
    this.slider.min = "1";
    this.slider.setAttribute("aria-label", "Slice");
    this.slider.hidden = facts.isPicture;
    this.slider.addEventListener("input", () => this.show(this.state.main, Number(this.slider.value) - 1));
    fillBar(this);
    fillHelp(this);
    const note = element("p", "note", facts.note);
    host.append(this.bar, this.message, this.board, this.slider, this.said, note, this.help);
    const options = { signal: this.ending.signal };
    host.addEventListener("keydown", (event) => onKey(this, event), options);
    new ResizeObserver(() => this.redraw()).observe(this.board);
  }

  /** @param {PlaneName} name */
  canvasOf(name) {
    return /** @type {PlaneCanvas} */ (this.planes.get(name)).canvas;
  }

  /** Lay the canvases out: the main one large, the others beside it. */
  arrange() {
    this.board.classList.toggle("alone", this.state.alone || this.facts.planes.length === 1);
    for (const [name, plane] of this.planes) plane.canvas.classList.toggle("main", name === this.state.main);
    this.redraw();
  }

  redraw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { study, state } = this;
    if (!study) return;
    for (const plane of this.planes.values()) plane.draw(study, state);
    const main = /** @type {PlaneCanvas} */ (this.planes.get(state.main));
    const { axis } = main.plane;
    this.slider.max = String(study.shape[axis]);
    this.slider.value = String(state.cross[axis] + 1);
    this.opacity.disabled = state.style === "off";
    this.opacity.value = String(state.opacity[state.style === "fill" ? "fill" : "outline"]);
    const words = inWords(state.main, state.cross[axis], study.shape[axis], main.labels, study.isPicture);
    if (this.said.textContent !== words) this.said.textContent = words;
    for (const one of this.bar.querySelectorAll("button")) {
      const { isOn } = /** @type {any} */ (one);
      if (isOn) one.setAttribute("aria-pressed", String(isOn()));
    }
    try {
      sessionStorage.setItem(this.storeName(), JSON.stringify({ ...state, ruler: null }));
    } catch {
      // a browser that keeps nothing shows each visit afresh
    }
  }

  /** @param {number[]} voxel */
  moveCross(voxel) {
    this.state.cross = voxel.map((value, axis) => clamp(Math.round(value), 0, this.facts.shape[axis] - 1));
  }

  /**
   * @param {PlaneName} name
   * @param {number} by
   */
  step(name, by) {
    const axis = /** @type {PlaneCanvas} */ (this.planes.get(name)).plane.axis;
    this.show(name, this.state.cross[axis] + by);
  }

  /**
   * @param {PlaneName} name
   * @param {number} index
   */
  show(name, index) {
    const axis = /** @type {PlaneCanvas} */ (this.planes.get(name)).plane.axis;
    this.state.cross[axis] = clamp(index, 0, this.facts.shape[axis] - 1);
    this.redraw();
  }

  /** @param {PlaneName} name */
  choose(name) {
    this.state.main = name;
    this.arrange();
  }

  toggleAlone() {
    this.state.alone = !this.state.alone;
    this.arrange();
  }

  /** @param {"outline" | "fill" | "off"} style */
  setStyle(style) {
    this.state.style = style;
    this.redraw();
  }

  /** @param {string | undefined} name */
  setPreset(name) {
    const preset = this.facts.presets.find((one) => one.name === name) ?? this.facts.presets[0];
    const [low, high] = [this.toStored(preset.low), this.toStored(preset.high)];
    Object.assign(this.state, { low, high, preset: preset.name });
    this.redraw();
  }

  toggleRuler() {
    this.tool = this.tool === "ruler" ? "cross" : "ruler";
    if (this.tool === "cross") this.state.ruler = null;
    this.redraw();
  }

  reset() {
    for (const plane of this.planes.values()) plane.reset();
    this.redraw();
  }

  /** @param {number | null} label */
  goTo(label) {
    const lesion = this.facts.lesions.find((one) => one.label === label);
    this.state.chosen = lesion ? lesion.label : null;
    if (lesion) this.state.cross = [...lesion.at];
    this.redraw();
  }

  /** @param {number} by */
  nextLesion(by) {
    const { lesions } = this.facts;
    if (!lesions.length) return;
    const now = lesions.findIndex((one) => one.label === this.state.chosen);
    const next = now < 0 ? (by > 0 ? 0 : lesions.length - 1) : (now + by + lesions.length) % lesions.length;
    this.goTo(lesions[next].label);
    this.tell("lesion", lesions[next].label);
  }

  save() {
    const canvas = this.canvasOf(this.state.main);
    const link = /** @type {HTMLAnchorElement} */ (element("a", ""));
    link.download = `metseg-${this.facts.job.slice(-8)}-${this.state.main}.png`;
    link.href = canvas.toDataURL("image/png");
    link.click();
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.host.requestFullscreen?.();
  }
}
