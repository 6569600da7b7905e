// The history view: filters, order, pages, export and reports.

import { fetchJson, queryString, request } from "./api.js";
import { badge, byId, failsAll, formatNumber, h, isOverruled, openDialog, shortName, wordOf } from "./dom.js";
import { formatTime, language, t } from "./words.js";

const PAGE_SIZE = 25, TYPING_MS = 300;
const filters = byId("filters");
let page = 1, order = { sort: "time", descending: true };
let shown = { total: 0, inspections: [] };
let asked = 0;

export async function showHistory() {
  await load();
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

async function load() {
  asked += 1;
  const mine = asked;
  const query = formQuery();
  const report = queryString({ ...query, lang: language, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone });
  byId("export-csv").href = `export/inspections.csv?${queryString(query)}`;
  byId("report").href = `report/shift?${report}`;
  byId("report-pdf").href = `report/shift.pdf?${report}`;
  try {
    const found = await fetchJson(`inspections?${queryString({ ...query, sort: order.sort, descending: String(order.descending), page, page_size: PAGE_SIZE })}`);
    if (mine !== asked) return; // a later answer is on its way
    shown = found;
  } catch (error) {
    byId("history-count").textContent = error.message;
    return;
  }
  const pages = Math.max(1, Math.ceil(shown.total / PAGE_SIZE));
  byId("history-count").textContent = t("Inspections: {count}", { count: shown.total });
  byId("rows").replaceChildren(...shown.inspections.map(row));
  if (!shown.total) byId("rows").append(h("tr", {}, h("td", { colspan: 8 }, t("No inspection matches these filters."))));
  byId("page-now").textContent = t("page {page} of {pages}", { page, pages });
  byId("page-back").disabled = page <= 1;
  byId("page-on").disabled = page >= pages;
}

function row(inspection) {
  const link = h("a", { href: `#inspection/${inspection.id}`, title: inspection.file_name }, shortName(inspection.file_name));
  const picture = h("img", { src: `inspections/${inspection.id}/image?size=thumbnail`, alt: "", width: 48, height: 48, loading: "lazy",
    onerror: (event) => event.target.replaceWith(h("span", { class: "blank", title: t("no longer kept") })) });
  const where = [inspection.lot, inspection.serial].filter(Boolean).join(" / ");
  const short = (text) => h("div", { class: "clamp" }, text);
  return h("tr", { onclick: (event) => { if (event.target !== link) link.click(); } },
    h("td", {}, picture),
    h("td", {}, badge(inspection)),
    h("td", { class: "name file" }, short(link)),
    h("td", {}, ...[{ dateStyle: "short" }, { timeStyle: "medium" }].flatMap((part) => [h("span", { class: "short" }, formatTime(inspection.timestamp, part)), " "])),
    h("td", {}, short(inspection.category)),
    h("td", { class: "name", title: where }, short(shortName(where || "–"))),
    inspection.problem ? h("td", {}, short(t(inspection.problem)))
      : h("td", { class: "short" }, failsAll(inspection) ? "–" : `${formatNumber(inspection.anomaly_score)} / ${formatNumber(inspection.threshold)}`),
    h("td", { class: "review" }, short(reviewText(inspection))));
}

function reviewText(inspection) {
  const { review } = inspection;
  if (!review) return "–";
  const values = { name: review.reviewer, verdict: wordOf(review.verdict) };
  const said = isOverruled(inspection) ? t("overruled by {name}", values) : t("confirmed by {name}", values);
  return review.note ? `${said}: ${review.note}` : said;
}

/** Find the inspection `step` places from this one, in the order of the history; null at its ends. */
export async function neighbour(id, step) {
  if (!shown.inspections.some((one) => one.id === id)) await load();
  const index = shown.inspections.findIndex((one) => one.id === id);
  if (index < 0) return null;
  const place = (page - 1) * PAGE_SIZE + index + step;
  if (place < 0 || place >= shown.total) return null;
  const wanted = Math.floor(place / PAGE_SIZE) + 1;
  if (wanted !== page) {
    page = wanted;
    await load();
  }
  return shown.inspections[place % PAGE_SIZE]?.id ?? null;
}

function sortBy(button) {
  const { sort } = button.dataset;
  order = { sort, descending: order.sort === sort ? !order.descending : sort === "time" || sort === "score" };
  for (const head of document.querySelectorAll("[data-sort]")) {
    const here = head.dataset.sort === order.sort;
    head.closest("th").setAttribute("aria-sort", here ? (order.descending ? "descending" : "ascending") : "none");
  }
  page = 1;
  load();
}

async function download({ split, reviewed }) {
  const response = await request(`export/labelled.zip?${queryString({ ...formQuery(), reviewed, split })}`);
  const address = URL.createObjectURL(await response.blob());
  h("a", { href: address, download: "labelled.zip" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

let typing = null;
filters.addEventListener("input", (event) => {
  clearTimeout(typing);
  const now = event.target.matches("select, [type=date]");
  typing = setTimeout(() => { page = 1; load(); }, now ? 0 : TYPING_MS);
});
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => setTimeout(() => { page = 1; load(); }));
for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortBy(button));
byId("page-back").addEventListener("click", () => { page -= 1; load(); });
byId("page-on").addEventListener("click", () => { page += 1; load(); });
byId("export-wrong").addEventListener("click", () => openDialog(byId("dialog-export"), download));
