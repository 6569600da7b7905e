// Where the next parts come from: lot, order and shift stay until they are changed, a serial number is for one drop.
// A barcode scanner types like a keyboard, but faster than a person, and ends with Enter.

import { byId } from "./dom.js";

const STAY = ["lot", "order", "shift"];
const FASTEST_MS = 50; // between two keys of a person
const SHORTEST = 4; // characters of a barcode

/** Read the fields for a drop of photos, and empty the serial number. */
export function takeOrigin() {
  const origin = Object.fromEntries([...STAY, "serial"].map((name) => [name, byId(name).value.trim()]));
  byId("serial").value = "";
  return origin;
}

/** Keep the fields in this browser, and listen for a scanner; `onScan()` is called after each serial number. */
export function setUpOrigin(onScan) {
  for (const name of STAY) {
    byId(name).value = localStorage.getItem(`origin-${name}`) ?? "";
    byId(name).addEventListener("change", () => localStorage.setItem(`origin-${name}`, byId(name).value.trim()));
  }
  byId("origin").open = localStorage.getItem("origin-open") === "true";
  byId("origin").addEventListener("toggle", () => localStorage.setItem("origin-open", String(byId("origin").open)));
  let typed = "", last = 0;
  document.addEventListener("keydown", (event) => {
    const inField = event.target.matches("input:not([type=checkbox], [type=range]), textarea, select");
    if (event.target.id === "serial" && event.key === "Enter") {
      event.preventDefault();
      if (byId("serial").value.trim()) onScan();
      return;
    }
    if (inField || document.querySelector("dialog[open]") || byId("view-inspect").hidden) return;
    if (event.timeStamp - last > FASTEST_MS) typed = "";
    last = event.timeStamp;
    if (event.key === "Enter" && typed.length >= SHORTEST) {
      event.preventDefault(); // else the button that has the focus would be pressed
      event.stopImmediatePropagation();
      byId("serial").value = typed;
      typed = "";
      onScan();
    } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) typed += event.key;
  }, { capture: true });
}

/** Call `act()` unless another key follows at once, as where a scanner types. */
export function unlessScanned(act) {
  const cancel = () => clearTimeout(wait);
  const wait = setTimeout(() => {
    window.removeEventListener("keydown", cancel, { capture: true });
    act();
  }, FASTEST_MS);
  window.addEventListener("keydown", cancel, { once: true, capture: true });
}
