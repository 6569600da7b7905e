// Build elements from code. Text is never parsed as HTML, so file names and notes cannot inject any.

import { language, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/** Build an HTML element; properties that start with "on" become listeners, null children are skipped. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** Build an SVG element. */
export function s(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

export const byId = (id) => document.getElementById(id);

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null).map((child) => (typeof child === "string" ? visible(child) : child)));
  return node;
}

/** Write characters that turn the direction of text as escapes: "gpj.exe" must not read as "exe.jpg". */
const visible = (text) => text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
  (character) => `\\u${character.charCodeAt(0).toString(16)}`);

/** Write a decision in words: "NO PART" for NO_PART. */
export const wordOf = (decision) => decision.replace("_", " ");

/** The decision that a photo's own verdict amounts to: a part to look at is one that passed. */
export const ownVerdict = ({ decision }) => (decision === "REVIEW" ? "PASS" : decision);

/** Tell whether a person overruled the decision of an inspection. */
export const isOverruled = (inspection) => Boolean(inspection.review) && inspection.review.verdict !== ownVerdict(inspection);

/** Tell whether a model without healthy photos, which fails every photo, made an inspection: its score says nothing. */
export const failsAll = ({ p_value }) => p_value === null;

/** Name the kind of defect that fails a part; null where nothing fails, or the model names none. */
export function kindOf({ decision, naming }) {
  if (!naming || decision !== "FAIL" || naming.verdict === "no_defect") return null;
  return naming.verdict === "unknown" ? t("unknown kind") : naming.verdict.replaceAll("_", " ");
}

/** Show the decision of an inspection as word, shape and colour; one that was overruled is struck out. */
export function badge(inspection) {
  const one = (decision, ...more) => h("span", { class: `badge ${decision.toLowerCase()}` }, mark(decision), ...more);
  const kind = kindOf(inspection);
  if (!isOverruled(inspection)) return one(inspection.decision, wordOf(inspection.decision), kind && h("small", {}, kind));
  const { verdict } = inspection.review;
  return h("span", { class: "overruled", title: t("overruled by {name}", { name: inspection.review.reviewer }) },
    h("s", {}, wordOf(inspection.decision)), one(verdict, wordOf(verdict)));
}

const MOST_LETTERS = 34; // an East Asian character is as wide as two letters

/** Shorten a file name in its middle, as beginnings and ends tell files apart. */
export function shortName(name) {
  const letters = [...name];
  const width = (some) => some.reduce((sum, one) => sum + (one > "\u2e7f" ? 2 : 1), 0);
  if (width(letters) <= MOST_LETTERS) return name;
  const half = (some) => some.slice(0, some.findIndex((_, index) => width(some.slice(0, index + 1)) > (MOST_LETTERS - 1) / 2));
  return `${half(letters).join("")}…${half(letters.reverse()).reverse().join("")}`;
}

const CROSS = [["path", { d: "M7.5 1h9L23 7.5v9L16.5 23h-9L1 16.5v-9z" }], ["path", { d: "M8 8l8 8M16 8l-8 8", class: "stroke" }]];
const SHAPES = {
  PASS: [["circle", { cx: 12, cy: 12, r: 11 }], ["path", { d: "M6.5 12.5l4 4 7-8.5", class: "stroke" }]],
  REVIEW: [["path", { d: "M12 1l11.5 21H.5z" }], ["path", { d: "M12 8.5v6.5M12 17.5v2", class: "stroke" }]],
  FAIL: CROSS,
  NO_PART: [["rect", { x: 1.5, y: 1.5, width: 21, height: 21, rx: 2 }], ["path", { d: "M7 12h10", class: "stroke" }]],
};

/** Draw a tick in a circle (PASS), a triangle (REVIEW), a cross in an octagon (FAIL) or an empty frame (NO_PART). */
export function mark(decision) {
  const inside = (SHAPES[decision] ?? CROSS).map(([tag, properties]) => s(tag, properties));
  return s("svg", { viewBox: "0 0 24 24", class: "mark", "aria-hidden": "true" }, ...inside);
}

/** Name the decision about an image if the threshold were another one; a photo without a part stays one. */
export function decisionAt(inspection, threshold) {
  if (inspection.decision === "NO_PART") return "NO_PART";
  if (inspection.anomaly_score > threshold) return "FAIL";
  return inspection.decision === "REVIEW" ? "REVIEW" : "PASS";
}

/** Format a number with three significant digits. */
export function formatNumber(value) {
  return Math.abs(value) >= 100 ? value.toFixed(0) : decimal(value.toPrecision(3));
}

const COMMA = new Intl.NumberFormat(language).format(0.5)[1];
const decimal = (text) => text.replace(".", COMMA);

/** Format a share, 0 to 1, as a percentage. */
export const formatPercent = (share) => `${decimal((100 * share).toFixed(share < 0.1 ? 1 : 0))} %`;

/** Open a dialog and run `save(form data)` until it succeeds or the user cancels. */
export function openDialog(dialog, save) {
  const form = dialog.querySelector("form");
  const problem = dialog.querySelector(".problem");
  problem.textContent = "";
  const person = form.elements.reviewer ?? form.elements.changed_by;
  if (person) {
    // The account's name is what the service records; without accounts, people write theirs.
    person.value = document.body.dataset.person || (localStorage.getItem("name") ?? "");
    person.readOnly = Boolean(document.body.dataset.person);
  }
  form.onsubmit = async (event) => {
    if (event.submitter?.value !== "save") return;
    event.preventDefault();
    if (person && !person.readOnly) localStorage.setItem("name", person.value);
    event.submitter.disabled = true;
    try {
      await save(Object.fromEntries(new FormData(form)));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    } finally {
      event.submitter.disabled = false;
    }
  };
  dialog.showModal();
}
