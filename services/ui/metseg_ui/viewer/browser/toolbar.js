// Buttons above the planes, and the list of keys.

export const STYLES = /** @type {const} */ (["outline", "fill", "off"]);
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

/**
 * The buttons above the planes.
 * @param {import("./viewer.js").Viewer} viewer
 */
export function fillBar(viewer) {
  const { facts, bar } = viewer;
  if (facts.planes.length > 1) {
    bar.append(group("Plane", facts.planes.map((name) => [name[0].toUpperCase() + name.slice(1), () => viewer.choose(name),
      () => viewer.state.main === name])));
    bar.append(toggle("One plane", "Show the chosen plane alone (T)", () => viewer.toggleAlone(),
      () => viewer.state.alone));
  }
  bar.append(group("Lesions as", STYLES.map((style) => [STYLE_NAMES[style], () => viewer.setStyle(style),
    () => viewer.state.style === style])));
  Object.assign(viewer.opacity, { type: "range", min: "0.1", max: "1", step: "0.05", title: "Opacity of the lesions" });
  viewer.opacity.setAttribute("aria-label", "Opacity of the lesions");
  viewer.opacity.addEventListener("input", () => {
    viewer.state.opacity[viewer.state.style === "fill" ? "fill" : "outline"] = Number(viewer.opacity.value);
    viewer.redraw();
  });
  bar.append(viewer.opacity);
  bar.append(group("Window", facts.presets.map((preset) => [preset.name, () => viewer.setPreset(preset.name),
    () => viewer.state.preset === preset.name])));
  bar.append(toggle("Ruler", "Measure a distance (R)", () => viewer.toggleRuler(), () => viewer.tool === "ruler"));
  const plain = [
    ["Fit", "Show the whole slice (0)", () => viewer.reset()],
    ["Save picture", "Save what is shown (S)", () => viewer.save()],
    ["Full screen", "Full screen (F)", () => viewer.fullScreen()],
    ["Keys", "Keys and mouse (?)", () => viewer.help.showModal()],
  ];
  for (const [name, title, act] of plain) {
    bar.append(button(/** @type {string} */ (name), /** @type {string} */ (title), /** @type {any} */ (act)));
  }
}

/**
 * @param {string} name
 * @param {any[][]} options text, what a press does, and whether it is on
 */
function group(name, options) {
  const made = element("div", "group");
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", name);
  for (const [text, act, isOn] of options) made.append(toggle(text, `${name}: ${text}`, act, isOn));
  return made;
}

/**
 * @param {string} text
 * @param {string} title
 * @param {() => void} act
 */
export function button(text, title, act) {
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
function toggle(text, title, act, isOn) {
  const made = button(text, title, act);
  /** @type {any} */ (made).isOn = isOn;
  return made;
}

/**
 * The list of keys.
 * @param {import("./viewer.js").Viewer} viewer
 */
export function fillHelp(viewer) {
  const table = element("table", "");
  for (const [keys, told] of KEYS) {
    const row = element("tr", "");
    row.append(element("th", "", keys), element("td", "", told));
    table.append(row);
  }
  viewer.help.setAttribute("aria-label", "Keys and mouse");
  viewer.help.append(table, button("Close", "Close (Esc)", () => viewer.help.close()));
}

/**
 * @param {string} tag
 * @param {string} name
 * @param {string} [text]
 */
export function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}
