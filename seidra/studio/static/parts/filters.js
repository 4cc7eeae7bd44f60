/** Chips that filter a list; the filters are the address. @module */
import { h } from "../lib/element.js";
import { effect, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { libraryChanges } from "../data/catalogue.js";
import { nsfwShown } from "../data/prefs.js";

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
 * The tags of all that the other filters leave, the most frequent first, with how many have each.
 *
 * @param {"personas" | "media"} list
 * @param {() => string} query of the page: `q`, `tag`, `fav`, `persona`
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
    return [...new Set([...on(), ...counts.keys()])].map((tag) =>
      chip(() => on().includes(tag), tag, toggle(tag), counts.get(tag)?.toLocaleString() ?? null)
    );
  };
}
