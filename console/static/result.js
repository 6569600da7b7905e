// Show one inspection: decision, scores of healthy parts, pictures, review, trial of another threshold, and details.

import { cachedModel, fetchModel, sendJson } from "./api.js";
import { byId, formatNumber, formatPercent, h, mark, openDialog } from "./dom.js";
import { scale } from "./scale.js";
import { thresholdTrial } from "./threshold.js";
import { viewer } from "./viewer.js";

/**
 * Fill `container` with an inspection by `show(inspection)`, or with text by `showMessage(text, ...more)`, where `more`
 * alternates commands and text.
 */
export function resultView(container, empty) {
  let current = null;

  function showMessage(text, ...more) {
    current = null;
    container.replaceChildren(h("div", { class: "message" }, h("p", {}, text),
      ...more.map((line, index) => (index % 2 === 0 ? h("pre", {}, line) : h("p", {}, line)))));
  }

  async function show(inspection) {
    current = inspection;
    const cached = cachedModel(inspection.category);
    draw(cached);
    try {
      const model = await fetchModel(inspection.category);
      // Drawing the same again would close panels that the user has just opened.
      if (current === inspection && JSON.stringify(model) !== JSON.stringify(cached)) draw(model);
    } catch {
      // The model cannot be loaded; the inspection is shown without its calibration.
    }
  }

  function draw(cached) {
    // Scores of another model file are on another scale.
    const model = cached?.model_checksum === current.model_checksum ? cached : null;
    const inspection = current;
    const top = h("div", {}, banner(inspection, inspection.threshold, false));
    const chart = h("div", { class: "scale" });
    const trial = model && thresholdTrial(inspection, model, (threshold) => {
      top.replaceChildren(banner(inspection, threshold, threshold !== inspection.threshold));
      chart.replaceChildren(scale(inspection, threshold, model.calibration.healthy_scores));
    }, show);
    if (!model) chart.append(h("p", { class: "hint" }, cached
      ? "The model was trained again since this inspection, so its scores of healthy parts are on another scale."
      : "The scores of healthy parts are not loaded."));
    const pictures = container.querySelector(".viewer")?.dataset.id === inspection.id
      ? container.querySelector(".viewer") : viewer(inspection);
    container.replaceChildren(top, chart, pictures, ...[review(inspection, changed), trial, facts(inspection)].filter(Boolean));
  }

  function changed(inspection) {
    Object.assign(current, inspection);
    draw(cachedModel(current.category));
  }

  if (empty) showMessage(empty);
  return { show, showMessage };
}

function banner(inspection, threshold, onTrial) {
  const decision = inspection.anomaly_score > threshold ? "FAIL" : "PASS";
  return h("div", { class: `banner ${decision.toLowerCase()}`, role: "status" },
    mark(decision),
    h("strong", { class: "decision" }, decision),
    h("dl", {},
      h("div", {}, h("dt", {}, "score"), h("dd", {}, formatNumber(inspection.anomaly_score))),
      h("div", {}, h("dt", {}, onTrial ? "trial threshold" : "threshold"), h("dd", {}, formatNumber(threshold))),
      h("div", {}, h("dt", {}, "confidence"), h("dd", {}, onTrial ? "–" : formatPercent(inspection.confidence)))),
    onTrial ? h("p", { class: "on-trial" }, `This is a trial threshold; the recorded decision is ${inspection.decision}.`) : null);
}

function review(inspection, changed) {
  const other = inspection.decision === "PASS" ? "FAIL" : "PASS";
  const open = (verdict) => {
    const right = verdict === inspection.decision;
    byId("review-title").textContent = right ? `Confirm ${verdict}` : `Overrule: it should be ${verdict}`;
    byId("dialog-review").querySelector("textarea").value = "";
    openDialog(byId("dialog-review"), async ({ reviewer, note }) => {
      changed(await sendJson("PATCH", `/inspections/${inspection.id}`, { verdict, reviewer, note }));
    });
  };
  const latest = inspection.review;
  return h("section", { class: "card review-card", "aria-label": "Review" },
    h("div", { class: "row" },
      h("strong", {}, "Review"),
      h("button", { type: "button", onclick: () => open(inspection.decision) }, "Decision is right"),
      h("button", { type: "button", onclick: () => open(other) }, "Decision is wrong…")),
    latest ? h("p", {}, `${latest.verdict === inspection.decision ? "Confirmed" : `Overruled, should be ${latest.verdict}`} by ${latest.reviewer}`
      + `, ${new Date(latest.timestamp).toLocaleString()}${latest.note ? `: ${latest.note}` : ""}`) : null);
}

function facts(inspection) {
  const line = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("details", { class: "card" }, h("summary", {}, "Details"),
    h("dl", { class: "facts" },
      line("file", inspection.file_name),
      line("time", new Date(inspection.timestamp).toLocaleString()),
      line("model", `${inspection.category}, ${inspection.model_checksum.slice(0, 12)}`),
      line("image", `${inspection.width}×${inspection.height} px, ${inspection.image_checksum.slice(0, 12)}`),
      line("p-value", `${inspection.p_value.toFixed(3)}: share of healthy parts that score at least as high`),
      line("part", inspection.part_found ? "found" : "not found; the whole photo was inspected"),
      ...Object.entries(inspection.evidence).map(([kind, one]) => line(kind, `score ${formatNumber(one.score)}, p ${one.p_value.toFixed(3)}`)),
      line("regions above the threshold", String(inspection.regions.length)),
      line("duration", `${inspection.seconds.toFixed(2)} s`)));
}
