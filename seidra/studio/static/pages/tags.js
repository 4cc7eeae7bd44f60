/** The tags of everything: how many have each, to be called otherwise or taken away. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { addressOf, place, replaceQuery } from "../lib/router.js";
import { effect, signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { nsfwShown } from "../data/prefs.js";
import { askText, confirmed, tellError, toast } from "../parts/dialog.js";
import { searchField } from "../parts/filters.js";
import { roundButton } from "../parts/icons.js";

export default function tags() {
  const found = signal(/** @type {any[] | null} */ (null));
  const read = () =>
    ask("GET", `/tags${queryOf({ prefix: place().query.get("q"), limit: 200, include_nsfw: nsfwShown() })}`)
      .then(({ data }) => found.set(data.tags)).catch(tellError);
  effect(() => void read());

  /**
   * Ask until nothing remains, then say how many were changed.
   *
   * @param {string} path
   * @param {{ tag: string, to?: string }} body
   */
  async function change(path, body) {
    try {
      let [n, remaining] = [0, 1];
      while (remaining) {
        const { data } = await ask("POST", path, { body });
        n += data.personas + data.media;
        remaining = data.remaining;
      }
      toast(t("select.done", { n }));
    } catch (error) {
      tellError(error);
    }
    read();
  }
  /** @param {string} tag */
  async function rename(tag) {
    const to = (await askText(t("tags.rename_question", { tag }), t("tags"), tag, 50))?.trim();
    if (to && to !== tag) change("/tags/rename", { tag, to });
  }
  /** @param {string} tag */
  async function remove(tag) {
    if (await confirmed(t("tags.delete_question", { tag }), t("delete"))) change("/tags/delete", { tag });
  }

  const row = (/** @type {any} */ { tag, personas, media }) => {
    const link = (/** @type {string} */ path, /** @type {string} */ words) =>
      h("a", { href: addressOf(`/${path}?tag=${encodeURIComponent(tag)}`) }, words);
    return h(
      "li",
      { class: "job" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, tag),
        h(
          "span",
          { class: "row mute" },
          personas > 0 && link("personas", t("accounts.personas", { n: personas })),
          media > 0 && link("gallery", t("accounts.media", { n: media })),
        ),
      ),
      h("button", {
        class: "button quiet",
        "aria-label": `${t("tags.rename")}: ${tag}`,
        onclick: () => rename(tag),
      }, t("tags.rename")),
      roundButton("trash", "delete", () => remove(tag), tag),
    );
  };
  const edit = (/** @type {(query: URLSearchParams) => void} */ change) => {
    const query = new URLSearchParams(place.peek().query);
    change(query);
    replaceQuery(query);
  };
  return [
    h("div", { class: "bar" }, h("h1", {}, () => t("tags")), searchField(() => t("search"), edit)),
    () => found()?.length === 0 && h("p", { class: "empty-words" }, t("tags.none")),
    h("ul", { class: "job-list" }, () => found()?.map(row)),
  ];
}
