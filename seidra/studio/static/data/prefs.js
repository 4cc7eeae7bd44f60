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
    ask("GET", "/settings/nsfw").then((answer) => nsfwSettings.set(answer.data)).catch(() => null);
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
