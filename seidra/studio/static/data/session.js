/**
 * Who is here. The access token lives in memory; the refresh token in localStorage ("keep me logged
 * in") or sessionStorage, and is exchanged by one tab at a time.
 *
 * @module
 */
import { computed, signal } from "../lib/signal.js";
import { ApiError, refusal, send, serverReached } from "./api.js";

const KEY = "seidra.refresh";

/** Kept where somebody left by themselves: no proxy brings them back in before they ask for it. */
export const LEFT = "seidra.left";

/** @typedef {{ id: number, username: string, email: string, is_admin: boolean, settings: any }} User */

/** The account, null for nobody, undefined until it is known. */
export const user = signal(/** @type {User | null | undefined} */ (undefined));

/** The account's id alone, for what begins and ends with it. */
export const userId = computed(() => user()?.id ?? null);

let accessToken = /** @type {string | null} */ (null);
let expiresAt = 0;
/** @type {Promise<string | null> | null} */
let renewal = null;

const storedToken = () => localStorage.getItem(KEY) ?? sessionStorage.getItem(KEY);

/**
 * Take the tokens of a login, registration or renewal.
 *
 * @param {any} token the contract's Token
 * @param {boolean} [keep] over the end of the browser; else as before
 */
export function beginSession(token, keep) {
  const lasting = keep ?? localStorage.getItem(KEY) !== null;
  (lasting ? sessionStorage : localStorage).removeItem(KEY);
  (lasting ? localStorage : sessionStorage).setItem(KEY, token.refresh_token);
  sessionStorage.removeItem(LEFT);
  accessToken = token.access_token;
  expiresAt = performance.now() + (token.expires_in - 30) * 1000;
  user.set(token.user);
}

/** Forget the session here; the pages turn to the login. */
export function forgetSession() {
  accessToken = null;
  localStorage.removeItem(KEY);
  sessionStorage.removeItem(KEY);
  user.set(null);
}

/**
 * A token that is good now, renewed when needed or `forced`; null for nobody.
 *
 * @param {boolean} [forced]
 * @returns {Promise<string | null>}
 */
export function freshToken(forced = false) {
  if (!forced && accessToken && performance.now() < expiresAt) return Promise.resolve(accessToken);
  if (!storedToken()) {
    if (user.peek() !== null) user.set(null);
    return Promise.resolve(null);
  }
  renewal ??= renewToken().finally(() => (renewal = null));
  return renewal;
}

async function renewToken() {
  const token = storedToken();
  const response = await send("POST", "/auth/refresh", {}, token);
  if (response.ok) {
    beginSession(await response.json());
    return accessToken;
  }
  const error = await refusal(response);
  if (error.status !== 401) throw error;
  // Another tab may have renewed it meanwhile: theirs is tried once.
  if (storedToken() && storedToken() !== token) return renewToken();
  forgetSession();
  return null;
}

/** Whether somebody is logged in from before; the login is shown only when this says no. */
export async function resumeSession() {
  for (let seconds = 1;; seconds = Math.min(seconds * 2, 15)) {
    try {
      await freshToken();
      return;
    } catch (error) {
      serverReached.set(false);
      const wait = error instanceof ApiError && error.retryAfter ? error.retryAfter : seconds;
      await new Promise((go) => setTimeout(go, wait * 1000));
    }
  }
}

/** End the session on the server too. */
export async function endSession() {
  const token = await freshToken().catch(() => null);
  if (token) await send("POST", "/auth/logout", {}, token).catch(() => null);
  sessionStorage.setItem(LEFT, "yes");
  forgetSession();
}

addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  if (event.newValue === null && !sessionStorage.getItem(KEY)) forgetSession();
  else if (event.oldValue === null && user.peek() === null) freshToken(true);
});
