/**
 * What the page says, in the language that was chosen.
 *
 * @module
 */
import en from "../i18n/en.js";
import { signal } from "./signal.js";

/** The languages, by the name that each gives itself. */
export const LANGUAGES = { en: "English", fr: "Français" };

/**
 * The words of each language: those of every page, and those of the pages that few see.
 *
 * @type {Record<string, Array<() => Promise<{ default: Record<string, string> }>>>}
 */
const LOADERS = {
  en: [() => Promise.resolve({ default: en }), () => import("../i18n/en.more.js")],
  fr: [() => import("../i18n/fr.js"), () => import("../i18n/fr.more.js")],
};

/** @type {import("./signal.js").Signal<Record<string, string>>} */
const words = signal(en);

/** The tag of the language in use. */
export const language = signal("en");

let chosen = "en";
let files = 1;
let turns = 0;
/** @type {Promise<void>} */
let speaking = Promise.resolve();

/**
 * Speak another language; an unknown one is English.
 *
 * @param {string} tag
 */
export function useLanguage(tag) {
  chosen = tag.slice(0, 2) in LOADERS ? tag.slice(0, 2) : "en";
  return speaking = speak(chosen, ++turns);
}

/** Have the words too that only few pages need; a page that says `more` is built after that. */
export function loadMoreWords() {
  if (files > 1) return speaking;
  files = 2;
  return useLanguage(chosen).catch((error) => {
    files = 1;
    throw error;
  });
}

/** @param {string} known @param {number} turn @returns {Promise<void>} */
async function speak(known, turn) {
  const loaded = await Promise.all(LOADERS[known].slice(0, files).map((load) => load()));
  // Another language was asked for meanwhile: that one counts.
  if (turn !== turns) return speaking;
  words.set(Object.assign({}, ...loaded.map((file) => file.default)));
  language.set(known);
  document.documentElement.lang = known;
}

/**
 * The text of a key, with `{name}` replaced. With `n`, the key's `_one` or `_other` form.
 *
 * @param {string} key
 * @param {Record<string, any>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const form = "n" in values ? `${key}_${new Intl.PluralRules(language()).select(values.n)}` : key;
  const text = words()[form] ?? words()[`${key}_other`] ?? words()[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? `{${name}}`;
    return typeof value === "number" ? value.toLocaleString(language()) : String(value);
  });
}

/**
 * A time of the API in the reader's words.
 *
 * @param {string | null | undefined} time
 */
export function timeText(time) {
  if (!time) return "";
  const format = new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" });
  return format.format(new Date(time));
}

/**
 * Bytes as people say them.
 *
 * @param {number} bytes
 */
export function bytesText(bytes) {
  const [size, unit] = bytes < 1e6 ? [1e3, "kilobyte"] : bytes < 1e9 ? [1e6, "megabyte"] : [1e9, "gigabyte"];
  const value = bytes / size;
  const digits = value < 10 ? 1 : 0;
  const format = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits };
  return new Intl.NumberFormat(language(), /** @type {any} */ (format)).format(value);
}

/**
 * Seconds as people say them.
 *
 * @param {number} seconds
 */
export function secondsText(seconds) {
  const minutes = seconds >= 90;
  const value = Math.max(1, Math.round(minutes ? seconds / 60 : seconds));
  const unit = minutes ? "minute" : "second";
  return new Intl.NumberFormat(language(), { style: "unit", unit, unitDisplay: "short" }).format(value);
}
