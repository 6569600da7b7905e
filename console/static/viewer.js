// Show photo and heatmap, overlaid or side by side, with boxes and zoom.

import { h, s } from "./dom.js";
import { t } from "./words.js";

const MODES = { overlay: t("Overlay"), beside: t("Side by side"), photo: t("Photo"), heatmap: t("Heatmap") };
const chosen = { mode: "overlay", opacity: 0.6, boxes: true };

/** Build the pictures of an inspection with their controls. */
export function viewer(inspection) {
  const marked = inspection.has_heatmap;
  let zoom = 1;
  const panes = h("div", { class: "panes" });
  const modes = h("div", { class: "modes", role: "group", "aria-label": t("Pictures") },
    ...Object.entries(MODES).map(([mode, text]) =>
      h("button", { type: "button", "data-mode": mode, onclick: () => set({ mode }) }, text)));
  const opacity = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: chosen.opacity,
    oninput: (event) => set({ opacity: Number(event.target.value) }) });
  const boxes = h("input", { type: "checkbox", onchange: (event) => set({ boxes: event.target.checked }) });
  boxes.checked = chosen.boxes;
  const opacityField = h("label", { class: "inline" }, `${t("Heatmap")} `, opacity);
  const zoomBy = (factor) => h("button", { type: "button", class: "small", "aria-label": factor > 1 ? t("Zoom in") : t("Zoom out"),
    onclick: () => setZoom(zoom * factor) }, factor > 1 ? "+" : "−");
  const fit = h("button", { type: "button", class: "small", onclick: () => setZoom(1) }, t("Fit"));
  const controls = marked ? h("div", { class: "row controls" }, modes, opacityField, h("label", { class: "inline" }, boxes, ` ${t("Boxes")}`))
    : h("p", { class: "hint" }, t("This model marks no place in the photo."));
  const zooms = h("div", { class: "zooms", role: "group", "aria-label": t("Zoom") }, zoomBy(1 / 1.5), fit, zoomBy(1.5));
  const legend = h("p", { class: "legend" },
    h("span", { class: "key" }, h("span", {}, `${t("Heatmap")}: ${t("half the threshold")}`), h("span", { class: "ramp" }), h("span", {}, t("2.5 times the threshold and more"))),
    h("span", { class: "key" }, h("span", { class: "unseen" }), h("span", {}, t("not inspected: outside the frame around the part"))));
  const root = h("section", { class: "viewer", "data-id": inspection.id, "aria-label": t("Pictures") }, controls,
    h("div", { class: "stack" }, panes, zooms), legend);

  function set(change) {
    Object.assign(chosen, change);
    const mode = marked ? chosen.mode : "photo";
    for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    legend.hidden = mode === "photo";
    opacityField.hidden = mode !== "overlay";
    const wanted = mode === "beside" ? ["photo", "heatmap"] : [mode];
    if (panes.dataset.shown !== wanted.join()) {
      panes.dataset.shown = wanted.join();
      panes.replaceChildren(...wanted.map((kind) => pane(inspection, kind, panes, setZoom, () => zoom)));
    }
    for (const heat of panes.querySelectorAll(".over .heat")) heat.style.opacity = chosen.opacity;
    for (const drawn of panes.querySelectorAll(".boxes")) drawn.toggleAttribute("hidden", !chosen.boxes);
    fitAll();
  }

  function setZoom(wanted) {
    zoom = Math.min(16, Math.max(1, wanted));
    fitAll();
  }

  function fitAll() {
    for (const one of panes.children) {
      const ratio = inspection.width / inspection.height;
      const width = Math.min(one.clientWidth, one.clientHeight * ratio) || one.clientWidth;
      const centre = [one.scrollLeft + one.clientWidth / 2, one.scrollTop + one.clientHeight / 2];
      const stage = one.firstElementChild;
      const before = stage.offsetWidth || 1;
      stage.style.width = `${width * zoom}px`;
      stage.style.aspectRatio = String(ratio);
      const grown = stage.offsetWidth / before;
      one.scrollTo(centre[0] * grown - one.clientWidth / 2, centre[1] * grown - one.clientHeight / 2);
    }
  }

  new ResizeObserver(fitAll).observe(panes);
  set({});
  return root;
}

function pane(inspection, kind, panes, setZoom, zoom) {
  const address = `inspections/${inspection.id}`;
  const missing = (event) => event.target.replaceWith(h("p", { class: "hint" }, t("This picture is not stored, or has been deleted.")));
  const picture = (name, path, alt) => h("img", { class: name, src: `${address}/${path}`, alt, draggable: "false", onerror: missing });
  const layers = [];
  if (kind !== "heatmap") layers.push(picture("photo", "image?size=preview", `${t("Photo")} ${inspection.file_name}`));
  if (kind !== "photo") layers.push(picture("heat", "heatmap", t("Heatmap: brighter pixels are more anomalous")));
  const stage = h("div", { class: `stage ${kind === "overlay" ? "over" : kind}` }, ...layers, boxesOf(inspection));
  const pane = h("div", { class: "pane", tabindex: 0, "aria-label": `${MODES[kind]}; ${t("plus and minus keys zoom, arrow keys move")}` }, stage);
  pane.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    setZoom(zoom() * (event.deltaY < 0 ? 1.2 : 1 / 1.2));
  }, { passive: false });
  pane.addEventListener("keydown", (event) => {
    const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[event.key];
    if (factor !== undefined) setZoom(zoom() * factor);
  });
  pane.addEventListener("dblclick", () => setZoom(zoom() > 1 ? 1 : 3));
  pane.addEventListener("scroll", () => {
    for (const other of panes.children) if (other !== pane) other.scrollTo(pane.scrollLeft, pane.scrollTop);
  });
  drag(pane);
  return pane;
}

function drag(pane) {
  pane.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse") return; // fingers scroll by themselves
    const from = [event.clientX + pane.scrollLeft, event.clientY + pane.scrollTop];
    const move = (moved) => pane.scrollTo(from[0] - moved.clientX, from[1] - moved.clientY);
    pane.addEventListener("pointermove", move);
    window.addEventListener("pointerup", () => pane.removeEventListener("pointermove", move), { once: true });
  });
}

/** Draw boxes where they support the verdict: what passed has none, but for places that a person should look at. */
function boxesOf({ width, height, regions, decision }) {
  return s("svg", { class: "boxes", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    ...(["FAIL", "REVIEW"].includes(decision) ? regions : []).flatMap((region) => ["halo", "box"].map((name) =>
      s("rect", { class: name, x: region.x, y: region.y, width: region.width, height: region.height }))));
}
