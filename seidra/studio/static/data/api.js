/**
 * Requests to SEIDRA: the token, its renewal, and what went wrong.
 *
 * @module
 */
import { secondsText, t, timeText } from "../lib/i18n.js";
import { BASE } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { freshToken } from "./session.js";

/** Whether the server was reached by the last request. */
export const serverReached = signal(true);

/** The seconds until what was too much at once is asked again; 0 where nothing waits for that. */
export const heldBack = signal(0);

/**
 * What is said of a refusal: in the reader's words where there are some, else in the server's.
 *
 * @param {number} status
 * @param {any} problem
 * @param {number} retryAfter
 */
function wordsOf(status, problem, retryAfter) {
  const key = `refused.${problem?.code}`;
  const { limit, used, until } = problem ?? {};
  const said = t(key, { limit, used, until: timeText(until) });
  if (said !== key) return said;
  const wait = retryAfter ? ` ${t("server.wait", { time: secondsText(retryAfter) })}` : "";
  return (problem?.detail ?? `${status}`) + wait;
}

/** A refused request, as the server said it (RFC 9457). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {any} problem
   * @param {number} retryAfter seconds, 0 where the server names none
   */
  constructor(status, problem, retryAfter) {
    super(wordsOf(status, problem, retryAfter));
    this.status = status;
    /** @type {string} */
    this.code = problem?.code ?? "";
    // A form has no levels: what stands in its parameters, or in a draft's persona, is a field of it.
    /** @type {Record<string, string[]>} */
    this.errors = Object.fromEntries(
      Object.entries(problem?.errors ?? {}).map((
        [name, texts],
      ) => [name.replace(/^(persona\.)?((generation_params|parameters)\.)?(?=\w+$)/, ""), texts]),
    );
    this.problem = problem ?? {};
    this.retryAfter = retryAfter;
  }
}

/**
 * @typedef {object} Answer
 * @property {any} data the JSON of the body, or null
 * @property {number} total X-Total-Count
 * @property {string} etag
 * @property {{ name: string, body: Blob } | null} file what the answer is where it is to be kept
 */

/**
 * Ask SEIDRA. What only reads is asked again while the server is gone, or says that it is busy; what
 * makes something may be sent again after a lost answer, and makes it once. Else
 * raises ApiError for a refusal, TypeError where the server is not reached.
 *
 * @param {string} method
 * @param {string} path below /api, with its query
 * @param {{ body?: any, etag?: string, signal?: AbortSignal }} [options]
 * @returns {Promise<Answer>}
 */
export async function ask(method, path, options = {}) {
  for (let seconds = 1;; seconds = Math.min(seconds * 2, 15)) {
    try {
      const answer = await askOnce(method, path, options);
      heldBack.set(0);
      return answer;
    } catch (/** @type {any} */ error) {
      const tooMany = error.status === 429;
      const passes = tooMany || (error.status ? error.status > 501 : error instanceof TypeError);
      if (method !== "GET" || !passes || options.signal?.aborted) throw error;
      const wait = error.retryAfter || seconds;
      if (tooMany) heldBack.set(wait);
      else serverReached.set(false);
      await new Promise((go) => setTimeout(go, wait * 1000));
    }
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ body?: any, etag?: string, signal?: AbortSignal }} options
 * @returns {Promise<Answer>}
 */
async function askOnce(method, path, options) {
  const what = method === "POST" && MAKING.test(path) ? path + textOfBody(options.body) : "";
  const key = what && (lost.get(what) ?? crypto.getRandomValues(new BigUint64Array(2)).join("-"));
  const asked = key ? { ...options, headers: { "Idempotency-Key": key } } : options;
  if (key) lost.set(what, key);
  const response = await sendTwice(method, path, asked);
  lost.delete(what);
  if (!response.ok) throw await refusal(response);
  const kept = response.headers.get("Content-Disposition");
  const file = kept ? { name: fileName(kept), body: await response.blob() } : null;
  const text = file ? "" : await response.text();
  return {
    data: text ? JSON.parse(text) : null,
    file,
    total: Number(response.headers.get("X-Total-Count") ?? 0),
    etag: response.headers.get("ETag") ?? "",
  };
}

/** What a file is to be called. @param {string} kept the Content-Disposition of its answer */
function fileName(kept) {
  const whole = /filename\*=UTF-8''([^;]+)/.exec(kept);
  return whole ? decodeURIComponent(whole[1]) : /filename="?([^";]+)/.exec(kept)?.[1] ?? "seidra";
}

/** What tells a body from others; of a file its name, its size and when it was changed. @param {any} body */
const textOfBody = (body) =>
  JSON.stringify(
    body instanceof FormData
      ? [...body].map(([name, part]) =>
        part instanceof File ? [name, part.name, part.size, part.lastModified] : [name, part]
      )
      : body,
  );

/** The paths of what makes something. */
const MAKING =
  /^\/(personas(\/\d+\/(duplicate|preview)|\/from-picture)?|previews|jobs(\/[^/]+\/(retry|again))?|admin\/(users(\/\d+\/hand-over)?|groups)|media|exports|imports(\/[^/]+\/(apply|undo))?)$/;

/**
 * The keys of what was sent and not answered: sent again under its key, it makes nothing more.
 *
 * @type {Map<string, string>}
 */
const lost = new Map();

/**
 * A request with a token that is good, and where it has a key once more when its answer is lost, or the
 * first one is still in hand.
 *
 * @param {string} method
 * @param {string} path
 * @param {any} options
 */
async function sendTwice(method, path, options) {
  const repeat = async () => {
    await new Promise((go) => setTimeout(go, 1000));
    return send(method, path, options, await freshToken());
  };
  let response = await send(method, path, options, await freshToken()).catch((error) => {
    if (!options.headers) throw error;
    return repeat();
  });
  if (response.status === 401) response = await send(method, path, options, await freshToken(true));
  const early = response.status === 409 && options.headers && response.headers.has("Retry-After");
  return early ? repeat() : response;
}

/**
 * One request, as it is.
 *
 * @param {string} method
 * @param {string} path
 * @param {{ body?: any, etag?: string, signal?: AbortSignal, headers?: Record<string, string> }} options
 * @param {string | null} token
 * @returns {Promise<Response>}
 */
export async function send(method, path, options, token) {
  /** @type {Record<string, string>} */
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (options.etag) headers["If-Match"] = options.etag;
  const isForm = options.body instanceof FormData;
  if (options.body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const body = isForm || options.body === undefined ? options.body : JSON.stringify(options.body);
  try {
    const response = await fetch(`${BASE}/api${path}`, { method, headers, body, signal: options.signal });
    serverReached.set(true);
    return response;
  } catch (error) {
    if (!options.signal?.aborted) serverReached.set(false);
    throw error;
  }
}

/** @param {Response} response */
export async function refusal(response) {
  const problem = await response.json().catch(() => null);
  return new ApiError(response.status, problem, Number(response.headers.get("Retry-After") ?? 0));
}

/** A query string of what is set. @param {Record<string, any>} values */
export function queryOf(values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "" && each !== false) {
        query.append(name, String(each));
      }
    }
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}
