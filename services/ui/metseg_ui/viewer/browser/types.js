// Types of what the server tells and of what the viewer remembers; no code.

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

export {};
