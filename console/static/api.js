// Requests to the service. Every failure is an Error whose message can be shown to the user.
// Addresses are relative to the page, as a proxy may serve it under a path of its own.

import { t } from "./words.js";

export class ServiceUnreachable extends Error {}
export class SignedOut extends ServiceUnreachable {}
export class RequestError extends Error {
  constructor(status, reason, retryAfter) {
    super(reason);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Fetch JSON. Throws ServiceUnreachable if there is no response, and RequestError if the status is an error. */
export async function fetchJson(path, options = {}) {
  const response = await request(path, options);
  return response.json();
}

/** Fetch a response. Throws as `fetchJson` does. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    document.dispatchEvent(new Event("service-offline"));
    throw new ServiceUnreachable(t("the service does not respond"));
  }
  if (response.status === 401) {
    document.dispatchEvent(new Event("signed-out"));
    throw new SignedOut(t("sign in again to go on"));
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new RequestError(response.status, body.detail ?? t("the service responded with status {status}", { status: response.status }),
      response.headers.get("retry-after"));
  }
  return response;
}

/** Fetch the state of the service, which has status 503 while nothing can be stored. */
export async function fetchHealth() {
  try {
    return await (await fetch("health")).json();
  } catch {
    throw new ServiceUnreachable(t("the service does not respond"));
  }
}

/** Sign in with the token, or with a name and its password. Throws an Error that says why that failed. */
export async function signIn(name, token) {
  const response = await fetch("session", { method: "POST", body: new URLSearchParams({ name, token }) });
  if (response.status === 429) throw new Error(t("Too many wrong tries. Try again in a minute."));
  if (!response.ok) throw new Error(t("That is not right."));
}

/** Send a JSON body and return the JSON response. */
export function sendJson(method, path, body) {
  return fetchJson(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** Escape a category for use in a path; its slashes stay. */
export const encodeCategory = (category) => category.split("/").map(encodeURIComponent).join("/");

/** Encode query parameters, without the empty ones. */
export function queryString(values) {
  return new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();
}

const models = new Map();

/** Fetch the description of a model, and cache it. */
export async function fetchModel(category) {
  const info = await fetchJson(`model/info/${encodeCategory(category)}`);
  models.set(category, info);
  return info;
}

/** Read the cached description of a model, without a request. */
export const cachedModel = (category) => models.get(category);
export const cacheModel = (info) => models.set(info.name, info);
