/**
 * A grid that has its true height and builds only what is near the eye, so that ten thousand cards
 * cost what thirty do, and any place is one drag away.
 *
 * @module
 */
import { h } from "./element.js";
import { restoreScroll } from "./router.js";
import { effect, onDispose, scope, signal } from "./signal.js";

/** How many items are asked for at once. */
const WINDOW = 60;

/**
 * @template T
 * @typedef {object} GridOptions
 * @property {(offset: number, limit: number) => Promise<{ items: T[], total: number }>} load
 * @property {(error: any) => void} failed told why something could not be loaded
 * @property {(item: T, index: number) => HTMLElement} card an element that can take the focus
 * @property {number} minWidth pixels of a card at least
 * @property {(width: number) => number} height pixels of a card of this width
 * @property {string} label what the grid holds, for those who cannot see it
 * @property {(item: T) => boolean} [chosen] whether it is one of several that are chosen
 * @property {(event: KeyboardEvent, item: T) => void} [onKey] keys that the grid itself does not take
 */

/**
 * @template T
 * @typedef {{ element: HTMLElement, total: import("./signal.js").Signal<number | null>, reload(): void,
 *   replace(match: (item: T) => boolean, change: (item: T) => T | null): void, items(first?: number, last?: number): T[] }} Grid
 */

/**
 * @template T
 * @param {GridOptions<T>} options
 * @returns {Grid<T>}
 */
export function windowedGrid({ load, failed, card, minWidth, height, label, chosen, onKey }) {
  const total = signal(/** @type {number | null} */ (null));
  /** @type {Map<number, T>} */
  let items = new Map();
  /** @type {Map<number, { item: T, element: HTMLElement, dispose: () => void }>} */
  const shown = new Map();
  /** @type {Set<number>} */
  let asked = new Set();
  let focused = 0;
  let generation = 0;
  const element = h("div", { class: "grid", role: "list", "aria-label": label });
  const gap = 16;

  const columns = () => Math.max(1, Math.floor((element.clientWidth + gap) / (minWidth + gap)));
  const cardWidth = () => (element.clientWidth - gap * (columns() - 1)) / columns();

  /** @param {number} page */
  async function ask(page) {
    if (asked.has(page)) return;
    asked.add(page);
    const mine = generation;
    try {
      const answer = await load(page * WINDOW, WINDOW);
      if (mine !== generation) return;
      for (const at of items.keys()) if (at >= answer.total) items.delete(at);
      answer.items.forEach((item, at) => items.set(page * WINDOW + at, item));
      const first = total.peek() === null;
      total.set(answer.total);
      draw();
      if (first) {
        restoreScroll();
        draw();
      }
    } catch (error) {
      asked.delete(page);
      failed(error);
    }
  }

  function draw() {
    const count = total.peek();
    if (!element.isConnected || !element.clientWidth) return;
    const [across, width] = [columns(), cardWidth()];
    const step = height(width) + gap;
    element.style.height = `${Math.max(0, Math.ceil((count ?? 0) / across) * step - gap)}px`;
    const top = -element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / step) - 1) * across;
    const last = Math.min(count ?? WINDOW, (Math.ceil((top + innerHeight) / step) + 1) * across);
    for (const [index, { dispose, element: old }] of shown) {
      if (index >= first && index < last && items.get(index) === shown.get(index)?.item) continue;
      if (index === focused && old.contains(document.activeElement) && items.has(index)) {
        if (items.get(index) === shown.get(index)?.item) continue;
      }
      dispose();
      old.remove();
      shown.delete(index);
    }
    for (let index = first; index < last; index++) place(index, across, width, step);
    for (let page = Math.floor(first / WINDOW); page * WINDOW < Math.max(last, 1); page++) ask(page);
  }

  /**
   * @param {number} index
   * @param {number} across
   * @param {number} width
   * @param {number} step
   */
  function place(index, across, width, step) {
    const item = items.get(index);
    if (item === undefined) return;
    let entry = shown.get(index);
    if (!entry) {
      const made = scope(() =>
        h(
          "div",
          { class: () => (chosen?.(item) ? "cell chosen" : "cell"), role: "listitem" },
          card(item, index),
        )
      );
      const outer = made.value;
      entry = { item, element: outer, dispose: made.dispose };
      shown.set(index, entry);
      const after = [...shown.keys()].filter((key) => key > index).sort((a, b) => a - b)[0];
      element.insertBefore(outer, after === undefined ? null : shown.get(after)?.element ?? null);
    }
    const { style } = entry.element;
    style.width = `${width}px`;
    style.height = `${step - gap}px`;
    style.transform = `translate(${(index % across) * (width + gap)}px, ${
      Math.floor(index / across) * step
    }px)`;
    entry.element.setAttribute("aria-setsize", String(total.peek()));
    entry.element.setAttribute("aria-posinset", String(index + 1));
    entry.element.dataset.index = String(index);
  }

  /** @param {number} index */
  function focusCard(index) {
    focused = Math.min(Math.max(index, 0), (total.peek() ?? 1) - 1);
    const step = height(cardWidth()) + gap;
    const top = element.getBoundingClientRect().top + scrollY + Math.floor(focused / columns()) * step;
    if (top < scrollY + 80) scrollTo(0, top - 80);
    else if (top + step > scrollY + innerHeight) scrollTo(0, top + step - innerHeight + 90);
    draw();
    const target = shown.get(focused)?.element.querySelector("a, button");
    if (target instanceof HTMLElement) target.focus({ preventScroll: true });
  }

  element.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
    const cell = /** @type {Element} */ (event.target).closest(".cell");
    if (cell instanceof HTMLElement) focused = Number(cell.dataset.index);
  });
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const steps = /** @type {Record<string, number>} */ ({
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: columns(),
      ArrowUp: -columns(),
      Home: -focused,
      End: total.peek() ?? 0,
    });
    if (event.key in steps && !(event.metaKey || event.ctrlKey || event.altKey)) {
      event.preventDefault();
      focusCard(focused + steps[event.key]);
    } else {
      const item = items.get(focused);
      if (item !== undefined) onKey?.(event, item);
    }
  });

  let queued = false;
  const later = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      draw();
    });
  };
  addEventListener("scroll", later, { passive: true });
  const resized = new ResizeObserver(later);
  resized.observe(element);
  onDispose(() => {
    generation++;
    removeEventListener("scroll", later);
    resized.disconnect();
    for (const { dispose } of shown.values()) dispose();
  });
  effect(() => void ask(0));

  return {
    element,
    total,
    /** What was read so far, from one place of the grid to another. */
    items: (first = 0, last = Infinity) =>
      [...items.entries()].filter(([at]) => at >= first && at <= last).sort(([a], [b]) => a - b).map((
        [, item],
      ) => item),
    /** Ask anew for what is shown; what is there stays until the answer comes. */
    reload() {
      generation++;
      asked = new Set();
      const old = items;
      items = new Map(old);
      ask(0);
      later();
    },
    /** Put another item in the place of those that match; null asks anew. */
    replace(match, change) {
      for (const [index, item] of items) {
        if (!match(item)) continue;
        const next = change(item);
        if (next === null) return this.reload();
        items.set(index, next);
      }
      draw();
    },
  };
}
