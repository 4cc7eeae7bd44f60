/** What an account or a group has, and may have and use: said in words, and written in a form. @module */
import { h } from "../lib/element.js";
import { bytesText, t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { readEngines, readNames } from "../data/catalogue.js";
import { tellError } from "../parts/dialog.js";
import { check, choice, field } from "../parts/field.js";
import { icon } from "../parts/icons.js";

const GIGABYTE = 1e9;
/** As many names are all shown, to be pressed; of more one is found by writing. */
const SHOWN = 12;

/** @param {string[] | null} names */
const namesText = (names) => (names === null ? t("limits.any") : names.join(", ") || t("limits.none"));

/** Each limit in words. @type {Record<string, (value: any) => string>} */
const WORDS = {
  engines: namesText,
  models: namesText,
  engine_minutes_a_day: (n) => (n === null ? t("limits.any") : t("limits.minutes", { n })),
  max_pictures: (n) => (n === null ? t("limits.any") : t("accounts.media", { n })),
  max_bytes: (n) => (n === null ? t("limits.any") : bytesText(n)),
  may_share: (may) => t(may === false ? "limits.no" : "limits.yes"),
  nsfw_allowed: (may) => t(may ? "limits.yes" : "limits.no"),
};

/** The names of the limits, in the order in which they are shown. */
export const LIMITS = Object.keys(WORDS);

/** What holds, in words. @param {string} name @param {any} value */
export const limitText = (name, value) => WORDS[name](value);

/** How much somebody has, or hands over, in words. @param {{ personas: number, media: number, bytes?: number }} figures */
export const figuresText = ({ personas, media, bytes }) =>
  [
    t("accounts.personas", { n: personas }),
    t("accounts.media", { n: media }),
    bytes !== undefined && bytesText(bytes),
  ].filter(Boolean).join(" · ");

/** What is said of a group or an account, in one line; what nothing is said of is left out. @param {any} said */
export function limitsLine(said) {
  return LIMITS.filter((name) => said[name] !== null && (name !== "nsfw_allowed" || !said[name]))
    .map((name) => `${t(`limits.${name}`)}: ${limitText(name, said[name])}`)
    .join(" · ");
}

/**
 * The fields of what is said, and what they say.
 *
 * @param {any} said null says nothing
 * @param {import("../lib/signal.js").Signal<Record<string, string[]>>} errors
 * @param {any} [inForce] what holds with all that is said elsewhere
 */
export function limitFields(said, errors, inForce) {
  const number = (/** @type {string} */ name, /** @type {number} */ unit, /** @type {any} */ bounds) => {
    const value = said[name] === null ? "" : String(said[name] / unit);
    const input = h("input", { type: "number", value, ...bounds });
    const label = unit === GIGABYTE ? "limits.gigabytes" : `limits.${name}`;
    const element = field({ name, label: () => t(label), input, errors, hint: hint(name) });
    const read = () => (input.value === "" ? null : Math.round(Number(input.value) * unit));
    return { name, element, read };
  };
  const hint = (/** @type {string} */ name) => () =>
    inForce ? t("limits.in_force", { value: limitText(name, inForce[name]) }) : t("limits.empty");
  const share = choice([
    ["", () => t("limits.unsaid")],
    ["true", () => t("limits.yes")],
    ["false", () => t("limits.no")],
  ], { value: String(said.may_share ?? "") });
  const parts = [
    nameFields("engines", said.engines, errors, readEngineNames),
    nameFields("models", said.models, errors, readModelNames),
    number("engine_minutes_a_day", 1, { min: 0, max: 1e6, step: 1 }),
    number("max_pictures", 1, { min: 1, max: 1e9, step: 1 }),
    number("max_bytes", GIGABYTE, { min: 0.001, max: 1e6, step: "any" }),
    {
      name: "may_share",
      element: field({
        name: "may_share",
        label: () => t("limits.may_share"),
        input: share,
        errors,
        hint: inForce && hint("may_share"),
      }),
      read: () => (share.value ? share.value === "true" : null),
    },
  ];
  return {
    elements: parts.map(({ element }) => element),
    read: () => Object.fromEntries(parts.map(({ name, read }) => [name, read()])),
  };
}

const readEngineNames = async () => (await readEngines()).map(({ name }) => name);

/** What models the engines have that can be asked. */
async function readModelNames() {
  const lists = await Promise.allSettled((await readEngineNames()).map((name) => readNames(name, "model")));
  return [...new Set(lists.flatMap((list) => (list.status === "fulfilled" ? list.value : [])))].sort();
}

/**
 * All of a kind, or those that are chosen by their names.
 *
 * @param {string} name
 * @param {string[] | null} said
 * @param {import("../lib/signal.js").Signal<Record<string, string[]>>} errors
 * @param {() => Promise<string[]>} readKnown
 */
function nameFields(name, said, errors, readKnown) {
  const limited = signal(said !== null);
  const chosen = signal(said ?? []);
  const known = signal(/** @type {string[]} */ ([]));
  readKnown().then(known.set).catch(tellError);
  const label = () => t(`limits.only_${name}`);
  const put = (/** @type {string} */ each, /** @type {boolean} */ on) =>
    chosen.update((all) => [...all.filter((other) => other !== each), ...(on ? [each] : [])]);
  const chip = (/** @type {string} */ each) => {
    const on = () => chosen().includes(each);
    return h(
      "button",
      {
        type: "button",
        class: () => (on() ? "chip on" : "chip"),
        "aria-pressed": () => String(on()),
        onclick: () => put(each, !on()),
      },
      each,
      () => on() && icon("close"),
    );
  };
  const add = () => {
    const each = input.value.trim();
    input.value = "";
    if (each) put(each, true);
  };
  const input = h("input", {
    type: "text",
    maxlength: 200,
    list: `known-${name}`,
    placeholder: () => t("limits.add"),
    "aria-label": () => `${label()}: ${t("limits.add")}`,
    onchange: add,
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      add();
    },
  });
  const few = () => known().length > 0 && known().length <= SHOWN;
  const shown = () => [...new Set([...(few() ? known() : []), ...chosen()])];
  const element = h(
    "div",
    { class: "field", role: "group", "aria-label": label },
    check(label, {
      checked: limited,
      onchange: (/** @type {any} */ event) => limited.set(event.target.checked),
    }),
    h(
      "div",
      { class: "tag-input", hidden: () => !limited() },
      () => shown().map(chip),
      h("div", { hidden: few, class: "tag-input" }, input),
      h("datalist", { id: `known-${name}` }, () => known().map((value) => h("option", { value }))),
    ),
    h("p", { class: "refused" }, () => errors()[name]?.join(" ") ?? ""),
  );
  return { name, element, read: () => (limited.peek() ? chosen.peek() : null) };
}
