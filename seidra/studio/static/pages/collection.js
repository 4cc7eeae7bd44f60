/** A collection: its pictures, and what its owner does with it. @module */
import { h } from "../lib/element.js";
import { windowedGrid } from "../lib/grid.js";
import { t } from "../lib/i18n.js";
import { addressOf, openPage, place } from "../lib/router.js";
import { computed, effect, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { nsfwLooks, nsfwShown } from "../data/prefs.js";
import { mayShare } from "../data/rights.js";
import { confirmed, openQuestion, tellError, toast } from "../parts/dialog.js";
import { field } from "../parts/field.js";
import { icon, skein } from "../parts/icons.js";
import { selection } from "../parts/selection.js";
import { readAll, sendIds } from "./collecting.js";
import { lightbox, shot } from "./lightbox.js";

/** @param {import("../lib/signal.js").Signal<Record<string, string>>} parts */
export default function collection(parts) {
  const id = parts.peek().id;
  const path = `/collections/${encodeURIComponent(id)}`;
  const stored = signal(/** @type {any} */ (null));
  const missing = signal(false);
  ask("GET", path).then(({ data }) => stored.set(data)).catch((
    error,
  ) => (error.status === 404 ? missing.set(true) : tellError(error)));
  // Built once: a change of its name leaves the pictures where they are.
  const found = computed(() => Boolean(stored()));
  return [
    () => missing() && h("p", { class: "empty-words" }, t("page.missing")),
    () => found() && album(path, stored),
  ];
}

/**
 * @param {string} path of the collection
 * @param {import("../lib/signal.js").Signal<any>} stored
 */
function album(path, stored) {
  const { is_mine } = stored.peek();
  const wanted = computed(() => (place().path === path ? place().query.get("picture") : null));
  /** @param {string} [id] of a picture over the grid */
  const pathOf = (id) => (id ? `${path}?picture=${id}` : path);
  const several = selection({
    list: "media",
    filter: () => ({ include_nsfw: nsfwShown.peek() }),
    actions: [],
    others: { earlier: move(-1), later: move(1), uncollect },
    enabled: () => is_mine,
  });
  /** @type {import("../lib/grid.js").Grid<any>} */
  const grid = windowedGrid({
    label: stored.peek().name,
    chosen: several.has,
    minWidth: innerWidth < 600 ? 108 : 190,
    height: (width) => width,
    load: async (offset, limit) =>
      (await ask("GET", `${path}/media${queryOf({ offset, limit, include_nsfw: nsfwShown.peek() })}`)).data,
    failed: tellError,
    card: (item) => shot(item, addressOf(pathOf(item.id))),
  });
  several.attach(grid);
  let known = false;
  effect(() => {
    nsfwShown();
    nsfwLooks();
    if (known) grid.reload();
    known = true;
  });

  /**
   * Let pictures stand one place earlier or later. They stay chosen, for the next step.
   *
   * @param {-1 | 1} by
   * @returns {(which: import("../parts/selection.js").Chosen) => Promise<boolean>}
   */
  function move(by) {
    return async ({ ids }) => {
      try {
        const filter = { include_nsfw: nsfwShown.peek() };
        const order = (await readAll(`${path}/media`, filter)).map((item) => item.id);
        const chosen = new Set(ids ?? order);
        let end = 0;
        for (const at of by < 0 ? [...order.keys()] : [...order.keys()].reverse()) {
          const [id, other] = [order[at], order[at + by]];
          if (!chosen.has(id) || !other || chosen.has(other)) continue;
          [order[at], order[at + by]] = [other, id];
          end = Math.max(end, at + 1, at + by + 1);
        }
        if (end) await ask("PUT", `${path}/order`, { body: { ids: order.slice(0, end) } });
        grid.reload();
      } catch (error) {
        tellError(error);
      }
      return false;
    };
  }

  /** Take pictures out. @param {import("../parts/selection.js").Chosen} which */
  async function uncollect({ ids, filter }) {
    try {
      const out = ids ?? (await readAll(`${path}/media`, filter)).map(({ id }) => id);
      await sendIds("DELETE", `${path}/media`, out);
      toast(t("collections.out", { n: out.length }));
      grid.reload();
      return true;
    } catch (error) {
      tellError(error);
      return false;
    }
  }
  async function edit() {
    const { name, description } = stored.peek();
    const title = h("input", { type: "text", value: name, required: true });
    const words = h("textarea", { value: description, rows: 4 });
    const fields = [
      field({ name: "name", label: () => t("persona.name"), input: title, max: 100 }),
      field({ name: "description", label: () => t("persona.description"), input: words, max: 2000 }),
    ];
    const agree = h("button", { class: "button", value: "yes" }, t("save"));
    if (!(await openQuestion(t("collections.edit"), fields, agree))) return;
    const body = { name: title.value, description: words.value };
    await ask("PATCH", path, { body }).then(({ data }) => stored.set(data)).catch(tellError);
  }
  const share = async () =>
    (await import("./sharing.js")).openSharing("collections", stored.peek(), stored.set);
  async function remove() {
    const { name } = stored.peek();
    if (!(await confirmed(t("collections.delete_question", { name }), t("delete")))) return;
    await ask("DELETE", path).then(() => openPage("/collections")).catch(tellError);
  }
  /** @param {string} sign @param {string} label @param {() => any} run */
  const button = (sign, label, run) =>
    h("button", { class: "button quiet", onclick: run }, icon(sign), () => t(label));
  const words = () => {
    const { owner, visibility } = stored();
    return [
      t("accounts.media", { n: grid.total() ?? 0 }),
      is_mine ? visibility === "shared" && t("share.with_all") : t("share.by", { name: owner.username }),
    ].filter(Boolean).join(" · ");
  };
  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => stored().name),
      is_mine && [
        h("button", { class: "button quiet", onclick: edit }, () => t("collections.edit")),
        () => (mayShare() || stored().visibility === "shared") && button("share", "share", share),
        button("trash", "delete", remove),
      ],
    ),
    h("p", { class: "mute" }, words),
    h("p", { class: "album-words" }, () => stored().description),
    h(
      "div",
      { class: "chips" },
      several.chip(),
      h("a", { class: "chip", href: addressOf("/collections") }, () => t("collections")),
    ),
    () =>
      grid.total() === 0 &&
      h(
        "div",
        { class: "empty-state" },
        skein(),
        h("p", {}, t("collections.empty")),
        is_mine && h("a", { class: "button", href: addressOf("/gallery") }, t("nav.gallery")),
      ),
    grid.element,
    several.bar,
    () => wanted() && lightbox(wanted() ?? "", grid, grid.reload, pathOf),
  ];
}
