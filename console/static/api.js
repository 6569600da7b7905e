// Talking to the service. Every failure is an Error whose message can be shown.

export class Gone extends Error {}
export class Refused extends Error {
  constructor(status, reason, retryAfter) {
    super(reason);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The JSON answer. Throws Gone if nobody answers, Refused with the service's reason otherwise. */
export async function call(path, options = {}) {
  const answer = await request(path, options);
  return answer.json();
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    document.dispatchEvent(new Event("service-gone"));
    throw new Gone("the service does not answer");
  }
  if (answer.status === 401) location.reload(); // shows the sign-in page
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, body.detail ?? `the service answered ${answer.status}`, answer.headers.get("retry-after"));
  }
  return answer;
}

export function send(method, path, body) {
  return call(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** A category in a path: its slashes stay, all else is escaped. */
export const inPath = (category) => category.split("/").map(encodeURIComponent).join("/");

export function query(values) {
  return new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();
}

const known = new Map();

/** All about a model, fetched once per model file. */
export async function modelInfo(category) {
  const info = await call(`/model/info/${inPath(category)}`);
  known.set(category, info);
  return info;
}

/** What was last learned of a model, without asking. */
export const knownModel = (category) => known.get(category);
export const rememberModel = (info) => known.set(info.name, info);
