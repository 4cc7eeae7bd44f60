/** Pictures of SEIDRA: the right size, and a veil over what is NSFW. @module */
import { h } from "../lib/element.js";
import { t } from "../lib/i18n.js";
import { BASE } from "../lib/router.js";
import { signal } from "../lib/signal.js";
import { nsfwShown, veiled } from "../data/prefs.js";
import { skein } from "./icons.js";

/** A link of an answer, on the server that the page came from. @param {string} url */
export function linkOf(url) {
  const { pathname, search } = new URL(url, location.href);
  return (pathname.startsWith(`${BASE}/`) ? pathname : BASE + pathname) + search;
}

/**
 * The sizes that a picture of the API has, the smallest first; a small one has only itself.
 *
 * @param {{ thumbnails: Array<{ url: string, width: number }>, url: string, width: number }} found
 * @param {boolean} [large] with the picture itself
 */
export function sizesOf({ thumbnails, url, width }, large = false) {
  return large || !thumbnails.length ? [...thumbnails, { url, width }] : thumbnails;
}

/**
 * @param {Array<{ url: string, width: number }>} sizes what there is, the smallest first
 * @param {{ alt?: string, isNsfw?: boolean, sizes?: string, color?: string | null }} [options] `color`:
 *   what stands in the picture's place until it is there
 */
export function picture(sizes, { alt = "", isNsfw = false, sizes: layout = "280px", color = null } = {}) {
  if (!sizes.length) return h("div", { class: "picture empty" }, skein());
  const looking = signal(false);
  const hidden = () => isNsfw && veiled() && !looking();
  const image = h("img", {
    src: linkOf(sizes[sizes.length - 1].url),
    srcset: sizes.length > 1 ? sizes.map(({ url, width }) => `${linkOf(url)} ${width}w`).join(", ") : null,
    sizes: layout,
    alt,
    loading: "lazy",
    decoding: "async",
    draggable: "false",
  });
  const look = (/** @type {boolean} */ on) => () => looking.set(on);
  return h(
    "div",
    {
      class: () => (hidden() ? "picture veiled" : "picture"),
      style: color ? { background: color } : {},
      onpointerdown: look(true),
      onpointerup: look(false),
      onpointerleave: look(false),
    },
    () => (isNsfw && !nsfwShown() ? skein() : image),
    () => hidden() && h("span", { class: "veil-words" }, t("veil.hold")),
  );
}
