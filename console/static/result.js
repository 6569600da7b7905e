// Show one inspection: decision, scores of healthy parts, pictures, review, trial of another threshold, and details.

import { cachedModel, fetchModel, sendJson } from "./api.js";
import { byId, decisionAt, formatNumber, formatPercent, h, mark, openDialog, wordOf } from "./dom.js";
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
    const judged = inspection.decision !== "NO_PART"; // the score of a photo without a part says nothing of a part
    const trial = judged && model && thresholdTrial(inspection, model, (threshold) => {
      top.replaceChildren(banner(inspection, threshold, threshold !== inspection.threshold));
      chart.replaceChildren(scale(inspection, threshold, model.calibration.healthy_scores));
    }, show);
    if (judged && !model) chart.append(h("p", { class: "hint" }, cached
      ? "The model was trained again since this inspection, so its scores of healthy parts are on another scale."
      : "The scores of healthy parts are not loaded."));
    const pictures = container.querySelector(".viewer")?.dataset.id === inspection.id
      ? container.querySelector(".viewer") : viewer(inspection);
    container.replaceChildren(top, chart, pictures, ...[review(inspection, changed), trial, facts(inspection), basis(model)].filter(Boolean));
  }

  function changed(inspection) {
    Object.assign(current, inspection);
    draw(cachedModel(current.category));
  }

  if (empty) showMessage(empty);
  return { show, showMessage };
}

function banner(inspection, threshold, onTrial) {
  const decision = decisionAt(inspection, threshold);
  if (decision === "NO_PART") {
    return h("div", { class: "banner no_part", role: "status" },
      mark(decision),
      h("strong", { class: "decision" }, "NO PART"),
      h("p", { class: "of" }, inspection.file_name),
      h("p", { class: "why" }, `Retake the photo: ${inspection.problem}.`));
  }
  return h("div", { class: `banner ${decision.toLowerCase()}`, role: "status" },
    mark(decision),
    h("strong", { class: "decision" }, decision),
    h("p", { class: "of" }, inspection.file_name),
    h("dl", {},
      h("div", {}, h("dt", {}, "score"), h("dd", {}, formatNumber(inspection.anomaly_score))),
      h("div", {}, h("dt", {}, onTrial ? "trial threshold" : "threshold"), h("dd", {}, formatNumber(threshold))),
      h("div", {}, h("dt", {}, "confidence"), h("dd", {}, onTrial ? "–" : formatPercent(inspection.confidence)))),
    onTrial ? h("p", { class: "on-trial" }, `This is a trial threshold; the recorded decision is ${wordOf(inspection.decision)}.`) : null);
}

function review(inspection, changed) {
  const { decision } = inspection;
  const own = decision === "LOOK" ? "PASS" : decision; // a part to look at is one that passed
  const others = { PASS: ["FAIL"], FAIL: ["PASS"], NO_PART: ["PASS", "FAIL"] }[own];
  const open = (verdict) => {
    byId("review-title").textContent = verdict === own ? `Confirm ${wordOf(verdict)}` : `Overrule: it should be ${wordOf(verdict)}`;
    byId("dialog-review").querySelector("textarea").value = "";
    openDialog(byId("dialog-review"), async ({ reviewer, note }) => {
      changed(await sendJson("PATCH", `inspections/${inspection.id}`, { verdict, reviewer, note }));
    });
  };
  const latest = inspection.review;
  return h("section", { class: "card review-card", "aria-label": "Review" },
    h("div", { class: "row" },
      h("strong", {}, "Review"),
      h("button", { type: "button", onclick: () => open(own) }, "Decision is right"),
      ...others.map((other) => h("button", { type: "button", onclick: () => open(other) },
        others.length > 1 ? `It should be ${other}…` : "Decision is wrong…"))),
    latest ? h("p", {}, `${latest.verdict === own ? "Confirmed" : `Overruled, should be ${wordOf(latest.verdict)}`} by ${latest.reviewer}`
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
      inspection.problem ? line("problem", inspection.problem) : null,
      line("part", inspection.part_found ? "found" : "not found; the whole photo was inspected"),
      inspection.inspected_share === null ? null : line("inspected", `${formatPercent(inspection.inspected_share)} of the photo`),
      ...Object.entries(inspection.evidence).map(([kind, one]) => line(kind, `score ${formatNumber(one.score)}, p ${one.p_value.toFixed(3)}${one.note ? `; ${one.note}` : ""}`)),
      line("regions above the threshold", String(inspection.regions.length)),
      line("duration", `${inspection.seconds.toFixed(2)} s`)));
}

/** Say what the threshold in the model file rests on. */
function basis(model) {
  const found = model?.threshold_basis;
  if (!found) return null;
  const line = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const synthetic = found.synthetic_defects;
  const photo = ({ name, score }) => `${name} (${formatNumber(score)})`;
  const setters = found.oddest_photos.filter(({ left_out }) => !left_out);
  return h("details", { class: "card basis" }, h("summary", {}, "What the threshold rests on"),
    h("dl", { class: "grounds" },
      line("false alarms", `up to ${formatPercent(found.alpha)} of healthy parts, by ${model.calibration.photos} healthy photos`),
      line("photos left out", found.photos_left_out.join(", ") || "none"),
      setters.length ? line("highest healthy photos", setters.map(photo).join(", ")) : null,
      synthetic ? line("synthetic defects found", `${formatPercent(synthetic.recall)} of ${synthetic.drawn} `
        + `(95 % interval ${formatPercent(synthetic.recall_low)} to ${formatPercent(synthetic.recall_high)}): `
        + Object.entries(synthetic.found).map(([kind, [hits, drawn]]) => `${kind} ${hits}/${drawn}`).join(", ")) : null),
    ...found.warnings.map((text) => h("p", { class: "hint" }, text)));
}
