/** Files that people bring: by a button, or dropped. @module */
import { h } from "../lib/element.js";
import { onDispose } from "../lib/signal.js";
import { icon } from "./icons.js";

/** What pictures are taken. */
export const PICTURES = "image/png,image/jpeg,image/webp";

/**
 * A button that lets one choose files.
 *
 * @param {() => string} label
 * @param {(files: File[]) => void} take
 * @param {Record<string, any>} [attributes] of the input, such as `accept` and `multiple`
 */
export function fileButton(label, take, attributes = {}) {
  const input = h("input", {
    type: "file",
    hidden: true,
    ...attributes,
    onchange: () => {
      const files = [...input.files];
      // The same file can be chosen again.
      input.value = "";
      if (files.length) take(files);
    },
  });
  return [
    h(
      "button",
      { type: "button", class: "button quiet", onclick: () => input.click() },
      icon("upload"),
      label,
    ),
    input,
  ];
}

/**
 * Take files that are dropped, while the page is open.
 *
 * @param {(files: File[]) => void} take
 * @param {(over: boolean) => void} [hovers] told whether files are held over the page
 */
export function takeDropped(take, hovers = () => {}) {
  /** @param {DragEvent} event */
  const listen = (event) => {
    const { types = [], files = [] } = event.dataTransfer ?? {};
    if (![...types].includes("Files") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    hovers(event.type === "dragover");
    if (event.type === "drop" && files.length) take([...files]);
  };
  const kinds = /** @type {const} */ (["dragover", "dragleave", "drop"]);
  for (const kind of kinds) addEventListener(kind, listen);
  onDispose(() => kinds.forEach((kind) => removeEventListener(kind, listen)));
}

/**
 * A form of fields and files; what is not set is left out.
 *
 * @param {Record<string, any>} values
 * @param {File[]} files
 */
export function formOf(values, files) {
  const body = new FormData();
  for (const [name, value] of Object.entries(values)) {
    for (const each of [value].flat()) if (each !== null && each !== "") body.append(name, String(each));
  }
  for (const file of files) body.append("file", file);
  return body;
}

/** Keep a file on the reader's disk. @param {{ name: string, body: Blob }} file */
export function keepFile({ name, body }) {
  const link = h("a", { href: URL.createObjectURL(body), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
