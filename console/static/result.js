// Show one inspection: decision, scores of healthy parts, pictures, review, trial of another threshold, and details.

import { cachedModel, fetchJson, fetchModel } from "./api.js";
import { banner } from "./banner.js";
import { failsAll, formatNumber, formatPercent, h } from "./dom.js";
import { reviewPanel } from "./review.js";
import { scale } from "./scale.js";
import { thresholdTrial } from "./threshold.js";
import { viewer } from "./viewer.js";
import { formatTime, t } from "./words.js";

/**
 * Fill `container` with an inspection by `show(inspection)`, or with text by `showMessage(text, ...more)`, where `more`
 * alternates commands and text.
 */
export function resultView(container, empty) {
  let current = null;
  let drawScale = () => {};
  window.addEventListener("resize", () => drawScale()); // its text keeps its size, also when a tablet is turned

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
    // The score of a photo without a part says nothing of a part, nor does that of a model that fails every photo.
    const judged = inspection.decision !== "NO_PART" && !failsAll(inspection);
    let tried = inspection.threshold;
    drawScale = () => judged && model && chart.replaceChildren(scale(inspection, tried, model.calibration.healthy_scores));
    const trial = judged && model && thresholdTrial(inspection, model, (threshold) => {
      top.replaceChildren(banner(inspection, threshold, threshold !== inspection.threshold));
      tried = threshold;
      drawScale();
    }, show);
    if (judged && !model) chart.append(h("p", { class: "hint" }, cached
      ? t("The model was trained again since this inspection, so its scores of healthy parts are on another scale.")
      : t("The scores of healthy parts are not loaded.")));
    if (failsAll(inspection)) chart.append(h("p", { class: "hint" },
      t("This model names a defect in every photo; it cannot say that there is none.")));
    const pictures = container.querySelector(".viewer")?.dataset.id === inspection.id
      ? container.querySelector(".viewer") : viewer(inspection);
    container.replaceChildren(top, chart, pictures, ...[reviewPanel(inspection, changed), trial, facts(inspection), basis(model)].filter(Boolean));
  }

  function changed(inspection) {
    Object.assign(current, inspection);
    draw(cachedModel(current.category));
    document.dispatchEvent(new CustomEvent("reviewed", { detail: inspection }));
  }

  if (empty) showMessage(empty);
  return { show, showMessage };
}

const line = (name, value) => (value === null || value === "" ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value)));

function facts(inspection) {
  return h("details", { class: "card" }, h("summary", {}, t("Details")),
    h("dl", { class: "facts" },
      line(t("file"), inspection.file_name),
      line(t("time"), formatTime(inspection.timestamp)),
      line(t("Lot"), inspection.lot), line(t("Order"), inspection.order),
      line(t("Serial number"), inspection.serial), line(t("Shift"), inspection.shift),
      line(t("Operator"), inspection.operator),
      line(t("model"), `${inspection.category}, ${inspection.model_checksum.slice(0, 12)}`),
      line(t("image"), `${inspection.width}×${inspection.height} px, ${inspection.image_checksum.slice(0, 12)}`),
      ...kindLines(inspection.naming),
      line(t("p-value"), failsAll(inspection) ? null : t("{value}: share of healthy parts that score at least as high", { value: formatNumber(inspection.p_value) })),
      line(t("problem"), t(inspection.problem)),
      line(t("part"), inspection.part_found ? t("found") : t("not found; the whole photo was inspected")),
      line(t("inspected"), inspection.inspected_share === null ? null : t("{share} of the photo", { share: formatPercent(inspection.inspected_share) })),
      ...Object.entries(inspection.evidence).map(([kind, one]) => line(kind, t("score {score}, p {p}", { score: formatNumber(one.score), p: formatNumber(one.p_value) }) + (one.note ? `; ${one.note}` : ""))),
      line(t("marked places"), String(inspection.regions.length)),
      line(t("duration"), `${inspection.seconds.toFixed(2)} s`)));
}

/** Say what an open-set model makes of the photo. */
function kindLines(naming) {
  if (!naming) return [];
  const { verdict, named, confidence, score, threshold } = naming;
  const said = { no_defect: t("no defect"), unknown: t("unknown kind") }[verdict] ?? verdict;
  return [line(t("kind of defect"), said),
    line(t("most like"), `${named} (${formatPercent(confidence)})`),
    line(t("unlike all known kinds"), t("{score}; unknown above {threshold}", { score: formatNumber(score), threshold: formatNumber(threshold) }))];
}

/** Say what the threshold in the model file rests on. */
function basis(model) {
  const found = model?.threshold_basis;
  if (!found) return null;
  const synthetic = found.synthetic_defects;
  const photo = ({ name, score }) => `${name} (${formatNumber(score)})`;
  const setters = found.oddest_photos.filter(({ left_out }) => !left_out);
  return h("details", { class: "card basis" }, h("summary", {}, t("What the threshold rests on")),
    h("dl", { class: "grounds" },
      line(t("false alarms"), t("up to {share} of healthy parts, by {count} healthy photos", { share: formatPercent(found.alpha), count: model.calibration.photos })),
      line(t("photos left out"), found.photos_left_out.join(", ") || t("none")),
      line(t("highest healthy photos"), setters.map(photo).join(", ")),
      synthetic ? line(t("synthetic defects found"), t("{share} of {count} (95 % interval {low} to {high})", {
        share: formatPercent(synthetic.recall), count: synthetic.drawn, low: formatPercent(synthetic.recall_low), high: formatPercent(synthetic.recall_high) })
        + `: ${Object.entries(synthetic.found).map(([kind, [hits, drawn]]) => `${kind} ${hits}/${drawn}`).join(", ")}`) : null),
    ...found.warnings.map((text) => h("p", { class: "hint" }, text)));
}

/** Fetch an inspection with all its reviews. */
export const fetchInspection = (id) => fetchJson(`inspections/${encodeURIComponent(id)}`);
