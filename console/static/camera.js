// The live camera beside the verdict: photos at a key or button, at an interval, or when a part has been put down.
// Where the browser gives no camera (it does on localhost and https), the system's camera app is opened.

import { byId } from "./dom.js";
import { Motion } from "./motion.js";

const SMALL = [64, 48]; // pixels of the pictures that motion is told from
const LOOK_MS = 100;
let stream = null, timer = null, take = () => {};

/** Set up the controls; `onPhoto` receives each photo as a JPEG file, `mayShoot()` tells whether there is room. */
export function setUpCamera(onPhoto, mayShoot) {
  take = () => shoot(byId("video"), onPhoto);
  byId("camera").addEventListener("click", () => (stream ? stop() : start(mayShoot)));
  byId("shoot").addEventListener("click", take);
  byId("trigger").addEventListener("change", () => arm(mayShoot));
  byId("every").addEventListener("change", () => arm(mayShoot));
}

/** Take a photo if the camera is on; tell whether it is. */
export function trigger() {
  if (stream) take();
  return stream !== null;
}

async function start(mayShoot) {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
  } catch {
    byId("capture").click();
    return;
  }
  const video = byId("video");
  video.srcObject = stream;
  show(true);
  await video.play();
  arm(mayShoot);
}

function stop() {
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  clearInterval(timer);
  byId("video").srcObject = null;
  show(false);
}

function show(on) {
  byId("live").hidden = !on;
  byId("camera").setAttribute("aria-pressed", String(on));
  document.body.classList.toggle("with-camera", on);
}

/** Start what takes photos by itself. */
function arm(mayShoot) {
  clearInterval(timer);
  const mode = byId("trigger").value;
  byId("every-field").hidden = mode !== "interval";
  if (mode === "interval") timer = setInterval(() => mayShoot() && take(), 1000 * Math.max(0.5, Number(byId("every").value) || 2));
  if (mode === "motion") {
    const motion = new Motion();
    timer = setInterval(() => motion.feed(grey(byId("video")), performance.now()) && mayShoot() && take(), LOOK_MS);
  }
}

const small = document.createElement("canvas");
[small.width, small.height] = SMALL;
const look = small.getContext("2d", { willReadFrequently: true });

function grey(video) {
  look.drawImage(video, 0, 0, ...SMALL);
  const { data } = look.getImageData(0, 0, ...SMALL);
  return Float32Array.from({ length: data.length / 4 }, (_, index) => (data[4 * index] + 2 * data[4 * index + 1] + data[4 * index + 2]) / 4);
}

function shoot(video, onPhoto) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const name = `camera-${new Date().toISOString().slice(0, 23).replaceAll(":", "-")}.jpg`;
  canvas.toBlob((blob) => blob && onPhoto(new File([blob], name, { type: "image/jpeg" })), "image/jpeg", 0.95);
}
