/// <reference lib="deno.ns" />
/** Words, numbers and times in both languages; addresses; the text of queries. @module */
import { same } from "./page.js";

const { bytesText, language, loadMoreWords, secondsText, t, timeText, useLanguage } = await import(
  "../../seidra/studio/static/lib/i18n.js"
);
const { queryOf } = await import("../../seidra/studio/static/data/api.js");
const { place } = await import("../../seidra/studio/static/lib/router.js");
const { filtersOf: mediaFilters } = await import("../../seidra/studio/static/pages/gallery.js");
const { filtersOf: personaFilters } = await import("../../seidra/studio/static/pages/personas.js");
const { findPage } = await import("../../seidra/studio/static/pages/index.js");

Deno.test("plurals are those of the language: French counts nothing as one, and says its number", async () => {
  await useLanguage("en-GB");
  same([0, 1, 2].map((n) => t("select.chosen", { n })), ["0 chosen", "one chosen", "2 chosen"]);
  await useLanguage("fr");
  same(language(), "fr");
  same([0, 1, 2].map((n) => t("select.chosen", { n })), ["0 choisi", "1 choisi", "2 choisis"]);
  await loadMoreWords();
  same([0, 1.5].map((n) => t("limits.minutes", { n })), ["0 minute", "1,5 minute"]);
  await useLanguage("xx");
  same(language(), "en");
});

Deno.test("values take their places; what has no words is its key", async () => {
  await useLanguage("en");
  same(t("deleted", { name: "{name}" }), "“{name}” is deleted.");
  same(t("deleted"), "“{name}” is deleted.");
  same(t("no.such.key"), "no.such.key");
  same(t("gallery.search", { n: 12345 }), "Search 12,345 pictures");
});

Deno.test("seconds and bytes are said in the unit that fits, never as nothing", async () => {
  await useLanguage("en");
  same([0.2, 1, 89, 90, 600].map(secondsText), ["1 sec", "1 sec", "89 sec", "2 min", "10 min"]);
  same([0, 1_500_000, 45_600_000, 2e9].map(bytesText), ["0 kB", "1.5 MB", "46 MB", "2 GB"]);
  same(timeText(null), "");
  await useLanguage("fr");
  same(secondsText(60).replace(/\s/, " "), "60 s");
});

Deno.test("a query has what is set, once for each of several", () => {
  same(queryOf({ a: "", b: null, c: undefined, d: false, e: [] }), "");
  same(queryOf({ a: 0, tag: ["x y", "é&"], on: true }), "?a=0&tag=x+y&tag=%C3%A9%26&on=true");
});

Deno.test("a path leads to its page, with its parts by name", () => {
  same(findPage("/personas/")?.page.path, "/personas");
  same(findPage("/gallery/a%2Fb")?.parts, { id: "a/b" });
  same(findPage("/personas/7/more"), null);
  same(findPage("/nowhere"), null);
});

Deno.test("a part of a path that is no text leads nowhere", () => {
  same(findPage("/gallery/%E0%A4%A"), null);
});

Deno.test("the address of the page is read with its query", () => {
  same(place().query.get("q"), "moon");
});

Deno.test("the filters of a page are its address, and are asked for as the lists name them", () => {
  const query = new URLSearchParams("q=moon&tag=a&tag=b&fav=1&persona=7&sort=name");
  same(personaFilters(query), {
    search: "moon",
    tag: ["a", "b"],
    is_favorite: "true",
    sort: "name",
    scope: null,
  });
  same(queryOf(mediaFilters(query)), "?search=moon&favorites_only=true&persona_id=7&tag=a&tag=b");
  same(queryOf(personaFilters(new URLSearchParams())), "?sort=-created_at");
  same(queryOf(mediaFilters(new URLSearchParams())), "");
  // Whose things: nothing but what the server knows.
  same(["shared", "all", "mine", "x"].map((scope) => mediaFilters(new URLSearchParams({ scope })).scope), [
    "shared",
    "all",
    null,
    null,
  ]);
});

Deno.test("a month goes from its first moment here to its last, over the end of the year too", () => {
  const bounds = (
    /** @type {string} */ month,
  ) => /** @type {any} */ (mediaFilters(new URLSearchParams({ month })));
  const { date_from, date_to } = bounds("2026-12");
  same([new Date(date_from).getMonth(), new Date(date_from).getDate(), new Date(date_from).getHours()], [
    11,
    1,
    0,
  ]);
  same(new Date(date_to).getTime() + 1, new Date(2027, 0).getTime());
  same(["soon", "2026", ""].map((month) => "date_from" in bounds(month)), [false, false, false]);
});
