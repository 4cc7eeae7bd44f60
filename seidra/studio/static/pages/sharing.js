/** Sharing a picture or a collection: with everybody here, and by links for outsiders. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { scope, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { confirmed, hostToasts, tellError } from "../parts/dialog.js";
import { check, field, form } from "../parts/field.js";
import { roundButton } from "../parts/icons.js";
import { secretBox } from "./forms.js";

/** For how many days a link is made unless another number is said. */
const DAYS = 30;

/**
 * @param {"media" | "collections"} list
 * @param {any} item
 * @param {(item: any) => void} changed told of it as it is after a change
 */
export function openSharing(list, item, changed) {
  const path = `/${list}/${item.id}`;
  const { value: dialog, dispose } = scope(() =>
    h(
      "dialog",
      {
        class: "dialog sharing",
        "aria-label": t("share"),
        onclose: () => {
          hostToasts(before);
          dialog.remove();
          dispose();
        },
      },
      h("h2", {}, t("share")),
      h("div", { class: "stack" }, withEverybody(list, path, item, changed), byLink(path)),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("close")),
      ),
    )
  );
  document.body.append(dialog);
  dialog.showModal();
  const before = hostToasts(dialog);
}

/**
 * Whether everybody on the instance sees it, and what of it.
 *
 * @param {"media" | "collections"} list
 * @param {string} path
 * @param {any} start
 * @param {(item: any) => void} changed
 */
function withEverybody(list, path, start, changed) {
  const item = signal(start);
  /** @param {any} body */
  async function change(body) {
    try {
      const { data } = await ask("PATCH", path, { body });
      item.set(data);
      changed(data);
    } catch (error) {
      // What was refused stands as it was.
      item.update((all) => ({ ...all }));
      tellError(error);
    }
  }
  const isShared = () => item().visibility === "shared";
  return h(
    "fieldset",
    {},
    h("legend", {}, t("share.here")),
    check(() => t("share.with_all"), {
      checked: isShared,
      onchange: (/** @type {any} */ { target }) =>
        change({ visibility: target.checked ? "shared" : "private" }),
    }),
    list === "collections" && h("p", { class: "mute" }, t("share.collection_words")),
    () =>
      isShared() &&
      check(() => t("share.details"), {
        checked: () => item().with_details,
        onchange: (/** @type {any} */ { target }) => change({ with_details: target.checked }),
      }),
  );
}

/** Links for whoever has them. @param {string} path of what they show */
function byLink(path) {
  const links = signal(/** @type {any[]} */ ([]));
  const made = signal("");
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const days = h("input", { type: "number", min: 1, max: 365, value: DAYS, required: true });
  const details = check(() => t("share.details"), {});
  const read = () =>
    ask("GET", `${path}/shares?limit=100`).then(({ data }) => links.set(data.items)).catch(tellError);
  read();

  async function make() {
    const body = { days: Number(days.value), with_details: details.querySelector("input").checked };
    const { data } = await ask("POST", `${path}/share`, { body });
    made.set(new URL(data.url, location.href).href);
    read();
  }
  /** @param {any} link */
  async function takeBack(link) {
    if (!(await confirmed(t("share.take_back_question"), t("share.take_back")))) return;
    await ask("DELETE", `/shares/${link.id}`).catch(tellError);
    made.set("");
    read();
  }
  const row = (/** @type {any} */ link) => {
    const until = t("key.expires", { time: timeText(link.expires_at) });
    return h(
      "li",
      { class: "access" },
      h(
        "div",
        { class: "job-words" },
        h("span", {}, until),
        h("span", { class: "mute" }, t(link.with_details ? "share.details" : "share.bare")),
      ),
      roundButton("close", "share.take_back", () => takeBack(link), until),
    );
  };
  return form(
    {},
    make,
    errors,
    h(
      "fieldset",
      {},
      h("legend", {}, t("share.out")),
      h("p", { class: "mute" }, t("share.out_words")),
      h("ul", { class: "plain" }, () => links().map(row)),
      h(
        "div",
        { class: "stack made", hidden: () => !made(), role: "status" },
        h("p", {}, () => made() && t("share.made")),
        secretBox(made),
      ),
      field({ name: "days", label: () => t("share.days"), input: days, errors }),
      details,
      h("button", { class: "button quiet", type: "submit" }, t("share.make")),
    ),
  );
}
