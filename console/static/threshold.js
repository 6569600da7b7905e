// Try another threshold: show its effect on this image and on healthy parts. Saving it asks for a name and a reason.

import { cacheModel, encodeCategory, sendJson } from "./api.js";
import { byId, decisionAt, formatNumber, formatPercent, h, openDialog, wordOf } from "./dom.js";

/** Bound the share of healthy parts with "score > threshold" (conformal, the same rule as models/calibration.py). */
export function falseAlarmRate(healthy, threshold) {
  return (1 + healthy.filter((score) => score > threshold).length) / (healthy.length + 1);
}

/** Build the panel. `onChange(threshold)` is called while the slider moves, `onSaved(inspection)` after saving. */
export function thresholdTrial(inspection, model, onChange, onSaved) {
  const healthy = model.calibration.healthy_scores;
  const top = 1.5 * Math.max(model.threshold, model.own_threshold, healthy.at(-1));
  const slider = h("input", { type: "range", min: Math.min(0, healthy[0]), max: top, step: top / 500, "aria-label": "Threshold" });
  const number = h("input", { type: "number", step: "any", "aria-label": "Threshold as a number" });
  const meaning = h("p", { role: "status" });
  const save = h("button", { type: "button", onclick: store }, "Save this threshold…");
  const back = h("button", { type: "button", class: "quiet", onclick: () => set(model.threshold, true) }, "Back to the current threshold");
  let value = model.threshold;

  function set(threshold, reset = false) {
    if (!Number.isFinite(threshold)) return;
    value = threshold;
    slider.value = threshold;
    if (document.activeElement !== number || reset) number.value = Number(threshold.toPrecision(6));
    const verdict = wordOf(decisionAt(inspection, threshold));
    meaning.textContent = `Flags at most ${formatPercent(falseAlarmRate(healthy, threshold))} of healthy parts like the ${healthy.length} `
      + `photos of the calibration. This image would be ${verdict}.`;
    save.disabled = back.disabled = threshold === model.threshold;
    onChange(reset ? inspection.threshold : threshold);
  }

  function store() {
    const chosen = value;
    byId("threshold-means").textContent = `${formatNumber(model.threshold)} → ${formatNumber(chosen)}: flags at most `
      + `${formatPercent(falseAlarmRate(healthy, chosen))} of healthy parts.`;
    byId("dialog-threshold").querySelector("textarea").value = "";
    openDialog(byId("dialog-threshold"), async ({ changed_by, reason }) => {
      cacheModel(await sendJson("PUT", `model/threshold/${encodeCategory(model.name)}`,
        { threshold: chosen, replaces: model.threshold, changed_by, reason, model_checksum: model.model_checksum }));
      onSaved(inspection);
    });
  }

  slider.addEventListener("input", () => set(Number(slider.value)));
  number.addEventListener("input", () => set(number.valueAsNumber));
  set(model.threshold, true);
  const own = model.threshold === model.own_threshold ? "as trained" : `changed from ${formatNumber(model.own_threshold)} as trained`;
  return h("details", { class: "card trial" },
    h("summary", {}, "Try another threshold"),
    h("p", { class: "hint" }, `Current threshold: ${formatNumber(model.threshold)}, ${own}. A trial changes nothing until you save it.`),
    h("div", { class: "row" }, slider, number),
    meaning,
    h("div", { class: "row" }, save, back),
    log(model.threshold_changes));
}

function log(changes) {
  if (!changes.length) return null;
  return h("ul", { class: "log" }, ...changes.map((change) =>
    h("li", {}, `${new Date(change.timestamp).toLocaleString()}: ${formatNumber(change.old)} → ${formatNumber(change.new)} by ${change.changed_by}: ${change.reason}`)));
}
