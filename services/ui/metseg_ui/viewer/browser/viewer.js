// The viewer of one study: three linked planes, lesions, window, ruler, keys. Streamlit mounts it by `mount`.
import { PlaneCanvas } from "./canvas.js";
import { clamp, inWords } from "./geometry.js";

/** @typedef {import("./geometry.js").PlaneName} PlaneName */
/** @typedef {{name: string, low: number, high: number}} Preset */
/** @typedef {{label: number, at: number[]}} LesionPlace */
/**
 * @typedef {Object} Facts what the server says of a study
 * @property {string} job
 * @property {string} address of the arrays
 * @property {number[]} shape
 * @property {number[]} spacing
 * @property {string} scanType
 * @property {string} labelType
 * @property {number} slope grey value = stored × slope + intercept
 * @property {number} intercept
 * @property {PlaneName[]} planes
 * @property {boolean} isPicture
 * @property {boolean} hasSpacing
 * @property {boolean} knowsSides
 * @property {Preset[]} presets
 * @property {LesionPlace[]} lesions
 * @property {number | null} chosen
 * @property {number} jump grows whenever the page sends the viewer to a lesion
 * @property {string} note
 */
/** @typedef {Facts & {scan: import("./geometry.js").Voxels, labels: import("./geometry.js").Voxels}} Study */
/** @typedef {{plane: PlaneName, from: number[], to: number[]}} Ruler */
/**
 * @typedef {Object} State
 * @property {number[]} cross voxel that all planes show
 * @property {number} low stored value that is black
 * @property {number} high
 * @property {string | null} preset
 * @property {"outline" | "fill" | "off"} style
 * @property {{outline: number, fill: number}} opacity
 * @property {number | null} chosen
 * @property {PlaneName} main
 * @property {boolean} alone only the main plane is shown
 * @property {boolean} showCross
 * @property {number} jump
 * @property {Ruler | null} ruler
 */

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array };
const STYLES = /** @type {const} */ (["outline", "fill", "off"]);
const STYLE_NAMES = { outline: "Outline", fill: "Fill", off: "Off" };
const KEYS = [
  ["↑ ↓ ← →", "slice by slice (Page keys: ten; Home, End)"],
  ["1 2 3", "axial, coronal, sagittal plane"],
  ["N, P", "next, previous lesion"],
  ["O", "outline, fill, off"],
  ["W", "next window preset"],
  ["+ − 0", "zoom in, out, fit"],
  ["R", "ruler: drag with the left button"],
  ["X", "crosshair on, off"],
  ["T", "three planes or one"],
  ["S", "save a picture"],
  ["F", "full screen"],
  ["?", "these keys"],
  ["Mouse", "wheel: slices · left: crosshair · right: window · Ctrl + wheel: zoom · Shift + left: pan"],
];

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
      this.message.append(this.button("Try again", "Load the images again", () => this.tell("again", Date.now())));
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
    this.message = element("p", "message", "Loading the images…");
    this.bar = element("div", "bar");
    this.bar.setAttribute("role", "toolbar");
    this.bar.setAttribute("aria-label", "Display");
    this.board = element("div", "board");
    this.said = element("p", "said");
    this.said.setAttribute("role", "status");
    this.help = /** @type {HTMLDialogElement} */ (element("dialog", "help"));
    /** @type {Map<PlaneName, PlaneCanvas>} */
    this.planes = new Map();
    for (const name of facts.planes) {
      const canvas = document.createElement("canvas");
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "img");
      const shown = facts.isPicture ? "Picture" : `${name[0].toUpperCase()}${name.slice(1)} plane`;
      canvas.setAttribute("aria-label", shown);
      canvas.dataset.plane = name;
      this.board.append(canvas);
      this.planes.set(name, new PlaneCanvas(canvas, name));
      this.listen(canvas, name);
    }
    this.slider = document.createElement("input");
    this.slider.type = "range";
    this.slider.min = "1";
    this.slider.setAttribute("aria-label", "Slice");
    this.slider.hidden = facts.isPicture;
    this.slider.addEventListener("input", () => this.show(this.state.main, Number(this.slider.value) - 1));
    this.fillBar();
    this.fillHelp();
    const note = element("p", "note", facts.note);
    host.append(this.bar, this.message, this.board, this.slider, this.said, note, this.help);
    const options = { signal: this.ending.signal };
    host.addEventListener("keydown", (event) => this.onKey(event), options);
    new ResizeObserver(() => this.redraw()).observe(this.board);
  }

  fillBar() {
    const { facts } = this;
    if (facts.planes.length > 1) {
      this.addGroup("Plane", facts.planes.map((name) => [name[0].toUpperCase() + name.slice(1), () => this.choose(name),
        () => this.state.main === name]));
      this.bar.append(this.toggle("One plane", "Show the chosen plane alone (T)", () => this.toggleAlone(),
        () => this.state.alone));
    }
    this.addGroup("Lesions as", STYLES.map((style) => [STYLE_NAMES[style], () => this.setStyle(style),
      () => this.state.style === style]));
    this.opacity = document.createElement("input");
    Object.assign(this.opacity, { type: "range", min: "0.1", max: "1", step: "0.05", title: "Opacity of the lesions" });
    this.opacity.setAttribute("aria-label", "Opacity of the lesions");
    this.opacity.className = "opacity";
    this.opacity.addEventListener("input", () => {
      this.state.opacity[this.state.style === "fill" ? "fill" : "outline"] = Number(this.opacity.value);
      this.redraw();
    });
    this.bar.append(this.opacity);
    this.addGroup("Window", facts.presets.map((preset) => [preset.name, () => this.setPreset(preset.name),
      () => this.state.preset === preset.name]));
    this.bar.append(this.toggle("Ruler", "Measure a distance (R)", () => this.toggleRuler(), () => this.tool === "ruler"));
    const plain = [
      ["Fit", "Show the whole slice (0)", () => this.reset()],
      ["Save picture", "Save what is shown (S)", () => this.save()],
      ["Full screen", "Full screen (F)", () => this.fullScreen()],
      ["Keys", "Keys and mouse (?)", () => this.help.showModal()],
    ];
    for (const [name, title, act] of plain) {
      this.bar.append(this.button(/** @type {string} */ (name), /** @type {string} */ (title), /** @type {any} */ (act)));
    }
  }

  /**
   * @param {string} name
   * @param {any[][]} options
   */
  addGroup(name, options) {
    const group = element("div", "group");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    for (const [text, act, isOn] of options) group.append(this.toggle(text, `${name}: ${text}`, act, isOn));
    this.bar.append(group);
  }

  /**
   * @param {string} text
   * @param {string} title
   * @param {() => void} act
   */
  button(text, title, act) {
    const made = /** @type {HTMLButtonElement} */ (element("button", "", text));
    made.type = "button";
    made.title = title;
    made.addEventListener("click", () => act());
    return made;
  }

  /**
   * @param {string} text
   * @param {string} title
   * @param {() => void} act
   * @param {() => boolean} isOn
   */
  toggle(text, title, act, isOn) {
    const made = this.button(text, title, act);
    /** @type {any} */ (made).isOn = isOn;
    return made;
  }

  fillHelp() {
    const table = element("table", "");
    for (const [keys, told] of KEYS) {
      const row = element("tr", "");
      row.append(element("th", "", keys), element("td", "", told));
      table.append(row);
    }
    this.help.setAttribute("aria-label", "Keys and mouse");
    this.help.append(table, this.button("Close", "Close (Esc)", () => this.help.close()));
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

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {PlaneName} name
   */
  listen(canvas, name) {
    const options = { signal: this.ending.signal };
    const plane = () => /** @type {PlaneCanvas} */ (this.planes.get(name));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) plane().zoomAt(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
      else this.step(name, event.deltaY < 0 ? 1 : -1);
      this.redraw();
    }, { passive: false, ...options });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault(), options);
    canvas.addEventListener("dblclick", () => this.choose(name), options);
    canvas.addEventListener("pointerdown", (event) => this.beginDrag(event, name), options);
  }

  /**
   * @param {PointerEvent} event
   * @param {PlaneName} name
   */
  beginDrag(event, name) {
    const { study, state } = this;
    if (!study) return;
    const plane = /** @type {PlaneCanvas} */ (this.planes.get(name));
    const { canvas } = plane;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const begun = { x: event.offsetX, y: event.offsetY, low: state.low, high: state.high, ...plane.view };
    const act = event.button === 2 ? "window" : event.button === 1 || event.shiftKey ? "pan" : this.tool;
    const here = (/** @type {PointerEvent} */ one) => plane.voxelAt(study, state.cross, one.offsetX, one.offsetY);
    if (act === "ruler") state.ruler = { plane: name, from: here(event), to: here(event) };
    const move = (/** @type {PointerEvent} */ one) => {
      if (act === "window") this.dragWindow(begun, one);
      else if (act === "pan") {
        plane.view.panX = begun.panX + one.offsetX - begun.x;
        plane.view.panY = begun.panY + one.offsetY - begun.y;
      } else if (act === "ruler" && state.ruler) state.ruler.to = here(one);
      else if (act === "cross") this.moveCross(here(one));
      this.redraw();
    };
    if (act === "cross") this.moveCross(here(event));
    const done = new AbortController();
    canvas.addEventListener("pointermove", move, { signal: done.signal });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => done.abort(), { signal: done.signal });
    this.redraw();
  }

  /**
   * @param {{x: number, y: number, low: number, high: number}} begun
   * @param {PointerEvent} event
   */
  dragWindow(begun, event) {
    const full = this.facts.presets.at(-1) ?? this.facts.presets[0];
    const range = (full.high - full.low) / this.facts.slope / 400;
    const centre = (begun.low + begun.high) / 2 + (event.offsetY - begun.y) * range;
    const width = Math.max(begun.high - begun.low + (event.offsetX - begun.x) * range, range);
    Object.assign(this.state, { low: centre - width / 2, high: centre + width / 2, preset: null });
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

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.help.open) return;
    const target = /** @type {HTMLElement} */ (event.target);
    const ranged = target instanceof HTMLInputElement;
    const active = /** @type {PlaneName} */ (target.dataset?.plane ?? this.state.main);
    const { axis } = /** @type {PlaneCanvas} */ (this.planes.get(active)).plane;
    const main = /** @type {PlaneCanvas} */ (this.planes.get(active));
    const middle = [main.canvas.clientWidth / 2, main.canvas.clientHeight / 2];
    /** @type {Record<string, () => void>} */
    const moves = {
      ArrowUp: () => this.step(active, 1), ArrowRight: () => this.step(active, 1),
      ArrowDown: () => this.step(active, -1), ArrowLeft: () => this.step(active, -1),
      PageUp: () => this.step(active, 10), PageDown: () => this.step(active, -10),
      Home: () => this.show(active, 0), End: () => this.show(active, this.facts.shape[axis] - 1),
    };
    /** @type {Record<string, () => void>} */
    const letters = {
      n: () => this.nextLesion(1), p: () => this.nextLesion(-1), o: () => this.setStyle(
        STYLES[(STYLES.indexOf(this.state.style) + 1) % STYLES.length]),
      w: () => this.setPreset(this.facts.presets[(this.facts.presets.findIndex(
        (one) => one.name === this.state.preset) + 1) % this.facts.presets.length].name),
      r: () => this.toggleRuler(), x: () => { this.state.showCross = !this.state.showCross; },
      t: () => this.toggleAlone(), s: () => this.save(), f: () => this.fullScreen(), "?": () => this.help.showModal(),
      "+": () => main.zoomAt(1.25, middle[0], middle[1]), "=": () => main.zoomAt(1.25, middle[0], middle[1]),
      "-": () => main.zoomAt(0.8, middle[0], middle[1]), 0: () => this.reset(),
    };
    this.facts.planes.forEach((name, number) => { letters[String(number + 1)] = () => this.choose(name); });
    const act = ranged ? letters[event.key.toLowerCase()] : moves[event.key] ?? letters[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
    this.redraw();
  }
}

/**
 * @param {string} tag
 * @param {string} name
 * @param {string} [text]
 */
function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}
