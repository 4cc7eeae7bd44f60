/**
 * Which page is open: History, links, guards for what is not saved, and the place on a page.
 *
 * @module
 */
import { signal } from "./signal.js";

/** The path in front of everything: "" or such as "/seidra". */
export const BASE = new URL(import.meta.url).pathname.split("/studio/")[0];

/** @typedef {{ path: string, query: URLSearchParams, key: string }} Place */

/** @type {import("./signal.js").Signal<Place>} */
export const place = signal(readPlace());

/** Asked before another page is opened; false stays. @type {Set<() => Promise<boolean> | boolean>} */
export const leaveGuards = new Set();

/** @type {Map<string, number>} */
const scrolls = new Map();

/** @returns {Place} */
function readPlace() {
  const path = location.pathname.slice(BASE.length) || "/";
  return { path, query: new URLSearchParams(location.search), key: history.state?.key ?? "first" };
}

/** The address of a path of the studio. @param {string} path */
export const addressOf = (path) => BASE + path;

/**
 * Open a page.
 *
 * @param {string} path with its query
 * @param {{ replace?: boolean }} [how] `replace` leaves no entry to come back to
 */
export async function openPage(path, { replace = false } = {}) {
  const [now] = place.peek().path.split("?");
  if (path.split("?")[0] !== now && !(await mayLeave())) return;
  rememberScroll();
  const key = replace ? place.peek().key : String(performance.now());
  history[replace ? "replaceState" : "pushState"]({ key }, "", addressOf(path));
  place.set(readPlace());
}

/** Change the query of this page, without an entry of its own. @param {URLSearchParams} query */
export function replaceQuery(query) {
  const text = query.toString();
  openPage(place.peek().path + (text ? `?${text}` : ""), { replace: true });
}

/** @type {Promise<boolean> | null} */
let leaving = null;

/** Whether nothing holds the reader here; who asks twice meets one question. */
function mayLeave() {
  const asked = async () => {
    for (const guard of leaveGuards) if (!(await guard())) return false;
    return true;
  };
  leaving ??= asked().finally(() => (leaving = null));
  return leaving;
}

function rememberScroll() {
  scrolls.set(place.peek().key, scrollY);
}

/** Go to where the reader was on this entry; a page calls it once it has its height. */
export function restoreScroll() {
  scrollTo(0, scrolls.get(place.peek().key) ?? 0);
}

/** Follow links and the Back button. */
export function startRouter() {
  history.scrollRestoration = "manual";
  if (!history.state?.key) history.replaceState({ key: "first" }, "");
  addEventListener("popstate", async () => {
    const [came, from] = [readPlace(), place.peek()];
    if (came.path !== from.path && leaveGuards.size && !(await mayLeave())) {
      history.pushState({ key: from.key }, "", addressOf(from.path));
      return;
    }
    scrolls.set(from.key, scrollY);
    place.set(came);
  });
  document.addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a[href]");
    const plain = !event.defaultPrevented && event.button === 0 &&
      !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!(link instanceof HTMLAnchorElement) || !plain || link.target || link.hasAttribute("download")) {
      return;
    }
    if (link.origin !== location.origin || !link.pathname.startsWith(`${BASE}/`)) return;
    if (link.pathname.startsWith(`${BASE}/api/`) || link.hash) return;
    event.preventDefault();
    openPage(link.pathname.slice(BASE.length) + link.search);
  });
}
