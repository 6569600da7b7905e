// Take photos with the camera: in the page where the browser allows it (localhost, https), else with the system's app.

import { byId } from "./dom.js";

/** Show the camera; `onPhoto` receives each photo as a JPEG file. */
export async function openCamera(onPhoto) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
  } catch {
    byId("capture").click();
    return;
  }
  const dialog = byId("dialog-camera");
  const video = byId("video");
  video.srcObject = stream;
  byId("shoot").onclick = () => shoot(video, onPhoto);
  byId("camera-close").onclick = () => dialog.close();
  dialog.onclose = () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
  dialog.showModal();
  await video.play();
}

function shoot(video, onPhoto) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const name = `camera-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.jpg`;
  canvas.toBlob((blob) => blob && onPhoto(new File([blob], name, { type: "image/jpeg" })), "image/jpeg", 0.95);
}
