// Compare a score with the scores of healthy parts.

import { formatNumber, h, s } from "./dom.js";
import { t } from "./words.js";

const HEIGHT = 64, LINE = 34;
const FARTHEST = 4; // times the threshold: odd healthy parts beyond it are drawn at the end
let WIDTH = 720;

/** Draw a strip with one tick for each healthy part, the threshold and the score, and say the same in words. */
export function scale(inspection, threshold, healthy) {
  const score = inspection.anomaly_score;
  WIDTH = Math.max(280, Math.min(720, window.innerWidth - 40)); // so that its text stays 13 px on a phone
  const start = Math.min(0, healthy[0], threshold);
  const farthest = FARTHEST * Math.max(threshold, inspection.threshold);
  const end = Math.max(2.2 * threshold, Math.min(1.05 * healthy.at(-1), farthest), start + 1e-6); // a trial may be 0
  const beyond = score > end;
  const x = (value) => 8 + (WIDTH - 16) * Math.min(1, Math.max(0, (value - start) / (end - start)));
  const below = healthy.filter((value) => value < score).length;
  const words = below === healthy.length
    ? t("Scores above all {count} healthy parts of the calibration.", { count: healthy.length })
    : t("Scores above {below} of {count} healthy parts of the calibration.", { below, count: healthy.length });
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    s("rect", { x: x(start), y: LINE - 8, width: x(threshold) - x(start), height: 16, class: "zone pass" }),
    s("rect", { x: x(threshold), y: LINE - 8, width: x(end) - x(threshold), height: 16, class: "zone fail" }),
    ...healthy.map((value) => s("line", { x1: x(value), x2: x(value), y1: LINE - 6, y2: LINE + 6, class: "healthy" })),
    s("line", { x1: x(threshold), x2: x(threshold), y1: LINE - 14, y2: LINE + 14, class: "threshold" }),
    label(x(threshold), HEIGHT - 4, `${t("threshold")} ${formatNumber(threshold)}`),
    s("path", { d: `M${x(score)} ${LINE - 8}l-7 -11h14z`, class: "score" }),
    label(x(score), 12, `${t("score")} ${formatNumber(score)}${beyond ? " →" : ""}`));
  return h("div", {}, drawing, h("p", { class: "hint" }, words));
}

function label(x, y, text) {
  const anchor = x < 80 ? "start" : x > WIDTH - 80 ? "end" : "middle";
  return s("text", { x, y, "text-anchor": anchor }, text);
}
