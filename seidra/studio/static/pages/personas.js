/** The personas: a grid of them all, found by search, tag, favourite; the filters are the address. @module */
import { h } from "../lib/element.js";
import { windowedGrid } from "../lib/grid.js";
import { t } from "../lib/i18n.js";
import { addressOf, openPage, place, replaceQuery } from "../lib/router.js";
import { computed, effect, onDispose } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { endListeners } from "../data/live.js";
import { nsfwLooks, nsfwShown } from "../data/prefs.js";
import { personaCard, startPreview } from "../parts/card.js";
import { tellError } from "../parts/dialog.js";
import { choice } from "../parts/field.js";
import { emptyWords, favoritesChip, scopeChoice, scopeOf, searchField, tagChips } from "../parts/filters.js";
import { selection } from "../parts/selection.js";
import { skein, trashLink } from "../parts/icons.js";

const SORTS = ["-created_at", "-updated_at", "name", "-name", "created_at"];

/** What the list is asked for. @param {URLSearchParams} query of the page */
export const filtersOf = (query) => ({
  search: query.get("q") ?? "",
  tag: query.getAll("tag"),
  is_favorite: query.get("fav") ? "true" : null,
  sort: query.get("sort") ?? "-created_at",
  scope: scopeOf(query),
});

export default function personas() {
  const query = computed(() => (place().path === "/personas" ? place().query.toString() : ""));

  const scope = computed(() => scopeOf(new URLSearchParams(query())));

  const several = selection({
    list: "personas",
    actions: ["favorite", "unfavorite", "tag", "untag", "preview", "share", "unshare", "delete"],
    others: {
      export: async (which) => (await import("./exporting.js")).askExport(/** @type {any} */ (which)),
    },
    enabled: () => !scope(),
    filter: () => {
      const asked = new URLSearchParams(query.peek());
      const { search, tag, is_favorite, sort } = filtersOf(asked);
      return {
        ...(search ? { search } : {}),
        ...(is_favorite ? { is_favorite: true } : {}),
        tag,
        sort,
        include_nsfw: nsfwShown.peek(),
      };
    },
  });
  const grid = windowedGrid({
    label: t("nav.personas"),
    chosen: several.has,
    minWidth: innerWidth < 600 ? 150 : 236,
    height: (width) => width * 1.25,
    load: async (offset, limit) => {
      const filters = filtersOf(new URLSearchParams(query.peek()));
      const asked = queryOf({ ...filters, offset, limit, include_nsfw: nsfwShown.peek(), fields: "card" });
      const { data, total } = await ask("GET", `/personas${asked}`);
      return { items: data, total };
    },
    failed: tellError,
    card: (persona) =>
      personaCard(persona, (next) => grid.replace((each) => each.id === next.id, () => next)),
    onKey: (event, persona) => {
      if (event.key === "p") startPreview(persona);
      if (event.key === "f") {
        const button = /** @type {Element} */ (event.target).closest(".cell")?.querySelector(".firefly");
        if (button instanceof HTMLElement) button.click();
      }
    },
  });

  several.attach(grid);
  effect(() => void (scope() && several.stop()));
  let known = false;
  effect(() => {
    query();
    nsfwShown();
    nsfwLooks();
    if (known) grid.reload();
    known = true;
  });

  // A picture that was just made takes its place on the card.
  const refresh = async (/** @type {any} */ job) => {
    if (!job.persona_id || job.status !== "completed") return;
    const fresh = await ask("GET", `/personas/${job.persona_id}`).catch(() => null);
    if (fresh) grid.replace((each) => each.id === job.persona_id, () => fresh.data);
  };
  endListeners.add(refresh);
  onDispose(() => endListeners.delete(refresh));

  /** @param {(query: URLSearchParams) => void} change */
  function changeQuery(change) {
    const next = new URLSearchParams(query.peek());
    change(next);
    scrollTo(0, 0);
    replaceQuery(next);
  }

  const sorts =
    /** @type {Array<[string, () => string]>} */ (SORTS.map((name) => [name, () => t(`sort.${name}`)]));

  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("nav.personas")),
      searchField(() => t("personas.search", { n: grid.total() ?? 0 }), changeQuery),
      choice(sorts, {
        "aria-label": t("sort"),
        value: () => filtersOf(new URLSearchParams(query())).sort,
        onchange: (/** @type {any} */ event) => changeQuery((q) => q.set("sort", event.target.value)),
      }),
      trashLink(),
      h("button", { class: "button", onclick: () => openPage("/personas/new") }, () => t("personas.new")),
    ),
    h(
      "div",
      { class: "chips", role: "group", "aria-label": () => t("filters") },
      scopeChoice(query, changeQuery),
      () => scope() !== "shared" && favoritesChip(query, changeQuery),
      several.chip(),
      tagChips("personas", query, changeQuery),
    ),
    () =>
      grid.total() === 0 &&
      h(
        "div",
        { class: "empty-state" },
        skein(),
        h("p", {}, emptyWords(query(), ["personas.none", "personas.none_found", "personas.none_shared"])),
        !query() && h("a", { class: "button", href: addressOf("/personas/new") }, t("personas.new")),
      ),
    grid.element,
    several.bar,
  ];
}
