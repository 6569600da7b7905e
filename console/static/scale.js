// Compare a score with the scores of healthy parts.

import { formatNumber, h, s } from "./dom.js";

const WIDTH = 720, HEIGHT = 64, LINE = 34;

/** Draw a strip with one tick for each healthy part, the threshold and the score, and say the same in words. */
export function scale(inspection, threshold, healthy) {
  const score = inspection.anomaly_score;
  const end = Math.max(2.2 * threshold, 1.05 * healthy.at(-1));
  const start = Math.min(0, healthy[0], threshold);
  const beyond = score > end;
  const x = (value) => 8 + (WIDTH - 16) * Math.min(1, Math.max(0, (value - start) / (end - start)));
  const below = healthy.filter((value) => value < score).length;
  const words = below === healthy.length
    ? `Scores above all ${healthy.length} healthy parts of the calibration.`
    : `Scores above ${below} of ${healthy.length} healthy parts of the calibration.`;
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    s("rect", { x: x(start), y: LINE - 8, width: x(threshold) - x(start), height: 16, class: "zone pass" }),
    s("rect", { x: x(threshold), y: LINE - 8, width: x(end) - x(threshold), height: 16, class: "zone fail" }),
    ...healthy.map((value) => s("line", { x1: x(value), x2: x(value), y1: LINE - 6, y2: LINE + 6, class: "healthy" })),
    s("line", { x1: x(threshold), x2: x(threshold), y1: LINE - 14, y2: LINE + 14, class: "threshold" }),
    label(x(threshold), HEIGHT - 4, `threshold ${formatNumber(threshold)}`),
    s("path", { d: `M${x(score)} ${LINE - 8}l-7 -11h14z`, class: "score" }),
    label(x(score), 12, beyond ? `score ${formatNumber(score)} →` : `score ${formatNumber(score)}`));
  return h("div", {}, drawing, h("p", { class: "hint" }, words));
}

function label(x, y, text) {
  const anchor = x < 80 ? "start" : x > WIDTH - 80 ? "end" : "middle";
  return s("text", { x, y, "text-anchor": anchor }, text);
}
