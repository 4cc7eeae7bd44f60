/** Pictures put into a collection, one that is there or a new one. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { openPage } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { openQuestion, tellError, toast } from "../parts/dialog.js";
import { choice, field } from "../parts/field.js";

/** Pictures that one request takes. */
const AT_ONCE = 1000;
/** Things that one page of a list has at most. */
const PAGE = 100;

/**
 * Everything that a list has, page by page.
 *
 * @param {string} path
 * @param {any} filter
 * @returns {Promise<any[]>}
 */
export async function readAll(path, filter) {
  const all = [];
  for (let total = 1; all.length < total;) {
    const { data } = await ask("GET", path + queryOf({ ...filter, limit: PAGE, offset: all.length }));
    all.push(...data.items);
    total = data.items.length ? data.total : 0;
  }
  return all;
}

/**
 * Send ids, as many at once as a request takes.
 *
 * @param {"POST" | "DELETE"} method
 * @param {string} path
 * @param {any[]} ids
 */
export async function sendIds(method, path, ids) {
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    await ask(method, path, { body: { ids: ids.slice(at, at + AT_ONCE) } });
  }
}

/**
 * Ask into which collection, and put the pictures there; resolves to whether they are.
 *
 * @param {import("../parts/selection.js").Chosen} which
 * @returns {Promise<boolean>}
 */
export async function askCollection({ ids, filter }) {
  try {
    const known = await readAll("/collections", {});
    const chosen = signal(known[0]?.id ?? "");
    const name = h("input", { type: "text", required: true });
    const options = /** @type {Array<[string, () => string]>} */ ([
      ...known.map((each) => [each.id, () => each.name]),
      ["", () => t("collections.new")],
    ]);
    const select = choice(options, {
      value: chosen.peek(),
      onchange: (/** @type {any} */ { target }) => chosen.set(target.value),
    });
    const fields = [
      field({ name: "collection", label: () => t("collections.one"), input: select }),
      () => !chosen() && field({ name: "name", label: () => t("persona.name"), input: name, max: 100 }),
    ];
    const agree = h("button", { class: "button", value: "yes" }, t("save"));
    if (!(await openQuestion(t("select.collect"), fields, agree))) return false;
    const wanted = ids ?? (await readAll("/media", filter)).map(({ id }) => id);
    const into = chosen.peek()
      ? known.find(({ id }) => id === chosen.peek())
      : (await ask("POST", "/collections", { body: { name: name.value } })).data;
    await sendIds("POST", `/collections/${into.id}/media`, wanted);
    const run = () => openPage(`/collections/${into.id}`);
    toast(t("collections.added", { n: wanted.length, name: into.name }), {
      label: t("collections.open"),
      run,
    });
    return true;
  } catch (error) {
    tellError(error);
    return false;
  }
}
