/** A list of the API that is read page by page. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { tellError } from "../parts/dialog.js";

/**
 * @param {() => string} path with its query, without the page
 * @param {string} key under which the answer has its items
 * @param {number} [limit]
 */
export function pagedList(path, key, limit = 50) {
  const found = signal(/** @type {any[]} */ ([]));
  const answer = signal(/** @type {any} */ (null));
  let turn = 0;
  /** @param {number} from */
  async function read(from) {
    const mine = ++turn;
    const address = path();
    const page = `${address.includes("?") ? "&" : "?"}limit=${limit}&offset=${from}`;
    const { data } = await ask("GET", address + page);
    // What was asked for later counts.
    if (mine !== turn) return;
    answer.set(data);
    found.update((old) => [...(from ? old : []), ...data[key]]);
  }
  const reload = () => read(0).catch(tellError);
  const more = () =>
    found().length < (answer()?.total ?? 0) &&
    h(
      "button",
      { type: "button", class: "button quiet", onclick: () => read(found.peek().length).catch(tellError) },
      t("more"),
    );
  reload();
  return { found, answer, reload, more };
}

/**
 * All items of a list, for a choice among them.
 *
 * @param {string} path
 * @param {string} key
 * @returns {Promise<any[]>}
 */
export async function readAll(path, key) {
  const all = [];
  for (;;) {
    const { data } = await ask("GET", `${path}?limit=100&offset=${all.length}`);
    all.push(...data[key]);
    if (!data[key].length || all.length >= data.total) return all;
  }
}
