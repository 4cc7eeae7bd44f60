/** The studio: finds out who is here, and opens the page of the address. @module */
import { h } from "./lib/element.js";
import { loadMoreWords, t } from "./lib/i18n.js";
import { addressOf, openPage, place, restoreScroll, startRouter } from "./lib/router.js";
import { computed, effect, scope, signal } from "./lib/signal.js";
import { startLive } from "./data/live.js";
import { startPrefs } from "./data/prefs.js";
import { resumeSession, user, userId } from "./data/session.js";
import { startKeys } from "./parts/keys.js";
import { shell } from "./parts/shell.js";
import { findPage, PAGES } from "./pages/index.js";

const shown = signal(/** @type {any} */ (null));
const path = computed(() => place().path);
let opening = 0;
/** What stands there, and for whom. */
let built = "";

/** @param {string} wanted */
async function showPage(wanted) {
  const mine = ++opening;
  if (user.peek() === undefined) return;
  // Who comes back to a page that waited for them finds it as it was left.
  const now = `${userId.peek()} ${wanted}`;
  if (now === built) return;
  if (wanted === "/") return openPage(user.peek() ? "/personas" : "/login", { replace: true });
  const found = findPage(wanted);
  if (found && !user.peek() && !found.page.open) {
    return openPage(`/login?to=${encodeURIComponent(wanted + location.search)}`, { replace: true });
  }
  if (!found || (found.page.admin && !user.peek()?.is_admin)) {
    built = now;
    shown.peek()?.dispose();
    document.title = "SEIDRA";
    const home = h("a", { class: "button", href: addressOf("/") }, () => t("page.home"));
    const element = h("div", { class: "empty-state" }, h("h1", {}, () => t("page.missing")), home);
    return shown.set({ element, dispose() {} });
  }
  const [{ default: build }] = await Promise.all([found.page.load(), found.page.more && loadMoreWords()]);
  if (mine !== opening) return;
  const kept = found.page.kept;
  if (kept && shown.peek()?.kept === kept) {
    built = now;
    return shown.peek().parts.set(found.parts);
  }
  shown.peek()?.dispose();
  built = now;
  const parts = signal(found.parts);
  const { value, dispose } = scope(() => build(parts));
  shown.set({ element: value, dispose, kept, parts });
  restoreScroll();
  const title = document.querySelector("main h1")?.textContent;
  document.title = title ? `${title} · SEIDRA` : "SEIDRA";
}

// The page is on its way while it is found out who is here.
findPage(path.peek())?.page.load().catch(() => null);
startPrefs();
startRouter();
startKeys();
document.body.prepend(...shell(PAGES, () => shown()?.element));
effect(() => {
  userId();
  const wanted = path();
  if (user() !== undefined) showPage(wanted);
});
resumeSession();
startLive();
