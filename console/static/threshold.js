// Another threshold tried out: what it would mean for this part and for healthy ones. Saving wants a reason.

import { inPath, rememberModel, send } from "./api.js";
import { ask, byId, figure, h, percent } from "./dom.js";

/** The share of healthy parts that "score > threshold" flags at most (conformal, as models/calibration.py has it). */
export function falseAlarmRate(healthy, threshold) {
  return (1 + healthy.filter((score) => score > threshold).length) / (healthy.length + 1);
}

/** The panel; `tried(threshold)` is called as it moves, `saved(inspection)` after it was saved. */
export function thresholdTrial(inspection, model, tried, saved) {
  const healthy = model.calibration.healthy_scores;
  const top = 1.5 * Math.max(model.threshold, model.own_threshold, healthy.at(-1));
  const slider = h("input", { type: "range", min: Math.min(0, healthy[0]), max: top, step: top / 500, "aria-label": "Threshold" });
  const number = h("input", { type: "number", step: "any", "aria-label": "Threshold as a number" });
  const meaning = h("p", { role: "status" });
  const save = h("button", { type: "button", onclick: store }, "Save this threshold…");
  const back = h("button", { type: "button", class: "quiet", onclick: () => set(model.threshold, true) }, "Back to the one in force");
  let value = model.threshold;

  function set(threshold, reset = false) {
    if (!Number.isFinite(threshold)) return;
    value = threshold;
    slider.value = threshold;
    if (document.activeElement !== number || reset) number.value = Number(threshold.toPrecision(6));
    const verdict = inspection.anomaly_score > threshold ? "FAIL" : "PASS";
    meaning.textContent = `Flags at most ${percent(falseAlarmRate(healthy, threshold))} of healthy parts like the ${healthy.length} `
      + `of the calibration. This image would be ${verdict}.`;
    save.disabled = back.disabled = threshold === model.threshold;
    tried(reset ? inspection.threshold : threshold);
  }

  function store() {
    const wanted = value;
    byId("threshold-means").textContent = `${figure(model.threshold)} → ${figure(wanted)}: flags at most `
      + `${percent(falseAlarmRate(healthy, wanted))} of healthy parts.`;
    byId("dialog-threshold").querySelector("textarea").value = "";
    ask(byId("dialog-threshold"), async ({ changed_by, reason }) => {
      rememberModel(await send("PUT", `/model/threshold/${inPath(model.name)}`,
        { threshold: wanted, changed_by, reason, model_checksum: model.model_checksum }));
      saved(inspection);
    });
  }

  slider.addEventListener("input", () => set(Number(slider.value)));
  number.addEventListener("input", () => set(number.valueAsNumber));
  set(model.threshold, true);
  const own = model.threshold === model.own_threshold ? "the model's own" : `changed from the model's own ${figure(model.own_threshold)}`;
  return h("details", { class: "card trial" },
    h("summary", {}, "Try another threshold"),
    h("p", { class: "hint" }, `In force: ${figure(model.threshold)}, ${own}. Nothing changes until it is saved.`),
    h("div", { class: "row" }, slider, number),
    meaning,
    h("div", { class: "row" }, save, back),
    log(model.threshold_changes));
}

function log(changes) {
  if (!changes.length) return null;
  return h("ul", { class: "log" }, ...changes.map((change) =>
    h("li", {}, `${new Date(change.timestamp).toLocaleString()}: ${figure(change.old)} → ${figure(change.new)} by ${change.changed_by}: ${change.reason}`)));
}
