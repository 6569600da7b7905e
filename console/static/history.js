// The history view: search, pages, export and print.

import { fetchJson, queryString, request } from "./api.js";
import { badge, byId, formatNumber, formatPercent, h, openDialog, wordOf } from "./dom.js";

const PAGE_SIZE = 25, PRINTED = 500;
const filters = byId("filters");
let page = 1;

export async function showHistory() {
  await load(PAGE_SIZE);
}

/** Read the form as query parameters. Days begin at midnight in this machine's time zone. */
function formQuery() {
  const { since, until, ...rest } = Object.fromEntries(new FormData(filters));
  const midnight = (day, daysLater) => {
    const [year, month, date] = day.split("-").map(Number);
    return new Date(year, month - 1, date + daysLater).toISOString();
  };
  return { ...rest, since: since && midnight(since, 0), until: until && midnight(until, 1) };
}

async function load(size) {
  byId("export-csv").href = `export/inspections.csv?${queryString(formQuery())}`;
  try {
    const found = await fetchJson(`inspections?${queryString({ ...formQuery(), page, page_size: size })}`);
    const pages = Math.max(1, Math.ceil(found.total / size));
    byId("history-count").textContent = `${found.total} inspection${found.total === 1 ? "" : "s"}`;
    byId("rows").replaceChildren(...found.inspections.map(row));
    if (!found.total) byId("rows").append(h("tr", {}, h("td", { colspan: 7 }, "No inspection matches these filters.")));
    byId("page-now").textContent = `page ${page} of ${pages}`;
    byId("page-back").disabled = page <= 1;
    byId("page-on").disabled = page >= pages;
    return found;
  } catch (error) {
    byId("history-count").textContent = error.message;
    return null;
  }
}

function row(inspection) {
  const link = h("a", { href: `#inspection/${inspection.id}` }, inspection.file_name);
  const { review } = inspection;
  const reviewText = review
    ? `${review.verdict === inspection.decision.replace("LOOK", "PASS") ? "confirmed" : `overruled: ${wordOf(review.verdict)}`} by ${review.reviewer}${review.note ? `: ${review.note}` : ""}`
    : "–";
  const picture = h("img", { src: `inspections/${inspection.id}/image?size=thumbnail`, alt: "", width: 56, height: 56,
    onerror: (event) => event.target.replaceWith(h("span", { class: "blank", title: "no longer kept" })) });
  return h("tr", { onclick: (event) => { if (event.target !== link) link.click(); } },
    h("td", {}, picture),
    h("td", { class: "short" }, new Date(inspection.timestamp).toLocaleString([], { dateStyle: "short", timeStyle: "medium" })),
    h("td", {}, inspection.category, h("small", { class: "short" }, inspection.model_checksum.slice(0, 8))),
    h("td", { class: "name" }, link, h("small", {}, inspection.image_checksum.slice(0, 8))),
    h("td", { class: "short" }, inspection.problem || `${formatNumber(inspection.anomaly_score)} / ${formatNumber(inspection.threshold)}`),
    h("td", {}, badge(inspection.decision)),
    h("td", { class: "review" }, reviewText));
}

async function printReport() {
  page = 1;
  const found = await load(PRINTED);
  if (!found) return;
  const shown = found.inspections;
  const failed = shown.filter(({ decision }) => decision === "FAIL" || decision === "NO_PART").length;
  const empty = shown.filter(({ decision }) => decision === "NO_PART").length;
  const active = [...filters.elements].filter(({ name, value }) => name && value).map(({ name, value }) => `${name}: ${value}`);
  byId("report-filters").textContent = `${active.join(", ") || "all inspections"}. `
    + `${shown.length} of ${found.total} shown, ${failed} FAIL${shown.length ? ` (${formatPercent(failed / shown.length)})` : ""}`
    + `${empty ? `, ${empty} of them NO PART` : ""}. `
    + `Printed ${new Date().toLocaleString()}.`;
  await Promise.all([...byId("rows").querySelectorAll("img")].map((image) => image.decode().catch(() => {})));
  window.print();
  await load(PAGE_SIZE);
}

async function download({ split, reviewed }) {
  const response = await request(`export/labelled.zip?${queryString({ ...formQuery(), reviewed, split })}`);
  const address = URL.createObjectURL(await response.blob());
  h("a", { href: address, download: "labelled.zip" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

filters.addEventListener("submit", (event) => {
  event.preventDefault();
  page = 1;
  load(PAGE_SIZE);
});
byId("page-back").addEventListener("click", () => { page -= 1; load(PAGE_SIZE); });
byId("page-on").addEventListener("click", () => { page += 1; load(PAGE_SIZE); });
byId("print").addEventListener("click", printReport);
byId("export-wrong").addEventListener("click", () => openDialog(byId("dialog-export"), download));
