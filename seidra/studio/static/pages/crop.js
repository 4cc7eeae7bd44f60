/** A square of a picture, chosen by dragging, by keys, or by a slide. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { openQuestion } from "../parts/dialog.js";

/** Pixels of the smallest square. */
const SMALLEST = 64;

/** @typedef {{ x: number, y: number, size: number }} Square in the pixels of the picture */

/**
 * Let a square of a picture be chosen.
 *
 * @param {Blob} file
 * @returns {Promise<{ crop?: Square } | null>} without a square where the picture is smaller than one
 *   may be; null where nothing shall be done
 */
export async function chooseSquare(file) {
  const image = h("img", { src: URL.createObjectURL(file), alt: t("picture"), draggable: "false" });
  try {
    await image.decode();
  } catch {
    // The server says what it is.
    return {};
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  const most = Math.min(width, height);
  if (most < SMALLEST) return {};
  const square = signal({
    x: Math.round((width - most) / 2),
    y: Math.round((height - most) / 2),
    size: most,
  });

  /** @param {Partial<Square>} change what it is to be; it stays within the picture */
  function put(change) {
    const { x, y, size } = { ...square.peek(), ...change };
    const side = Math.round(Math.max(SMALLEST, Math.min(size, most)));
    const inside = (/** @type {number} */ at, /** @type {number} */ length) =>
      Math.round(Math.max(0, Math.min(at, length - side)));
    square.set({ x: inside(x, width), y: inside(y, height), size: side });
  }
  /** Larger or smaller around its middle. @param {number} size */
  function resize(size) {
    const { x, y, size: old } = square.peek();
    const side = Math.max(SMALLEST, Math.min(size, most));
    put({ x: x + (old - side) / 2, y: y + (old - side) / 2, size: side });
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const { x, y, size } = square.peek();
    const step = Math.max(1, Math.round(most / (event.shiftKey ? 10 : 50)));
    const ways = /** @type {Record<string, () => void>} */ ({
      ArrowLeft: () => put({ x: x - step }),
      ArrowRight: () => put({ x: x + step }),
      ArrowUp: () => put({ y: y - step }),
      ArrowDown: () => put({ y: y + step }),
      "+": () => resize(size + step),
      "=": () => resize(size + step),
      "-": () => resize(size - step),
    });
    if (!ways[event.key]) return;
    event.preventDefault();
    ways[event.key]();
  }
  /** @type {{ at: PointerEvent, from: Square, corner: boolean } | null} */
  let drag = null;
  /** @param {PointerEvent} event */
  function onMove(event) {
    if (!drag) return;
    const scale = width / image.clientWidth;
    const [dx, dy] = [event.clientX - drag.at.clientX, event.clientY - drag.at.clientY].map((d) => d * scale);
    const { x, y, size } = drag.from;
    if (!drag.corner) return put({ x: x + dx, y: y + dy });
    put({ size: Math.min(size + Math.max(dx, dy), width - x, height - y) });
  }
  const percent = (/** @type {number} */ part, /** @type {number} */ whole) => `${(part / whole) * 100}%`;
  const frame = h(
    "button",
    {
      type: "button",
      class: "crop-square",
      "aria-label": t("crop.square"),
      "aria-describedby": "crop-hint",
      style: () => ({
        left: percent(square().x, width),
        top: percent(square().y, height),
        width: percent(square().size, width),
        height: percent(square().size, height),
      }),
      onkeydown: onKey,
      onpointerdown: (/** @type {PointerEvent} */ event) => {
        frame.setPointerCapture(event.pointerId);
        const corner = /** @type {Element} */ (event.target).matches(".crop-corner");
        drag = { at: event, from: square.peek(), corner };
      },
      onpointermove: onMove,
      onpointerup: () => (drag = null),
      onpointercancel: () => (drag = null),
    },
    h("span", { class: "crop-corner" }),
  );
  const size = h("input", {
    type: "range",
    min: SMALLEST,
    max: most,
    value: () => square().size,
    "aria-label": t("create.size"),
    oninput: (/** @type {any} */ event) => resize(Number(event.target.value)),
  });
  const content = [
    h("div", { class: "crop" }, image, frame),
    size,
    h("p", { class: "mute", id: "crop-hint" }, t("crop.hint")),
    h(
      "p",
      { class: "mute", role: "status" },
      () => t("crop.state", { ...square() }),
    ),
  ];
  const agreed = await openQuestion(
    t("crop"),
    content,
    h("button", { class: "button", value: "yes" }, t("save")),
  );
  URL.revokeObjectURL(image.src);
  return agreed ? { crop: square.peek() } : null;
}
