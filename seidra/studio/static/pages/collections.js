/** The collections: mine, and those that others share. @module */
import { h } from "../lib/element.js";
import { windowedGrid } from "../lib/grid.js";
import { t } from "../lib/i18n.js";
import { addressOf, openPage, place, replaceQuery } from "../lib/router.js";
import { computed, effect } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { nsfwShown, veiled } from "../data/prefs.js";
import { askText, tellError } from "../parts/dialog.js";
import { emptyWords, scopeChoice, scopeOf } from "../parts/filters.js";
import { skein } from "../parts/icons.js";
import { picture } from "../parts/picture.js";

export default function collections() {
  const query = computed(() => (place().path === "/collections" ? place().query.toString() : ""));
  const grid = windowedGrid({
    label: t("collections"),
    minWidth: innerWidth < 600 ? 150 : 236,
    height: (width) => width,
    load: async (offset, limit) => {
      const scope = scopeOf(new URLSearchParams(query.peek()));
      // A cover says not what it is of, so that it cannot be veiled: none is asked for that were.
      const include_nsfw = nsfwShown.peek() && !veiled.peek();
      return (await ask("GET", `/collections${queryOf({ scope, offset, limit, include_nsfw })}`)).data;
    },
    failed: tellError,
    card,
  });
  let known = false;
  effect(() => {
    query();
    nsfwShown();
    veiled();
    if (known) grid.reload();
    known = true;
  });
  async function make() {
    const name = (await askText(t("collections.new"), t("persona.name"), "", 100))?.trim();
    if (!name) return;
    await ask("POST", "/collections", { body: { name } }).then(({ data }) =>
      openPage(`/collections/${data.id}`)
    )
      .catch(tellError);
  }
  const change = (/** @type {(query: URLSearchParams) => void} */ edit) => {
    const next = new URLSearchParams(query.peek());
    edit(next);
    replaceQuery(next);
  };
  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("collections")),
      h("button", { class: "button", onclick: make }, () => t("collections.new")),
    ),
    h(
      "div",
      { class: "chips", role: "group", "aria-label": () => t("filters") },
      scopeChoice(query, change),
      h("a", { class: "chip", href: addressOf("/gallery") }, () => t("nav.gallery")),
    ),
    () =>
      grid.total() === 0 &&
      h(
        "div",
        { class: "empty-state" },
        skein(),
        h(
          "p",
          {},
          emptyWords(query(), ["collections.none", "collections.none", "collections.none_shared"]),
        ),
      ),
    grid.element,
  ];
}

/** @param {any} collection */
function card({ id, name, count, cover, is_mine, owner, visibility }) {
  const words = [
    t("accounts.media", { n: count }),
    is_mine ? visibility === "shared" && t("share.shared") : t("share.by", { name: owner.username }),
  ];
  return h(
    "article",
    { class: "card" },
    h(
      "a",
      { class: "card-link", href: addressOf(`/collections/${id}`), "aria-label": name },
      picture(cover?.thumbnails ?? []),
      h(
        "div",
        { class: "card-words" },
        h("strong", {}, name),
        h("span", {}, words.filter(Boolean).join(" · ")),
      ),
    ),
  );
}
