/** Looking at a picture closely: by wheel, pinch, drag, double click, buttons and keys. @module */
import { h } from "../lib/element.js";
import { signal } from "../lib/signal.js";

const MOST = 8;

/**
 * A frame in which a picture can be made larger and moved about.
 *
 * @param {any} content
 * @returns {{ element: any, scale: import("../lib/signal.js").Signal<number>, zoom(by: number): void }}
 *   `zoom(0)` shows it whole again
 */
export function zoomFrame(content) {
  const scale = signal(1);
  let [x, y, apart] = [0, 0, 0];
  /** @type {Map<number, PointerEvent>} */
  const pointers = new Map();
  const element = h("div", {
    class: () => (scale() > 1 ? "zoom near" : "zoom"),
    onwheel: (/** @type {WheelEvent} */ event) => {
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX, event.clientY);
    },
    ondblclick: (/** @type {MouseEvent} */ event) =>
      zoom(scale.peek() > 1 ? 0 : 2.5, event.clientX, event.clientY),
    onpointerdown: (/** @type {PointerEvent} */ event) => {
      pointers.set(event.pointerId, event);
      element.setPointerCapture(event.pointerId);
      apart = 0;
    },
    onpointermove: move,
    onpointerup: end,
    onpointercancel: end,
  }, content);

  /** @param {PointerEvent} event */
  function end(event) {
    pointers.delete(event.pointerId);
    apart = 0;
  }
  /** @param {PointerEvent} event */
  function move(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    pointers.set(event.pointerId, event);
    const [one, two] = [...pointers.values()];
    if (two) {
      const now = Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
      if (apart) zoom(now / apart, (one.clientX + two.clientX) / 2, (one.clientY + two.clientY) / 2);
      apart = now;
    } else if (scale.peek() > 1) {
      x += event.clientX - before.clientX;
      y += event.clientY - before.clientY;
      show();
    }
  }
  /** Around a point of the window; the middle where none is given. @param {number} by @param {number} [atX] @param {number} [atY] */
  function zoom(by, atX, atY) {
    const box = element.getBoundingClientRect();
    const from = scale.peek();
    const to = Math.min(Math.max(from * by, 1), MOST);
    const [midX, midY] = [box.left + box.width / 2, box.top + box.height / 2];
    const [offX, offY] = [(atX ?? midX) - midX, (atY ?? midY) - midY];
    x = offX - (offX - x) * to / from;
    y = offY - (offY - y) * to / from;
    scale.set(to);
    show();
  }
  function show() {
    const { clientWidth: width, clientHeight: height } = element;
    const near = scale.peek();
    const bound = (/** @type {number} */ at, /** @type {number} */ size) =>
      Math.max(-size * (near - 1) / 2, Math.min(at, size * (near - 1) / 2));
    [x, y] = [bound(x, width), bound(y, height)];
    element.firstElementChild.style.transform = `translate(${x}px, ${y}px) scale(${near})`;
    // A closer look is one at a larger file.
    element.querySelector("img")?.setAttribute("sizes", `${Math.ceil(near * 100)}vw`);
  }
  return { element, scale, zoom };
}
