// Confirm or overrule a decision, and show who did before.

import { sendJson } from "./api.js";
import { byId, h, openDialog, ownVerdict, wordOf } from "./dom.js";
import { formatTime, t } from "./words.js";

/** Build the panel; `changed(inspection)` is called with the service's answer. */
export function reviewPanel(inspection, changed) {
  const own = ownVerdict(inspection);
  const others = { PASS: ["FAIL"], FAIL: ["PASS"], NO_PART: ["PASS", "FAIL"] }[own];
  const open = (verdict) => {
    byId("review-title").textContent = verdict === own ? t("Confirm {verdict}", { verdict: wordOf(verdict) })
      : t("Overrule: it should be {verdict}", { verdict: wordOf(verdict) });
    byId("dialog-review").querySelector("textarea").value = "";
    openDialog(byId("dialog-review"), async ({ reviewer, note }) => {
      changed(await sendJson("PATCH", `inspections/${inspection.id}`, { verdict, reviewer, note }));
    });
  };
  const said = inspection.reviews ?? (inspection.review ? [inspection.review] : []);
  return h("section", { class: "card review-card", "aria-label": t("Review") },
    h("div", { class: "row" },
      h("strong", {}, t("Review")),
      h("button", { type: "button", onclick: () => open(own) }, t("Decision is right")),
      ...others.map((other) => h("button", { type: "button", onclick: () => open(other) },
        others.length > 1 ? t("It should be {verdict}…", { verdict: other }) : t("Decision is wrong…")))),
    said.length ? h("ol", { class: "log" }, ...said.map((one, index) => h("li", { class: index ? "earlier" : "latest" }, sentence(one, own)))) : null);
}

function sentence(one, own) {
  const values = { name: one.reviewer, verdict: wordOf(one.verdict), time: formatTime(one.timestamp) };
  const said = one.verdict === own ? t("Confirmed by {name}, {time}", values) : t("Overruled, should be {verdict}, by {name}, {time}", values);
  return one.note ? `${said}: ${one.note}` : said;
}
