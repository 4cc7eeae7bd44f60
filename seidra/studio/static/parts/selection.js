/** Choosing several things of a grid, and what is done with them. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { onDispose, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { libraryChanges } from "../data/catalogue.js";
import { mayShare } from "../data/rights.js";
import { restoreEntries } from "../data/trash.js";
import { askText, confirmed, tellError, toast } from "./dialog.js";
import { chip } from "./filters.js";
import { roundButton } from "./icons.js";

/** Entries of the trash that one request brings back. */
const RESTORED = 200;

/** Which are chosen: by their ids, or all that a filter finds. @typedef {{ ids?: any[], filter?: any }} Chosen */

/**
 * @param {object} options
 * @param {"personas" | "media"} options.list
 * @param {() => any} options.filter what the list shows now, as the body of a bulk request has it
 * @param {string[]} options.actions of bulk requests
 * @param {Record<string, (which: Chosen) => Promise<boolean>>} [options.others] actions of another kind,
 *   each answering whether it was done
 * @param {() => boolean} [options.enabled] whether there is something to choose: one's own things
 */
export function selection({ list, filter, actions, others = {}, enabled = () => true }) {
  const chosen = signal(/** @type {Set<string | number>} */ (new Set()));
  const everything = signal(false);
  const choosing = signal(false);
  /** @type {import("../lib/grid.js").Grid<any>} */
  let grid;
  let last = 0;

  function stop() {
    chosen.set(new Set());
    everything.set(false);
    choosing.set(false);
  }
  /** @param {number} index @param {boolean} range up to the one that was chosen last */
  function toggle(index, range) {
    const [from, to] = range ? [Math.min(last, index), Math.max(last, index)] : [index, index];
    const ids = grid.items(from, to).map(({ id }) => id);
    chosen.update((before) => {
      const next = new Set(before);
      for (const id of ids) {
        if (range || !next.delete(id)) next.add(id);
      }
      return next;
    });
    everything.set(false);
    choosing.set(true);
    last = index;
  }

  /** @param {string} action */
  async function act(action) {
    const ids = [...chosen.peek()];
    const all = everything.peek();
    const n = all ? grid.total.peek() ?? 0 : ids.length;
    const which = all ? { filter: filter() } : { ids };
    if (others[action]) return void ((await others[action](which)) && stop());
    const body = /** @type {any} */ ({ action, ...which });
    if (action === "tag" || action === "untag") {
      const text = await askText(t(`select.${action}`), t("tags"));
      const tags = (text ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);
      if (!tags.length) return;
      body.tags = tags;
    }
    const undoable = action === "delete" && !all && n <= RESTORED;
    if (action === "delete" && !undoable) {
      if (!(await confirmed(t("select.delete_question", { n }), t("delete")))) return;
    }
    try {
      const { data } = await ask("POST", `/${list}/bulk`, { body });
      stop();
      grid.reload();
      libraryChanges.update((n) => n + 1);
      const kind = list === "personas" ? "persona" : "media";
      const entries = ids.map((id) => ({ kind, item_id: id }));
      const undo = async () => (await restoreEntries(entries)) && grid.reload();
      const words = [
        t("select.done", { n: data.done }),
        data.failed.length > 0 && t("select.failed", { n: data.failed.length }),
        data.remaining > 0 && t("select.remaining", { n: data.remaining }),
      ];
      const way = undoable && !data.failed.length ? { label: t("undo"), run: undo } : undefined;
      toast(words.filter(Boolean).join(" "), way);
    } catch (error) {
      tellError(error);
    }
  }

  /** @param {MouseEvent} event */
  function onClick(event) {
    const target = /** @type {Element} */ (event.target);
    const cell = target.closest(".cell");
    const wanted = choosing.peek() || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!wanted || !enabled() || !(cell instanceof HTMLElement) || !target.closest("a")) return;
    event.preventDefault();
    toggle(Number(cell.dataset.index), event.shiftKey);
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const inField = /** @type {Element} */ (event.target).closest("input, textarea, select, dialog");
    if (inField || !enabled()) return;
    const cell = document.activeElement?.closest(".cell");
    if (event.key === " " && cell instanceof HTMLElement && document.activeElement?.matches("a")) {
      event.preventDefault();
      toggle(Number(cell.dataset.index), event.shiftKey);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey) && grid.total.peek()) {
      event.preventDefault();
      chooseAll();
    } else if (event.key === "Escape" && choosing.peek()) stop();
  }
  function chooseAll() {
    choosing.set(true);
    everything.set(true);
    chosen.set(new Set(grid.items().map(({ id }) => id)));
  }
  document.addEventListener("keydown", onKey);
  onDispose(() => document.removeEventListener("keydown", onKey));

  const button = (/** @type {string} */ action) =>
    h(
      "button",
      {
        class: "button quiet",
        disabled: () => !everything() && !chosen().size,
        hidden: () => action === "share" && !mayShare(),
        onclick: () => act(action),
      },
      () => t(action === "delete" || action === "preview" ? action : `select.${action}`),
    );
  const bar = h(
    "div",
    { class: "selection", role: "region", "aria-label": () => t("select"), hidden: () => !choosing() },
    h(
      "span",
      { role: "status" },
      () => t("select.chosen", { n: everything() ? grid.total() ?? 0 : chosen().size }),
    ),
    chip(everything, () => t("select.all"), () => (everything.peek() ? everything.set(false) : chooseAll())),
    ...[...actions, ...Object.keys(others)].map(button),
    roundButton("close", "close", stop),
  );
  return {
    bar,
    /** Whether an item is chosen. @param {any} item */
    has: (item) => everything() || chosen().has(item.id),
    /** The chip that begins and ends it, for a touch screen. */
    chip: () => () =>
      enabled() &&
      chip(choosing, () => t("select"), () => (choosing.peek() ? stop() : choosing.set(true))),
    stop,
    /** @param {import("../lib/grid.js").Grid<any>} made the grid that is chosen from */
    attach(made) {
      grid = made;
      grid.element.addEventListener("click", onClick);
    },
  };
}
