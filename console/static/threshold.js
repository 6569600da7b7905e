// Try another threshold: show its effect on this image, on healthy parts and on what was inspected lately. Saving it asks
// for a name and a reason.

import { cacheModel, encodeCategory, fetchJson, sendJson } from "./api.js";
import { byId, decisionAt, formatNumber, formatPercent, h, openDialog, wordOf } from "./dom.js";
import { may } from "./person.js";
import { formatTime, t } from "./words.js";

const MOST_NAMED = 8; // inspections that are named one by one

/** Bound the share of healthy parts with "score > threshold" (conformal, the same rule as models/calibration.py). */
export function falseAlarmRate(healthy, threshold) {
  return (1 + healthy.filter((score) => score > threshold).length) / (healthy.length + 1);
}

/** Tell what another threshold would change of recent inspections ({score, decision, verdict}). */
export function changesAt(recent, threshold) {
  const fails = ({ score }) => score > threshold;
  return {
    pass: recent.filter((one) => one.decision === "FAIL" && !fails(one)),
    fail: recent.filter((one) => one.decision !== "FAIL" && fails(one)),
    // By the reviewers' verdicts, whatever the present threshold makes of these parts.
    escaped: recent.filter((one) => one.verdict === "FAIL" && !fails(one)),
    alarms: recent.filter((one) => one.verdict === "PASS" && fails(one)),
  };
}

/** Build the panel. `onChange(threshold)` is called while the slider moves, `onSaved(inspection)` after saving. */
export function thresholdTrial(inspection, model, onChange, onSaved) {
  const { healthy_scores: healthy, lowest_threshold: lowest, highest_threshold: highest } = model.calibration;
  const most = Math.max(model.threshold, model.own_threshold);
  const top = 1.5 * Math.max(most, Math.min(healthy.at(-1), 4 * most)); // one odd healthy part must not stretch the slider
  const slider = h("input", { type: "range", min: lowest, max: top, step: top / 500, "aria-label": t("Threshold") });
  const number = h("input", { type: "number", step: "any", "aria-label": t("Threshold as a number") });
  const meaning = h("p", { role: "status" });
  const effect = h("div", { class: "effect" });
  const save = h("button", { type: "button", onclick: store }, t("Save this threshold…"));
  const back = h("button", { type: "button", class: "quiet", onclick: () => set(model.threshold, true) }, t("Back to the current threshold"));
  let value = model.threshold;
  let recent = null;

  function set(threshold, reset = false) {
    if (!Number.isFinite(threshold)) return;
    value = threshold;
    slider.value = threshold;
    if (document.activeElement !== number || reset) number.value = Number(threshold.toPrecision(6));
    meaning.textContent = `${bound(healthy, threshold)} ${t("This image would be {decision}.", { decision: wordOf(decisionAt(inspection, threshold)) })}`;
    effect.replaceChildren(...(recent ? effectOf(recent, threshold) : []));
    const possible = threshold >= lowest && threshold <= highest;
    if (!possible) meaning.append(` ${t("Only thresholds from {low} to {high} can be saved for this model.", { low: formatNumber(lowest), high: formatNumber(highest) })}`);
    back.disabled = threshold === model.threshold;
    save.disabled = back.disabled || !possible;
    onChange(reset ? inspection.threshold : threshold);
  }

  async function look(event) {
    if (!event.target.open) return;
    try {
      recent = await fetchJson(`model/recent/${encodeCategory(model.name)}`);
      effect.replaceChildren(...effectOf(recent, value));
    } catch (error) {
      effect.replaceChildren(h("p", {}, error.message));
    }
  }

  function store() {
    const chosen = value;
    const escaped = recent ? changesAt(recent, chosen).escaped.length : 0;
    byId("threshold-means").textContent = `${formatNumber(model.threshold)} → ${formatNumber(chosen)}. ${bound(healthy, chosen)}`
      + (escaped ? ` ${t("{count} parts that people called FAIL would pass.", { count: escaped })}` : "");
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
  const own = model.threshold === model.own_threshold ? t("as trained") : t("changed from {value} as trained", { value: formatNumber(model.own_threshold) });
  return h("details", { class: "card trial", ontoggle: look },
    h("summary", {}, t("Try another threshold")),
    h("p", { class: "hint" }, t("Current threshold: {value}, {own}. A trial changes nothing until you save it.", { value: formatNumber(model.threshold), own })),
    h("div", { class: "row" }, slider, number),
    meaning,
    effect,
    h("div", { class: "row" }, may("qa") ? save : null, back),
    may("qa") ? null : h("p", { class: "hint" }, t("People of the role QA may save a threshold.")),
    log(model.threshold_changes));
}

const bound = (healthy, threshold) => t("Flags at most {share} of healthy parts like the {count} photos of the calibration.",
  { share: formatPercent(falseAlarmRate(healthy, threshold)), count: healthy.length });

function effectOf(recent, threshold) {
  if (!recent.length) return [h("p", { class: "hint" }, t("No part was inspected with this model yet."))];
  const { pass, fail, escaped, alarms } = changesAt(recent, threshold);
  const reviewed = (verdict) => recent.filter((one) => one.verdict === verdict).length;
  return [
    h("p", {}, t("Of the last {count} inspections, {pass} would change from FAIL to PASS and {fail} from PASS to FAIL.",
      { count: recent.length, pass: pass.length, fail: fail.length }), ...named([...pass, ...fail])),
    h("p", { class: escaped.length ? "problem" : "hint" }, t("Of {count} parts that people called FAIL, {passed} would pass.",
      { count: reviewed("FAIL"), passed: escaped.length }), ...named(escaped)),
    h("p", { class: "hint" }, t("Of {count} parts that people called PASS, {failed} would fail.",
      { count: reviewed("PASS"), failed: alarms.length })),
  ];
}

function named(inspections) {
  return inspections.slice(0, MOST_NAMED).flatMap(({ id, file_name }) => [" ", h("a", { href: `#inspection/${id}` }, file_name)])
    .concat(inspections.length > MOST_NAMED ? [" …"] : []);
}

function log(changes) {
  if (!changes.length) return null;
  return h("ul", { class: "log" }, ...changes.map((change) =>
    h("li", {}, t("{time}: {old} → {new} by {name}: {reason}", { time: formatTime(change.timestamp), old: formatNumber(change.old),
      new: formatNumber(change.new), name: change.changed_by, reason: change.reason }))));
}
