/**
 * A grid that has its true height and builds only what is near the eye, so that ten thousand cards
 * cost what thirty do, and any place is one drag away.
 *
 * @module
 */
import { h } from "./element.js";
import { restoreScroll } from "./router.js";
import { effect, onDispose, scope, signal, untracked } from "./signal.js";

/** How many items are asked for at once. */
const WINDOW = 60;

/** Pixels of the heading over a part of the grid. */
const HEAD = 56;

/**
 * @template T
 * @typedef {object} GridOptions
 * @property {(offset: number, limit: number) => Promise<{ items: T[], total: number }>} load
 * @property {(error: any) => void} failed told why something could not be loaded
 * @property {(item: T, index: number) => HTMLElement} card an element that can take the focus
 * @property {number} minWidth pixels of a card at least
 * @property {(width: number) => number} height pixels of a card of this width
 * @property {string} label what the grid holds, for those who cannot see it
 * @property {() => Array<{ label: string, count: number }>} [parts] how many items stand below which
 *   heading; what is beyond them has none
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
export function windowedGrid({ load, failed, card, minWidth, height, label, parts, chosen, onKey }) {
  const total = signal(/** @type {number | null} */ (null));
  /** @type {Map<number, T>} */
  let items = new Map();
  /** @type {Map<number, { item: T, element: HTMLElement, label?: string, dispose: () => void }>} */
  const shown = new Map();
  /** @type {Set<number>} */
  let asked = new Set();
  let focused = 0;
  let generation = 0;
  const element = h("div", { class: "grid", role: "list", "aria-label": label });
  const gap = 16;

  const columns = () => Math.max(1, Math.floor((element.clientWidth + gap) / (minWidth + gap)));
  const cardWidth = () => (element.clientWidth - gap * (columns() - 1)) / columns();

  /** The parts one below the other: from which item to which, and where they and their rows begin. */
  function layOut() {
    const [across, step, count] = [columns(), height(cardWidth()) + gap, total.peek() ?? WINDOW];
    const laid =
      /** @type {Array<{ from: number, to: number, label: string, top: number, rows: number }>} */ ([]);
    let [from, top] = [0, 0];
    for (const { label, count: n } of [...(parts ? untracked(parts) : []), { label: "", count: Infinity }]) {
      const to = Math.min(from + n, count);
      if (to === from) continue;
      const rows = top + (label ? HEAD : 0);
      laid.push({ from, to, label, top, rows });
      top = rows + Math.ceil((to - from) / across) * step;
      from = to;
    }
    /** The row at a height, or the one that is next to it. @param {number} y */
    const rowAt = (y) => {
      const part = laid.findLast((each) => each.top <= y) ?? laid[0] ?? { from: 0, to: 0, rows: 0 };
      const last = Math.ceil((part.to - part.from) / across) - 1;
      const row = Math.max(0, Math.min(Math.floor((y - part.rows) / step), last));
      const first = part.from + row * across;
      return { first, end: Math.min(first + across, part.to) };
    };
    /** Where an item stands. @param {number} index */
    const placeOf = (index) => {
      const part = laid.find((each) => index < each.to) ?? laid[0];
      const [row, column] = [Math.floor((index - part.from) / across), (index - part.from) % across];
      return { row, column, top: part.rows + row * step, label: index === part.from ? part.label : "" };
    };
    return { step, height: top, rowAt, placeOf };
  }

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
    const { step, height, rowAt, placeOf } = layOut();
    element.style.height = `${count === null ? 0 : Math.max(0, height - gap)}px`;
    const top = -element.getBoundingClientRect().top;
    const first = rowAt(top - step).first;
    const last = rowAt(top + innerHeight + step).end;
    for (const [index, { dispose, element: old }] of shown) {
      if (index >= first && index < last && items.get(index) === shown.get(index)?.item) continue;
      if (index === focused && old.contains(document.activeElement) && items.has(index)) {
        if (items.get(index) === shown.get(index)?.item) continue;
      }
      dispose();
      old.remove();
      shown.delete(index);
    }
    for (let index = first; index < last; index++) place(index, placeOf(index), step);
    for (let page = Math.floor(first / WINDOW); page * WINDOW < Math.max(last, 1); page++) ask(page);
  }

  /**
   * @param {number} index
   * @param {{ column: number, top: number, label: string }} at
   * @param {number} step
   */
  function place(index, { column, top, label }, step) {
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
    const width = cardWidth();
    style.width = `${width}px`;
    style.height = `${step - gap}px`;
    style.transform = `translate(${column * (width + gap)}px, ${top}px)`;
    if (entry.label !== label) {
      entry.element.querySelector(".part")?.remove();
      if (label) entry.element.prepend(h("h2", { class: "part" }, label));
      entry.label = label;
    }
    entry.element.setAttribute("aria-setsize", String(total.peek()));
    entry.element.setAttribute("aria-posinset", String(index + 1));
    entry.element.dataset.index = String(index);
  }

  /** @param {number} index */
  function focusCard(index) {
    focused = Math.min(Math.max(index, 0), (total.peek() ?? 1) - 1);
    const { step, placeOf } = layOut();
    const top = element.getBoundingClientRect().top + scrollY + placeOf(focused).top;
    if (top < scrollY + 80) scrollTo(0, top - 80);
    else if (top + step > scrollY + innerHeight) scrollTo(0, top + step - innerHeight + 90);
    draw();
    const target = shown.get(focused)?.element.querySelector("a, button");
    if (target instanceof HTMLElement) target.focus({ preventScroll: true });
  }

  /** The item below the one that has the focus, or above it. @param {number} by */
  function nextRow(by) {
    const { step, rowAt, placeOf } = layOut();
    const { row, column, top } = placeOf(focused);
    const { first, end } = rowAt(by > 0 ? top + step : top - (row ? 1 : HEAD + 1));
    return Math.min(first + column, end - 1);
  }

  element.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
    const cell = /** @type {Element} */ (event.target).closest(".cell");
    if (cell instanceof HTMLElement) focused = Number(cell.dataset.index);
  });
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const steps = /** @type {Record<string, number>} */ ({
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: nextRow(1) - focused,
      ArrowUp: nextRow(-1) - focused,
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
  effect(() => {
    parts?.();
    later();
  });

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
