/** What was deleted and can still come back. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { effect, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { readInstance } from "../data/catalogue.js";
import { nsfwShown } from "../data/prefs.js";
import { restoreEntries } from "../data/trash.js";
import { confirmed, tellError } from "../parts/dialog.js";
import { roundButton, skein } from "../parts/icons.js";
import { picture } from "../parts/picture.js";

const PAGE = 50;

export default function trash() {
  const entries = signal(/** @type {any[]} */ ([]));
  const total = signal(/** @type {number | null} */ (null));
  const days = signal(0);
  readInstance().then(({ limits }) => days.set(limits.keep_trash_days)).catch(tellError);

  async function read(from = 0) {
    const query = queryOf({ limit: PAGE, offset: from, include_nsfw: nsfwShown.peek() });
    const { data } = await ask("GET", `/trash${query}`);
    entries.update((old) => [...(from ? old : []), ...data.items]);
    total.set(data.total);
  }
  effect(() => {
    nsfwShown();
    read().catch(tellError);
  });

  /** @param {any} entry */
  async function restore(entry) {
    if (await restoreEntries([entry.id])) read().catch(tellError);
  }
  /**
   * Delete for ever, once that was said.
   *
   * @param {string} path
   * @param {string} question
   */
  async function purge(path, question) {
    if (!(await confirmed(question, t("trash.purge")))) return;
    await ask("DELETE", path).catch(tellError);
    read().catch(tellError);
  }

  const row = (/** @type {any} */ entry) =>
    h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-shot" },
        entry.thumbnail_url
          ? picture([{ url: entry.thumbnail_url, width: 320 }], { isNsfw: entry.is_nsfw, sizes: "72px" })
          : skein(),
      ),
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, entry.name || t("picture")),
        h("span", {}, t(`trash.${entry.kind}`)),
        h("span", { class: "mute" }, t("trash.since", { time: timeText(entry.deleted_at) })),
      ),
      h("button", { class: "button quiet", onclick: () => restore(entry) }, t("trash.restore")),
      roundButton("close", "trash.purge", () =>
        purge(`/trash/${entry.id}`, t("trash.purge_question", { name: entry.name })), entry.name),
    );

  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("nav.trash")),
      () =>
        Boolean(total()) &&
        h(
          "button",
          {
            class: "button quiet",
            onclick: () => purge("/trash", t("trash.empty_question", { n: total.peek() ?? 0 })),
          },
          t("trash.empty"),
        ),
    ),
    h("p", { class: "mute" }, () => days() > 0 && t("trash.words", { n: days() })),
    () => total() === 0 && h("div", { class: "empty-state" }, skein(), h("p", {}, t("trash.none"))),
    h("ul", { class: "job-list" }, () => entries().map(row)),
    () =>
      entries().length < (total() ?? 0) &&
      h(
        "button",
        { class: "button quiet", onclick: () => read(entries.peek().length).catch(tellError) },
        t("more"),
      ),
  ];
}
