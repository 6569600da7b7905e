// The frame of the page: shows one view, loads the list of models, and watches whether the service responds.

import { showAccounts } from "./accounts.js";
import { fetchHealth, fetchJson, SignedOut, signIn } from "./api.js";
import { byId, h, openDialog } from "./dom.js";
import { neighbour, showHistory } from "./history.js";
import { setUpInspect, showInspect } from "./inspect.js";
import { may, showPerson } from "./person.js";
import { fetchInspection, resultView } from "./result.js";
import { showStatistics } from "./statistics.js";
import { setUpLanguages, t, translatePage } from "./words.js";

const VIEWS = ["inspect", "history", "statistics", "inspection", "accounts"];
const stored = resultView(byId("stored-result"), "");
translatePage();
setUpLanguages(byId("language"));

async function route() {
  const [name, id] = location.hash.slice(1).split("/");
  const view = VIEWS.includes(name) && (name !== "accounts" || may("admin")) ? name : "inspect";
  for (const other of VIEWS) byId(`view-${other}`).hidden = other !== view;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash === `#${view}` || (view === "inspection" && link.hash === "#history");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "inspect") showInspect();
  if (view === "history") await showHistory();
  if (view === "statistics") await showStatistics();
  if (view === "accounts") await showAccounts();
  if (view === "inspection") await showStored(id);
}

async function showStored(id) {
  try {
    stored.show(await fetchInspection(id ?? ""));
  } catch (error) {
    stored.showMessage(error.message);
  }
}

/** Show the next inspection of the history, or the one before. */
async function step(places) {
  const id = await neighbour(location.hash.split("/")[1], places);
  if (id) location.hash = `#inspection/${id}`;
}

/** Fill every list of models. */
async function loadCategories() {
  const categories = await fetchJson("categories");
  for (const select of document.querySelectorAll('select[name="category"]')) {
    const any = select.firstElementChild;
    select.replaceChildren(any, ...categories.map(({ name }) => h("option", { value: name }, name)));
  }
  setUpInspect(categories.map(({ name }) => name));
}

let online = false;
let models = null;

/** Poll the state of the service, more often while it does not respond. */
async function watch() {
  try {
    const health = await fetchHealth();
    byId("service").textContent = `${health.device === "cuda" ? "GPU" : "CPU"} · ${t("{count} in the queue", { count: health.queue })}`;
    byId("gone").hidden = true;
    byId("degraded").hidden = health.status === "ok";
    byId("degraded").textContent = health.status === "ok" ? "" : t("No image can be inspected now: {why}.", { why: health.history });
    const back = !online;
    online = true;
    if (back) await showPerson();
    if (back || health.models !== models) {
      models = health.models;
      await loadCategories();
    }
    if (back) {
      await route();
      document.dispatchEvent(new Event("service-online"));
    }
  } catch (error) {
    if (!(error instanceof SignedOut)) markOffline();
  }
  setTimeout(watch, online ? 5000 : 1500);
}

function markOffline() {
  online = false;
  byId("service").textContent = t("no response");
  byId("gone").hidden = false;
}

/** Ask for the token where the page is, so that images that wait are not lost. */
function askForToken() {
  const dialog = byId("dialog-sign-in");
  if (dialog.open) return;
  dialog.querySelector("[name=token]").value = "";
  openDialog(dialog, async ({ name, token }) => {
    await signIn(name, token);
    online = false; // the next look at the service starts everything again
  });
}

byId("step-back").addEventListener("click", () => step(-1));
byId("step-on").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  const places = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (places && !byId("view-inspection").hidden && !event.target.matches("input, textarea, select, .pane")) step(places);
});
document.addEventListener("service-offline", markOffline);
document.addEventListener("signed-out", askForToken);
window.addEventListener("hashchange", route);
watch();
