// One inspection, large: banner, scale, pictures, a second look, and another threshold tried out.

import { knownModel, modelInfo, send } from "./api.js";
import { ask, byId, figure, h, mark, percent } from "./dom.js";
import { scale } from "./scale.js";
import { thresholdTrial } from "./threshold.js";
import { viewer } from "./viewer.js";

/** A panel in `place`: `show(inspection)`, or `say(...lines)`, where lines after the first alternate command and text. */
export function resultView(place, empty) {
  let current = null;

  function say(text, ...more) {
    current = null;
    place.replaceChildren(h("div", { class: "say" }, h("p", {}, text),
      ...more.map((line, index) => (index % 2 === 0 ? h("pre", {}, line) : h("p", {}, line)))));
  }

  async function show(inspection) {
    current = inspection;
    const known = knownModel(inspection.category);
    draw(known);
    try {
      const model = await modelInfo(inspection.category);
      // Drawing again would close what somebody has just opened.
      if (current === inspection && JSON.stringify(model) !== JSON.stringify(known)) draw(model);
    } catch {
      // The model is gone; the inspection is shown without its calibration.
    }
  }

  function draw(known) {
    // Figures of another model file would be on another scale.
    const model = known?.model_checksum === current.model_checksum ? known : null;
    const inspection = current;
    const top = h("div", {}, banner(inspection, inspection.threshold, false));
    const chart = h("div", { class: "scale" });
    const trial = model && thresholdTrial(inspection, model, (threshold) => {
      top.replaceChildren(banner(inspection, threshold, threshold !== inspection.threshold));
      chart.replaceChildren(scale(inspection, threshold, model.calibration.healthy_scores));
    }, show);
    if (!model) chart.append(h("p", { class: "hint" }, known
      ? "The model was trained anew since; its healthy scores are on another scale."
      : "Healthy scores of this model are not at hand."));
    const pictures = place.querySelector(".viewer")?.dataset.id === inspection.id
      ? place.querySelector(".viewer") : viewer(inspection);
    place.replaceChildren(top, chart, pictures, ...[review(inspection, changed), trial, facts(inspection)].filter(Boolean));
  }

  function changed(inspection) {
    Object.assign(current, inspection);
    draw(knownModel(current.category));
  }

  if (empty) say(empty);
  return { show, say };
}

function banner(inspection, threshold, tried) {
  const decision = inspection.anomaly_score > threshold ? "FAIL" : "PASS";
  return h("div", { class: `banner ${decision.toLowerCase()}`, role: "status" },
    mark(decision),
    h("strong", { class: "decision" }, decision),
    h("dl", {},
      h("div", {}, h("dt", {}, "score"), h("dd", {}, figure(inspection.anomaly_score))),
      h("div", {}, h("dt", {}, tried ? "tried threshold" : "threshold"), h("dd", {}, figure(threshold))),
      h("div", {}, h("dt", {}, "confidence"), h("dd", {}, tried ? "–" : percent(inspection.confidence)))),
    tried ? h("p", { class: "tried" }, `Trying a threshold; the recorded decision is ${inspection.decision}.`) : null);
}

function review(inspection, changed) {
  const other = inspection.decision === "PASS" ? "FAIL" : "PASS";
  const open = (verdict) => {
    const right = verdict === inspection.decision;
    byId("review-title").textContent = right ? `Confirm ${verdict}` : `Overrule: it should be ${verdict}`;
    byId("dialog-review").querySelector("textarea").value = "";
    ask(byId("dialog-review"), async ({ reviewer, note }) => {
      changed(await send("PATCH", `/inspections/${inspection.id}`, { verdict, reviewer, note }));
    });
  };
  const said = inspection.review;
  return h("section", { class: "card second-look", "aria-label": "Second look" },
    h("div", { class: "row" },
      h("strong", {}, "Second look"),
      h("button", { type: "button", onclick: () => open(inspection.decision) }, "Decision is right"),
      h("button", { type: "button", onclick: () => open(other) }, "Decision is wrong…")),
    said ? h("p", {}, `${said.verdict === inspection.decision ? "Confirmed" : `Overruled, should be ${said.verdict}`} by ${said.reviewer}`
      + `, ${new Date(said.timestamp).toLocaleString()}${said.note ? `: ${said.note}` : ""}`) : null);
}

function facts(inspection) {
  const line = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("details", { class: "card" }, h("summary", {}, "Details"),
    h("dl", { class: "facts" },
      line("file", inspection.file_name),
      line("time", new Date(inspection.timestamp).toLocaleString()),
      line("model", `${inspection.category}, ${inspection.model_checksum.slice(0, 12)}`),
      line("image", `${inspection.width}×${inspection.height} px, ${inspection.image_checksum.slice(0, 12)}`),
      line("p-value", `${inspection.p_value.toFixed(3)}: share of healthy parts that look at least as odd`),
      line("part", inspection.part_found ? "found" : "not found; the whole photo was judged"),
      ...Object.entries(inspection.evidence).map(([kind, one]) => line(kind, `score ${figure(one.score)}, p ${one.p_value.toFixed(3)}`)),
      line("places over the threshold", String(inspection.regions.length)),
      line("took", `${inspection.seconds.toFixed(2)} s`)));
}
