/** Everything that was made: a grid, and over it the picture that is looked at. @module */
import { h } from "../lib/element.js";
import { windowedGrid } from "../lib/grid.js";
import { language, t } from "../lib/i18n.js";
import { addressOf, place, replaceQuery } from "../lib/router.js";
import { computed, effect, onDispose, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { endListeners } from "../data/live.js";
import { libraryChanges } from "../data/catalogue.js";
import { nsfwLooks, nsfwShown } from "../data/prefs.js";
import { choice } from "../parts/field.js";
import { tellError, toast } from "../parts/dialog.js";
import { emptyWords, favoritesChip, scopeChoice, scopeOf, searchField, tagChips } from "../parts/filters.js";
import { selection } from "../parts/selection.js";
import { skein, trashLink } from "../parts/icons.js";
import { fileButton, formOf, PICTURES, takeDropped } from "../parts/upload.js";
import { lightbox, shot } from "./lightbox.js";

/** What the list is asked for. @param {URLSearchParams} query of the page */
export const filtersOf = (query) => ({
  search: query.get("q") ?? "",
  favorites_only: query.get("fav") ? "true" : null,
  persona_id: query.get("persona"),
  tag: query.getAll("tag"),
  scope: scopeOf(query),
  ...monthBounds(query.get("month")),
});

/**
 * The first and the last moment of a month here, as times of the API.
 *
 * @param {string | null} month such as 2026-11
 */
function monthBounds(month) {
  const [year, number] = (month ?? "").split("-").map(Number);
  if (!year || !number) return {};
  const [first, next] = [new Date(year, number - 1), new Date(year, number)];
  return { date_from: first.toISOString(), date_to: new Date(next.getTime() - 1).toISOString() };
}

/** A month as people say it. @param {string} month such as 2026-11 */
function monthText(month) {
  const [year, number] = month.split("-").map(Number);
  const format = new Intl.DateTimeFormat(language(), { month: "long", year: "numeric" });
  return format.format(new Date(year, number - 1));
}

/**
 * The months in which something was made, the newest first, with how much.
 *
 * @param {() => string} query of the page
 * @param {() => any} changes what they are asked for anew after
 */
function readMonths(query, changes) {
  const months = signal(/** @type {Array<{ month: string, count: number }>} */ ([]));
  effect(() => {
    const asked = new URLSearchParams(query());
    asked.delete("month");
    changes();
    // Only of what is one's own it is told when it was made.
    if (scopeOf(asked)) return months.set([]);
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const filters = { ...filtersOf(asked), include_nsfw: nsfwShown(), tz };
    ask("GET", `/media/timeline${queryOf(filters)}`).then(({ data }) => months.set(data)).catch(() => null);
  });
  return months;
}

/**
 * A choice of one of them.
 *
 * @param {() => Array<{ month: string, count: number }>} months
 * @param {() => string} chosen
 * @param {(edit: (query: URLSearchParams) => void) => void} change
 */
function monthChoice(months, chosen, change) {
  return () =>
    choice(
      [
        ["", () => t("gallery.months")],
        ...months().map(({ month, count }) => /** @type {[string, () => string]} */ ([month, () =>
          `${monthText(month)} · ${count.toLocaleString()}`])
        ),
      ],
      {
        "aria-label": t("gallery.months"),
        value: chosen,
        onchange: (/** @type {any} */ event) =>
          change((q) =>
            event.target.value ? q.set("month", event.target.value) : q.delete("month")
          ),
      },
    );
}

/** @param {import("../lib/signal.js").Signal<Record<string, string>>} parts */
export default function gallery(parts) {
  const query = computed(() => (place().path.startsWith("/gallery") ? place().query.toString() : ""));
  const scope = computed(() => scopeOf(new URLSearchParams(query())));
  const several = selection({
    list: "media",
    actions: ["favorite", "unfavorite", "tag", "untag", "share", "unshare", "delete"],
    others: {
      collect: async (which) => (await import("./collecting.js")).askCollection(which),
    },
    enabled: () => !scope(),
    filter: () => {
      const { search, favorites_only, persona_id, scope: _mine, ...others } = filtersOf(
        new URLSearchParams(query.peek()),
      );
      return {
        ...others,
        ...(search ? { search } : {}),
        ...(persona_id ? { persona_id: Number(persona_id) } : {}),
        favorites_only: Boolean(favorites_only),
        include_nsfw: nsfwShown.peek(),
      };
    },
  });
  /** @param {string} [id] of a picture over the grid */
  const pathOf = (id) => `/gallery${id ? `/${id}` : ""}${query.peek() ? `?${query.peek()}` : ""}`;
  const made = signal(0);
  const months = readMonths(query, () => [libraryChanges(), made()]);
  const chosenMonth = () => new URLSearchParams(query()).get("month") ?? "";
  /** @type {import("../lib/grid.js").Grid<any>} */
  const grid = windowedGrid({
    label: t("nav.gallery"),
    parts: () =>
      months().filter(({ month }) => !chosenMonth() || month === chosenMonth())
        .map(({ month, count }) => ({ label: monthText(month), count })),
    chosen: several.has,
    minWidth: innerWidth < 600 ? 108 : 190,
    height: (width) => width,
    load: async (offset, limit) => {
      const filters = filtersOf(new URLSearchParams(query.peek()));
      const { data } = await ask(
        "GET",
        `/media${queryOf({ ...filters, offset, limit, include_nsfw: nsfwShown.peek() })}`,
      );
      return { items: data.items, total: data.total };
    },
    failed: tellError,
    card: (item) => shot(item, addressOf(pathOf(item.id))),
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
  const reload = () => {
    grid.reload();
    made.update((n) => n + 1);
  };
  const refresh = (/** @type {any} */ job) => job.results.length && reload();
  endListeners.add(refresh);
  onDispose(() => endListeners.delete(refresh));

  const sending = signal("");
  /** Keep pictures, one after the other; what one is refused for leaves the others alone. @param {File[]} files */
  async function keep(files) {
    let n = 0;
    for (const [at, file] of files.entries()) {
      sending.set(t("gallery.sending", { at: at + 1, of: files.length }));
      await ask("POST", "/media", { body: formOf({}, [file]) }).then(() => n++).catch((error) => {
        const words = Object.values(error.errors ?? {}).flat().join(" ");
        words ? toast(`${file.name}: ${words}`) : tellError(error);
      });
    }
    sending.set("");
    if (!n) return;
    toast(t("gallery.sent", { n }));
    libraryChanges.update((changes) => changes + 1);
    reload();
  }
  takeDropped((files) => sending.peek() || keep(files));

  const change = (/** @type {(query: URLSearchParams) => void} */ edit) => {
    const next = new URLSearchParams(query.peek());
    edit(next);
    replaceQuery(next);
  };
  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("nav.gallery")),
      searchField(() => t("gallery.search", { n: grid.total() ?? 0 }), change),
      () => !scope() && monthChoice(months, chosenMonth, change),
      trashLink(),
      fileButton(() => t("gallery.upload"), (files) => sending.peek() || keep(files), {
        accept: PICTURES,
        multiple: true,
      }),
    ),
    h("p", { class: "mute", role: "status" }, sending),
    h(
      "div",
      { class: "chips", role: "group", "aria-label": () => t("filters") },
      scopeChoice(query, change),
      h("a", { class: "chip", href: addressOf("/collections") }, () => t("collections")),
      () => !scope() && favoritesChip(query, change),
      several.chip(),
      tagChips("media", query, change),
    ),
    () =>
      grid.total() === 0 &&
      h(
        "div",
        { class: "empty-state" },
        skein(),
        h("p", {}, emptyWords(query(), ["gallery.none", "gallery.none_found", "gallery.none_shared"])),
      ),
    grid.element,
    several.bar,
    () => parts().id && lightbox(parts().id, grid, reload, pathOf),
  ];
}
