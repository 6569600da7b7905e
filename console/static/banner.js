// The verdict, large.

import { decisionAt, failsAll, formatNumber, formatPercent, h, isOverruled, kindOf, mark, shortName, wordOf } from "./dom.js";
import { t } from "./words.js";

/** Show the decision that `threshold` gives; `onTrial` says that it is not the recorded one. */
export function banner(inspection, threshold, onTrial) {
  const decision = decisionAt(inspection, threshold);
  const overruled = isOverruled(inspection) && !onTrial;
  const where = [["Lot", inspection.lot], ["Order", inspection.order], ["Serial number", inspection.serial], ["Shift", inspection.shift]]
    .filter(([, value]) => value).map(([name, value]) => `${t(name)} ${value}`).join(" · ");
  const name = h("p", { class: "of", title: inspection.file_name }, shortName(inspection.file_name),
    where ? h("span", { class: "where" }, where) : null);
  const correction = overruled ? h("p", { class: "why" },
    t("Overruled by {name}: it should be {verdict}.", { name: inspection.review.reviewer, verdict: wordOf(inspection.review.verdict) })) : null;
  const kind = onTrial ? null : kindOf(inspection);
  const head = [mark(decision), h(overruled ? "s" : "strong", { class: "decision" }, wordOf(decision)),
    kind && h(overruled ? "s" : "strong", { class: "kind" }, kind), name];
  const properties = { class: `banner ${decision.toLowerCase()}${overruled ? " struck" : ""}`, role: "status" };
  if (decision === "NO_PART") {
    return h("div", properties, ...head, h("p", { class: "why" }, t("Retake the photo: {why}", { why: t(inspection.problem) })), correction);
  }
  return h("div", properties, ...head,
    failsAll(inspection) ? null : h("dl", {},
      figure(t("score"), formatNumber(inspection.anomaly_score)),
      figure(onTrial ? t("trial threshold") : t("threshold"), formatNumber(threshold)),
      figure(t("confidence"), onTrial ? "–" : formatPercent(inspection.confidence))),
    correction,
    onTrial ? h("p", { class: "on-trial" }, t("This is a trial threshold; the recorded decision is {decision}.", { decision: wordOf(inspection.decision) })) : null);
}

const figure = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
