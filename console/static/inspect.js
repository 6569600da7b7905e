// The inspect view: choice of the model, upload of images, and the result of the selected image.

import { fetchModel } from "./api.js";
import { setUpCamera, trigger } from "./camera.js";
import { byId, h } from "./dom.js";
import { filesOf } from "./files.js";
import { setUpOrigin, takeOrigin } from "./origin.js";
import { Queue } from "./queue.js";
import { resultView } from "./result.js";
import { setUpStation } from "./station.js";
import { t } from "./words.js";

const MOST_WAITING = 4; // photos that the camera may be ahead of the service
const EMPTY = t("Drop or paste images anywhere on this page. Each image gets PASS or FAIL, and is stored in the history.");
const view = resultView(byId("inspect-result"), EMPTY);
const queue = new Queue(byId("queue"), { pick: pin, finished, counted: count });

let selected = null;
let pinned = false; // the user chose what is shown; else the newest result is

export function showInspect() {
  if (selected?.result) view.show(selected.result);
}

/** Offer these models. If there is none, show the command that trains one. */
export function setUpInspect(names) {
  const select = byId("category");
  const before = select.value || localStorage.getItem("category");
  select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  if (names.includes(before)) select.value = before;
  const none = names.length === 0;
  for (const id of ["category", "choose", "camera"]) byId(id).disabled = none;
  if (none) {
    byId("model-state").textContent = "";
    view.showMessage(t("There is no model yet. Train one with photos of good parts; this page then shows it:"),
      "python train.py --images photos/good", t("Or try rendered parts:"), "make demo");
  } else {
    if (!selected) view.showMessage(EMPTY);
    loadModel();
  }
}

async function loadModel() {
  const category = byId("category").value;
  localStorage.setItem("category", category);
  byId("model-state").textContent = t("Loading the model; this can take a few seconds.");
  try {
    await fetchModel(category);
    if (byId("category").value === category) byId("model-state").textContent = t("Ready");
  } catch (error) {
    byId("model-state").textContent = error.message;
  }
}

function add(files) {
  const category = byId("category").value;
  if (category && files.length) queue.add(files, category, takeOrigin());
}

function finished(item) {
  if (selected === item || takesOver(item)) choose(item);
  if (item.result) document.dispatchEvent(new CustomEvent("decided", { detail: item.result.decision }));
}

const URGENCY = ["PASS", "REVIEW", "not inspected", "NO_PART", "FAIL"];
const stops = ({ result }) => result?.decision === "FAIL" || result?.decision === "NO_PART";
const urgency = (item) => URGENCY.indexOf(item.state === "failed" ? "not inspected" : item.result?.decision);

/**
 * Tell whether a new verdict is shown instead of the present one. What was brought after the present verdict was there
 * takes over, unless the user pinned a photo; what had been brought before takes over only where it matters as much: no
 * PASS and no unreadable file hides a FAIL. A FAIL, and a photo without a part, take over from anything less, pinned or not.
 */
function takesOver(item) {
  if (!selected) return true;
  const more = urgency(item) - urgency(selected);
  if (more > 0 && stops(item)) return true;
  return !pinned && (more >= 0 || item.brought > selected.decided);
}

function pin(item) {
  setPinned(true);
  choose(item);
}

function setPinned(value) {
  pinned = value;
  byId("queue-follow").hidden = !value;
}

function choose(item) {
  selected = item;
  // Within the list only: the page itself must not move under somebody's hands.
  const list = byId("queue");
  list.scrollTop = Math.min(item.line.offsetTop, Math.max(list.scrollTop, item.line.offsetTop + item.line.offsetHeight - list.clientHeight));
  for (const other of queue.items) other.button.setAttribute("aria-current", String(other === item));
  if (item.state === "done") view.show(item.result);
  else if (item.state === "failed") view.showMessage(t("{name} was not inspected: {why}", { name: item.name, why: item.reason }));
  else view.showMessage(`${item.name}: ${item.state === "waiting" ? t("waiting") : t("inspecting…")}`);
}

function count(items) {
  if (!items.includes(selected)) {
    selected = null;
    setPinned(false);
    if (byId("category").value) view.showMessage(EMPTY);
  }
  const finished = items.filter(({ state }) => state === "done" || state === "failed").length;
  const countIf = (test) => items.filter(test).length;
  const decided = (decision) => countIf(({ result }) => result?.decision === decision);
  const empty = decided("NO_PART"), review = decided("REVIEW");
  const unread = countIf(({ state }) => state === "failed");
  byId("queue-head").hidden = items.length === 0;
  byId("queue-progress").hidden = items.length === 0 || finished === items.length;
  byId("queue-progress").max = items.length || 1;
  byId("queue-progress").value = finished;
  byId("queue-count").textContent = [`${t("{done} of {all}", { done: finished, all: items.length })}: ${decided("PASS")} PASS`,
    `${decided("FAIL")} FAIL`, review && `${review} REVIEW`, empty && `${empty} NO PART`,
    unread && t("{count} not inspected", { count: unread })].filter(Boolean).join(", ");
}

byId("category").addEventListener("change", loadModel);
byId("choose").addEventListener("click", () => byId("files").click());
byId("choose-folder").addEventListener("click", () => byId("folder").click());
byId("queue-clear").addEventListener("click", () => queue.clear());
byId("queue-follow").addEventListener("click", () => {
  setPinned(false);
  const newest = queue.items.findLast(({ state }) => state === "done");
  if (newest) choose(newest);
});
for (const id of ["files", "folder", "capture"]) {
  byId(id).addEventListener("change", (event) => {
    add([...event.target.files].filter(({ name, type }) => id !== "folder" || (type.startsWith("image/") && !name.startsWith("."))));
    event.target.value = "";
  });
}
setUpCamera((file) => add([file]), () => queue.waiting < MOST_WAITING);
setUpOrigin(trigger);
setUpStation((step) => {
  const next = queue.items[queue.items.indexOf(selected) + step];
  if (next) pin(next);
});
document.addEventListener("reviewed", ({ detail }) => {
  const item = queue.items.find(({ result }) => result?.id === detail.id);
  if (item) queue.draw(item);
});
byId("queue").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const next = queue.items[queue.items.findIndex(({ button }) => button === document.activeElement) + (step ?? 0)];
  if (!step || !next) return;
  event.preventDefault();
  next.button.focus();
  pin(next);
});
const drop = byId("drop");
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (byId("view-inspect").hidden) location.hash = "#inspect";
  add(await filesOf(event.dataTransfer));
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length && !byId("view-inspect").hidden) add(event.clipboardData.files);
});
