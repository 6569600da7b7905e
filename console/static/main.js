// The frame: which view is shown, which models there are, whether the service is there.

import { call } from "./api.js";
import { byId, h } from "./dom.js";
import { showHistory } from "./history.js";
import { setUpInspect, showInspect } from "./inspect.js";
import { resultView } from "./result.js";
import { showStatistics } from "./statistics.js";

const VIEWS = ["inspect", "history", "statistics", "inspection"];
const stored = resultView(byId("stored-result"), "");

async function route() {
  const [name, id] = location.hash.slice(1).split("/");
  const view = VIEWS.includes(name) ? name : "inspect";
  for (const other of VIEWS) byId(`view-${other}`).hidden = other !== view;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash === `#${view}` || (view === "inspection" && link.hash === "#history");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "inspect") showInspect();
  if (view === "history") await showHistory();
  if (view === "statistics") await showStatistics();
  if (view === "inspection") await showStored(id);
}

async function showStored(id) {
  try {
    stored.show(await call(`/inspections/${encodeURIComponent(id ?? "")}`));
  } catch (error) {
    stored.say(error.message);
  }
}

/** Fill the choices of models everywhere; an empty list says what to type. */
async function loadCategories() {
  const categories = await call("/categories");
  for (const select of document.querySelectorAll('select[name="category"]')) {
    const any = select.firstElementChild;
    select.replaceChildren(any, ...categories.map(({ name }) => h("option", { value: name }, name)));
  }
  setUpInspect(categories.map(({ name }) => name));
}

let present = false;
let models = null;

/** Ask how the service is; come back often while it is gone. */
async function watch() {
  try {
    const health = await call("/health");
    byId("service").textContent = `${health.device === "cuda" ? "GPU" : "CPU"} · ${health.queue} under way`;
    byId("gone").hidden = true;
    const back = !present;
    present = true;
    if (back || health.models !== models) {
      models = health.models;
      await loadCategories();
    }
    if (back) {
      await route();
      document.dispatchEvent(new Event("service-back"));
    }
  } catch {
    markGone();
  }
  setTimeout(watch, present ? 5000 : 1500);
}

function markGone() {
  present = false;
  byId("service").textContent = "no answer";
  byId("gone").hidden = false;
}

document.addEventListener("service-gone", markGone);
window.addEventListener("hashchange", route);
watch();
