// The station view: the verdict of the newest photo fills the screen, readable from two metres, and keys review it.

import { trigger } from "./camera.js";
import { byId } from "./dom.js";
import { unlessScanned } from "./origin.js";

const KEYS = { c: 0, o: 1 }; // the buttons of the review, in their order
const TONE_HZ = 440, TONE_S = 0.5;
let audio = null;

/** Set up the button and the keys; `step(n)` shows the n-th photo from the present one. */
export function setUpStation(step) {
  byId("station").addEventListener("click", enter);
  byId("station-leave").addEventListener("click", leave);
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement) leave();
  });
  const review = (key) => document.querySelectorAll("#inspect-result .review-card button")[KEYS[key]]?.click();
  document.addEventListener("keydown", (event) => {
    if (!isOn() || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select")) return;
    if (event.key === "Escape") leave();
    else if (event.key === "n") unlessScanned(() => step(1));
    else if (event.key === "p") unlessScanned(() => step(-1));
    else if (event.key === " ") trigger();
    else if (event.key in KEYS) unlessScanned(() => review(event.key));
    else return;
    event.preventDefault();
  });
  document.addEventListener("decided", ({ detail }) => {
    if (isOn() && (detail === "FAIL" || detail === "NO_PART")) sound();
  });
}

const isOn = () => document.body.classList.contains("station");

function enter() {
  location.hash = "#inspect";
  document.body.classList.add("station");
  audio ??= new AudioContext(); // browsers allow sound after a click only
  byId("station").blur(); // else the space bar would press it again
  document.documentElement.requestFullscreen?.().catch(() => {}); // without it the view fills the window
}

function leave() {
  document.body.classList.remove("station");
  if (document.fullscreenElement) document.exitFullscreen();
}

function sound() {
  const tone = audio.createOscillator(), volume = audio.createGain();
  tone.frequency.value = TONE_HZ;
  volume.gain.setValueAtTime(0.3, audio.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + TONE_S);
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + TONE_S);
}
