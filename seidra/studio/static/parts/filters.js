/** Chips that filter a list; the filters are the address. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf, place } from "../lib/router.js";
import { effect, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { libraryChanges } from "../data/catalogue.js";
import { nsfwShown } from "../data/prefs.js";
import { choice } from "./field.js";

/** How many tags are offered at once. */
const OFFERED = 12;

/**
 * @param {() => boolean} on
 * @param {string | (() => string)} label
 * @param {() => void} toggle
 * @param {string | null} [count] how many there are
 */
export const chip = (on, label, toggle, count = null) =>
  h(
    "button",
    { class: () => (on() ? "chip on" : "chip"), "aria-pressed": () => String(on()), onclick: toggle },
    label,
    count && h("span", { class: "chip-count" }, count),
  );

/**
 * A field that searches while one types.
 *
 * @param {() => string} placeholder
 * @param {(edit: (query: URLSearchParams) => void) => void} change of the page's query, its `q`
 */
export function searchField(placeholder, change) {
  let typing = 0;
  const search = h("input", {
    type: "search",
    class: "search",
    value: place.peek().query.get("q") ?? "",
    placeholder,
    "aria-label": () => t("search"),
    maxlength: 100,
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(
        () =>
          change((query) => search.value.trim() ? query.set("q", search.value.trim()) : query.delete("q")),
        180,
      );
    },
  });
  return search;
}

/**
 * Favourites alone, or all.
 *
 * @param {() => string} query
 * @param {(edit: (query: URLSearchParams) => void) => void} change of the page's query, its `fav`
 */
export const favoritesChip = (query, change) =>
  chip(
    () => new URLSearchParams(query()).has("fav"),
    () => t("favorites"),
    () => change((edited) => (edited.has("fav") ? edited.delete("fav") : edited.set("fav", "1"))),
  );

/** Whose things are shown besides one's own. */
const SCOPES = ["shared", "all"];

/** Whose things a list is asked for; null: one's own. @param {URLSearchParams} query of the page */
export const scopeOf = (query) => SCOPES.find((scope) => scope === query.get("scope")) ?? null;

/**
 * What is said where a list has nothing.
 *
 * @param {string} query of the page
 * @param {[string, string, string]} keys where one has none, where nothing is like that, where nobody
 *   shares any
 */
export const emptyWords = (query, [none, noneFound, noneShared]) =>
  t(query === "scope=shared" ? noneShared : query ? noneFound : none);

/**
 * A choice of whose things are shown.
 *
 * @param {() => string} query
 * @param {(edit: (query: URLSearchParams) => void) => void} change of the page's query, its `scope`
 */
export const scopeChoice = (query, change) =>
  choice(
    /** @type {Array<[string, () => string]>} */ (["mine", ...SCOPES].map((
      scope,
    ) => [scope, () => t(`scope.${scope}`)])),
    {
      "aria-label": () => t("scope"),
      value: () => scopeOf(new URLSearchParams(query())) ?? "mine",
      onchange: (/** @type {any} */ { target }) =>
        change((edited) => {
          // Favourites, months and personas are those of one's own things.
          for (const name of ["scope", "fav", "month", "persona"]) edited.delete(name);
          if (target.value !== "mine") edited.set("scope", target.value);
        }),
    },
  );

/**
 * The tags of all that the other filters leave, the most frequent first, with how many have each.
 *
 * @param {"personas" | "media"} list
 * @param {() => string} query of the page: `q`, `tag`, `fav`, `persona`, `scope`
 * @param {(edit: (query: URLSearchParams) => void) => void} change
 */
export function tagChips(list, query, change) {
  const found = signal(/** @type {Array<{ tag: string, count: number }>} */ ([]));
  effect(() => {
    const asked = new URLSearchParams(query());
    libraryChanges();
    const favorite = asked.has("fav") ? "true" : null;
    const filters = {
      search: asked.get("q"),
      scope: scopeOf(asked),
      tag: asked.getAll("tag"),
      ...(list === "personas"
        ? { is_favorite: favorite }
        : { favorites_only: favorite, persona_id: asked.get("persona") }),
      include_nsfw: nsfwShown(),
      limit: OFFERED,
    };
    ask("GET", `/${list}/facets${queryOf(filters)}`)
      .then(({ data }) => asked.toString() === query() && found.set(data.tags))
      .catch(() => null);
  });
  const on = () => new URLSearchParams(query()).getAll("tag");
  const toggle = (/** @type {string} */ tag) => () =>
    change((edited) => (on().includes(tag) ? edited.delete("tag", tag) : edited.append("tag", tag)));
  return () => {
    const counts = new Map(found().map(({ tag, count }) => [tag, count]));
    const chips = [...new Set([...on(), ...counts.keys()])].map((tag) =>
      chip(() => on().includes(tag), tag, toggle(tag), counts.get(tag)?.toLocaleString() ?? null)
    );
    return [
      ...chips,
      chips.length > 0 && h("a", { class: "chip", href: addressOf("/tags") }, t("tags.all")),
    ];
  };
}
