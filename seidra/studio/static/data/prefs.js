/**
 * How the page looks to whom: theme, language, and what is done with NSFW things.
 *
 * @module
 */
import { useLanguage } from "../lib/i18n.js";
import { computed, effect, signal } from "../lib/signal.js";
import { ask } from "./api.js";
import { user, userId } from "./session.js";

/** @typedef {"system" | "night" | "dawn"} Theme */

export const THEMES = /** @type {Theme[]} */ (["system", "night", "dawn"]);

export const theme = signal(/** @type {Theme} */ (localStorage.getItem("seidra.theme") ?? "system"));

/** The account's NSFW settings, once read. */
export const nsfwSettings = signal(/** @type {any} */ (null));

/** Whether NSFW pictures are veiled until one looks. */
export const veiled = signal(localStorage.getItem("seidra.veil") !== "off");

/** Whether lists ask for NSFW things. */
export const nsfwShown = computed(() => Boolean(nsfwSettings()?.enabled && nsfwSettings()?.age_verified));

/** Counts the times that one who sees NSFW things may see others since. */
export const nsfwLooks = signal(0);

/** Read the account's NSFW settings, and have what is shown looked at: an administrator may forbid it. */
export async function readNsfw() {
  const id = userId.peek();
  const known = nsfwShown.peek();
  const answer = id && (await ask("GET", "/settings/nsfw").catch(() => null));
  if (!answer || id !== userId.peek()) return;
  nsfwSettings.set(answer.data);
  if (known && nsfwShown.peek()) nsfwLooks.update((n) => n + 1);
}

/** Take settings that were just written, here and in the other tabs. @param {any} settings */
export function takeNsfw(settings) {
  nsfwSettings.set(settings);
  localStorage.setItem("seidra.nsfw", String(Math.random()));
}

/** @param {string} name */
const themeOf = (
  name,
) => /** @type {Theme} */ (THEMES.includes(/** @type {Theme} */ (name)) ? name : "system");

/** Begin with what this browser remembers, then with what the account says. */
export function startPrefs() {
  useLanguage(localStorage.getItem("seidra.language") ?? navigator.language);
  effect(() => {
    const chosen = themeOf(theme());
    localStorage.setItem("seidra.theme", chosen);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = chosen === "system" ? (dark ? "night" : "dawn") : chosen;
  });
  effect(() => localStorage.setItem("seidra.veil", veiled() ? "on" : "off"));
  effect(() => {
    if (userId() === null) return nsfwSettings.set(null);
    const settings = user.peek()?.settings ?? {};
    // An account that never chose keeps what this browser shows.
    if (settings.extra?.studio?.chosen) {
      theme.set(themeOf(settings.theme));
      chooseLanguage(settings.language);
    }
    readNsfw();
  });
  document.addEventListener("visibilitychange", () => document.hidden || readNsfw());
  addEventListener("storage", ({ key, newValue }) => {
    if (key === "seidra.nsfw") readNsfw();
    else if (key === "seidra.veil") veiled.set(newValue !== "off");
  });
}

/** @param {string} tag */
function chooseLanguage(tag) {
  localStorage.setItem("seidra.language", tag);
  return useLanguage(tag);
}

/**
 * Choose theme and language, here and in the account.
 *
 * @param {{ theme?: Theme, language?: string }} change
 */
export async function savePrefs(change) {
  if (change.theme) theme.set(change.theme);
  if (change.language) await chooseLanguage(change.language);
  if (!user.peek()) return;
  const { data } = await ask("PUT", "/settings", {
    body: { ...change, extra: { studio: { chosen: true } } },
  });
  user.update((now) => now && { ...now, settings: data });
}
