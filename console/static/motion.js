// Tell from small grey pictures when a part has been put down: something moved, then stood still.

const MOVED = 6, STILL = 3; // mean change of grey levels between two pictures; a camera's noise is about 1
const REST_MS = 400;
const NEW = 6; // mean difference from the picture of the last photo

/** Mean absolute difference of two pictures, in grey levels. */
export function difference(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index += 1) sum += Math.abs(one[index] - other[index]);
  return sum / one.length;
}

/** Decide when to take a photo; `feed(picture, now)` tells it at each picture, `now` in ms. */
export class Motion {
  #before = null;
  #photo = null;
  #moved = true; // the first part lies there already
  #still = null;

  feed(picture, now) {
    const change = this.#before ? difference(picture, this.#before) : 0;
    this.#before = picture;
    if (change > MOVED) this.#moved = true;
    if (change > STILL) this.#still = null;
    else this.#still ??= now;
    if (!this.#moved || this.#still === null || now - this.#still < REST_MS) return false;
    this.#moved = false;
    if (this.#photo && difference(picture, this.#photo) < NEW) return false; // a hand came and went
    this.#photo = picture;
    return true;
  }
}
