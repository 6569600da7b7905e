// The inspect view: choice of the model, upload of images, the queue, and the result of the selected image.

import { fetchJson, fetchModel, ServiceUnreachable } from "./api.js";
import { openCamera } from "./camera.js";
import { badge, byId, h } from "./dom.js";
import { resultView } from "./result.js";
import { setUpStation } from "./station.js";

const MAX_REQUESTS = 4; // at the same time
const EMPTY = "Drop images on the left. Each image gets PASS or FAIL, and is stored in the history.";
const view = resultView(byId("inspect-result"), EMPTY);

let items = [];
let selected = null;
let pinned = false; // the user chose what is shown; else the newest result is
let drops = 0;
let running = 0;
let paused = false;

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
    view.showMessage("There is no model yet. Train one with photos of good parts; this page then shows it:",
      "python train.py --images photos/good", "Or try rendered parts:", "make demo");
  } else {
    if (!selected) view.showMessage(EMPTY);
    loadModel();
  }
}

async function loadModel() {
  const category = byId("category").value;
  localStorage.setItem("category", category);
  byId("model-state").textContent = "Loading the model; this can take a few seconds.";
  try {
    const info = await fetchModel(category);
    if (byId("category").value === category) byId("model-state").textContent = `Ready: ${info.description[0]}.`;
  } catch (error) {
    byId("model-state").textContent = error.message;
  }
}

function add(files) {
  const category = byId("category").value;
  if (!category) return;
  drops += 1;
  for (const file of files) {
    const item = { file, name: file.name || "pasted.png", category, state: "waiting", drop: drops };
    item.button = h("button", { type: "button", onclick: () => pin(item) });
    item.line = h("li", {}, item.button);
    items.push(item);
    byId("queue").append(item.line);
    draw(item);
  }
  work();
}

function work() {
  count();
  while (!paused && running < MAX_REQUESTS) {
    const item = items.find(({ state }) => state === "waiting");
    if (!item) return;
    running += 1;
    inspect(item).finally(() => {
      running -= 1;
      work();
    });
  }
}

async function inspect(item) {
  item.state = "inspecting";
  draw(item);
  let content;
  try {
    // The file is read first: one that is gone or was overwritten fails alone, and is no sign of a lost service.
    content = new Blob([await item.file.arrayBuffer()], { type: item.file.type });
  } catch {
    fail(item, "the file is gone or was changed after it was chosen; choose it again");
    return;
  }
  const form = new FormData();
  form.append("category", item.category);
  form.append("return_visualizations", "false"); // pictures are fetched when the image is selected
  form.append("image", content, item.name);
  try {
    item.result = await fetchJson("inspect", { method: "POST", body: form });
    item.result.review = null;
    item.state = "done";
    item.file = null;
    if (selected === item || takesOver(item)) choose(item);
    document.dispatchEvent(new CustomEvent("decided", { detail: item.result.decision }));
  } catch (error) {
    if (error instanceof ServiceUnreachable) {
      paused = true;
      item.state = "waiting";
    } else if (error.status === 503 && error.retryAfter) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * Number(error.retryAfter)));
      item.state = "waiting";
    } else {
      fail(item, error.message);
    }
  }
  draw(item);
}

function fail(item, reason) {
  item.state = "failed";
  item.reason = reason;
  if (!selected || !pinned) choose(item);
  draw(item);
}

const stops = (item) => item?.result?.decision === "FAIL" || item?.result?.decision === "NO_PART";

/**
 * Tell whether a new result is shown instead of the present one: the newest is, unless the user pinned one. A FAIL takes
 * over from anything else, and is not hidden by a PASS of the same drop.
 */
function takesOver(item) {
  if (!selected) return true;
  if (stops(item) && !stops(selected)) return true;
  return !pinned && !(stops(selected) && !stops(item) && selected.drop === item.drop);
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
  item.line.scrollIntoView({ block: "nearest" });
  for (const other of items) other.button.setAttribute("aria-current", String(other === item));
  if (item.state === "done") view.show(item.result);
  else if (item.state === "failed") view.showMessage(`${item.name} was not inspected: ${item.reason}`);
  else view.showMessage(`${item.name}: ${item.state}…`);
}

function draw(item) {
  const states = { waiting: "waiting", inspecting: "inspecting…", failed: `not inspected: ${item.reason}` };
  const picture = item.result
    ? h("img", { src: `inspections/${item.result.id}/image?size=thumbnail`, alt: "", loading: "lazy", width: 48, height: 48 })
    : h("span", { class: "blank" });
  const state = item.result ? badge(item.result.decision) : h("small", {}, states[item.state]);
  item.button.replaceChildren(picture, h("span", { class: "name" }, item.name), state);
  item.line.className = item.state;
}

function count() {
  const finished = items.filter(({ state }) => state === "done" || state === "failed").length;
  const countIf = (test) => items.filter(test).length;
  const decided = (decision) => countIf(({ result }) => result?.decision === decision);
  const failed = decided("FAIL"), empty = decided("NO_PART"), look = decided("LOOK");
  const unread = countIf(({ state }) => state === "failed");
  byId("queue-head").hidden = items.length === 0;
  byId("queue-progress").hidden = items.length === 0 || finished === items.length;
  byId("queue-progress").max = items.length || 1;
  byId("queue-progress").value = finished;
  byId("queue-count").textContent = `${finished} of ${items.length}: ${finished - failed - empty - look - unread} PASS, ${failed} FAIL`
    + (look ? `, ${look} LOOK` : "") + (empty ? `, ${empty} NO PART` : "")
    + (unread ? `, ${unread} not inspected` : "");
}

function clear() {
  items = items.filter(({ state }) => state === "inspecting" || state === "waiting");
  byId("queue").replaceChildren(...items.map(({ line }) => line));
  if (!items.includes(selected)) {
    selected = null;
    setPinned(false);
    view.showMessage(EMPTY);
  }
  count();
}

byId("category").addEventListener("change", loadModel);
byId("choose").addEventListener("click", () => byId("files").click());
byId("camera").addEventListener("click", () => openCamera((file) => add([file])));
byId("queue-clear").addEventListener("click", clear);
byId("queue-follow").addEventListener("click", () => {
  setPinned(false);
  const newest = items.findLast(({ state }) => state === "done");
  if (newest) choose(newest);
});
for (const id of ["files", "capture"]) {
  byId(id).addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = "";
  });
}
setUpStation((step) => {
  const next = items[items.indexOf(selected) + step];
  if (next) pin(next);
});
byId("queue").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const next = items[items.findIndex(({ button }) => button === document.activeElement) + (step ?? 0)];
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
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (byId("view-inspect").hidden) location.hash = "#inspect";
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length && !byId("view-inspect").hidden) add(event.clipboardData.files);
});
document.addEventListener("service-online", () => {
  paused = false;
  work();
});
