// The statistics view: share of FAIL per day and model, and scores compared with the calibration.

import { fetchJson, queryString } from "./api.js";
import { byId, formatNumber, formatPercent, h, s } from "./dom.js";
import { t } from "./words.js";

let WIDTH = 480;
const HEIGHT = 180, LEFT = 46, BOTTOM = 24, TOP = 10;
const period = byId("period");
let last = null; // what was drawn

export async function showStatistics() {
  const { days, category } = Object.fromEntries(new FormData(period));
  const since = new Date();
  since.setHours(0, 0, 0, 0);
  since.setDate(since.getDate() - Number(days) + 1);
  try {
    const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    draw(await fetchJson(`statistics?${queryString({ since: since.toISOString(), category, time_zone })}`));
  } catch (error) {
    byId("charts").replaceChildren(h("p", {}, error.message));
  }
}

function draw(statistics) {
  const { days, references, no_part_fails } = (last = statistics);
  WIDTH = Math.max(280, Math.min(480, window.innerWidth - 80)); // so that text stays 13 px on a phone
  const models = new Map();
  for (const day of days) {
    const model = `${day.category} ${day.model_checksum}`;
    models.set(model, [...(models.get(model) ?? []), day]);
  }
  const panels = [...models.values()].map((found) => {
    const { category, model_checksum } = found[0];
    const reference = references.find((one) => one.model_checksum === model_checksum && one.category === category);
    return h("section", { class: "card" },
      h("h2", {}, category, h("small", {}, ` ${t("model file")} ${model_checksum.slice(0, 8)}`)),
      h("div", { class: "charts" },
        h("figure", {}, h("figcaption", {}, no_part_fails ? t("Share of FAIL and NO PART") : t("Share of FAIL; photos without a part do not count")), shares(found)),
        h("figure", {}, h("figcaption", {}, t("Scores: median, and 10 % to 90 % quantiles; shaded: calibration")), scores(found, reference))),
      h("p", {}, drift(found, reference)),
      h("details", {}, h("summary", {}, t("As a table")), table(found)));
  });
  byId("charts").replaceChildren(...(panels.length ? panels : [h("p", {}, t("No inspections in this period."))]));
}

/** Tell whether the median score of the last day has left the range of the calibration. */
function drift(found, reference) {
  if (!reference) return t("The model is not loaded. Inspect an image with it to compare these scores with its calibration.");
  const last = found.at(-1);
  const comparison = t("Median score on {day}: {score}; at calibration {median} (10 % to 90 % quantiles: {low} to {high}).", {
    day: last.day, score: formatNumber(last.median_score), median: formatNumber(reference.median_score),
    low: formatNumber(reference.low_score), high: formatNumber(reference.high_score) });
  if (last.median_score > reference.high_score) return `▲ ${comparison} ${t("Scores have drifted upwards: check light, camera and parts, or train with new photos.")}`;
  if (last.median_score < reference.low_score) return `▼ ${comparison} ${t("Scores have drifted downwards: check light and camera.")}`;
  return `● ${comparison} ${t("No drift.")}`;
}

function shares(found) {
  const { x, step } = across(found);
  const y = (share) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share;
  return frame(found, [0, 0.25, 0.5, 0.75, 1].map((share) => [y(share), `${100 * share} %`]),
    ...found.map((day, index) => s("rect", { class: "bar", x: x(index) - step * 0.35, width: step * 0.7,
      y: y(day.fail_share), height: Math.max(1, y(0) - y(day.fail_share)) },
    s("title", {}, `${day.day}: ${t("{failed} of {count} failed", { failed: day.failed, count: day.inspections })} (${formatPercent(day.fail_share)}), ${day.no_part} NO PART`))));
}

function scores(found, reference) {
  const { x, step } = across(found);
  const all = found.flatMap((day) => [day.low_score, day.high_score]);
  if (reference) all.push(reference.low_score, reference.high_score, reference.threshold);
  const low = Math.min(...all);
  // Defects may score many times the threshold; the axis ends at 2.5 times, so that drift near it stays visible.
  const high = Math.max(low + 1e-6, Math.min(Math.max(...all), reference ? 2.5 * reference.threshold : Infinity));
  const y = (score) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (Math.min(score, high) - low) / (high - low);
  const right = WIDTH - 6;
  const below = reference ? [
    s("rect", { class: "reference", x: LEFT, width: right - LEFT, y: y(reference.high_score), height: Math.max(1, y(reference.low_score) - y(reference.high_score)) },
      s("title", {}, t("calibration, 10 to 90 %"))),
    s("line", { class: "threshold", x1: LEFT, x2: right, y1: y(reference.threshold), y2: y(reference.threshold) }),
    s("text", { x: right, y: y(reference.threshold) + 14, "text-anchor": "end" }, t("threshold"))] : [];
  return frame(found, [low, (low + high) / 2, high].map((score) => [y(score), formatNumber(score)]),
    ...below,
    ...found.map((day, index) => s("g", { class: "day" },
      s("line", { x1: x(index), x2: x(index), y1: y(day.low_score), y2: y(day.high_score) }),
      s("circle", { cx: x(index), cy: y(day.median_score), r: Math.min(5, step / 3) }),
      s("title", {}, `${day.day}: ${formatNumber(day.median_score)}, ${t("Inspections: {count}", { count: day.inspections })}`))));
}

function across(found) {
  const step = (WIDTH - LEFT - 6) / Math.max(found.length, 7);
  return { step, x: (index) => LEFT + step * (index + 0.5) };
}

function frame(found, levels, ...inside) {
  const { x, step } = across(found);
  const every = Math.ceil(56 / step);
  return s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": t("Chart; the table below has the same numbers") },
    ...levels.flatMap(([y, text]) => [s("line", { class: "grid", x1: LEFT, x2: WIDTH - 6, y1: y, y2: y }),
      s("text", { x: LEFT - 4, y: y + 4, "text-anchor": "end" }, text)]),
    ...inside,
    ...found.map((day, index) => (index % every ? null : s("text", { x: x(index), y: HEIGHT - 6, "text-anchor": "middle" }, day.day.slice(5)))));
}

function table(found) {
  const head = [t("Day"), t("Inspections"), t("Failed"), "NO PART", t("Share"), t("Median score"), t("10 % to 90 % quantiles")];
  return h("table", {}, h("thead", {}, h("tr", {}, ...head.map((text) => h("th", {}, text)))),
    h("tbody", {}, ...found.map((day) => h("tr", {}, ...[day.day, day.inspections, day.failed, day.no_part, formatPercent(day.fail_share),
      formatNumber(day.median_score), `${formatNumber(day.low_score)} – ${formatNumber(day.high_score)}`].map((text) => h("td", {}, String(text)))))));
}

period.addEventListener("change", showStatistics);
window.addEventListener("resize", () => last && draw(last));
