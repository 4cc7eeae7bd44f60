/** A picture as it stands in a grid, and as it is looked at over the grid. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { addressOf, openPage } from "../lib/router.js";
import { computed, effect, onDispose, signal, untracked } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { nsfwLooks, nsfwSettings, nsfwShown } from "../data/prefs.js";
import { mayShare } from "../data/rights.js";
import { forgetItem } from "../data/trash.js";
import { hostToasts, tellError, toast } from "../parts/dialog.js";
import { icon, roundButton } from "../parts/icons.js";
import { isWriting } from "../parts/keys.js";
import { tagInput } from "../parts/lists.js";
import { linkOf, picture, sizesOf } from "../parts/picture.js";
import { zoomFrame } from "../parts/zoom.js";

/** What a picture is called. @param {any} item */
const nameOf = (item) => item.metadata.prompt || t("picture");

/** A picture as it stands in a grid. @param {any} item @param {string} href */
export const shot = (item, href) =>
  h(
    "a",
    { class: item.is_favorite ? "shot lit" : "shot", href, "aria-label": shotName(item) },
    picture(sizesOf(item), { isNsfw: item.is_nsfw, sizes: "190px", color: item.color }),
    !item.is_mine && h("span", { class: "shot-by" }, t("share.by", { name: item.owner.username })),
  );

/** What it is called there: with whose it is. @param {any} item */
const shotName = (item) =>
  item.is_mine ? nameOf(item) : `${nameOf(item)}, ${t("share.by", { name: item.owner.username })}`;

/**
 * The picture over the grid, with what is known of it.
 *
 * @param {string} first
 * @param {import("../lib/grid.js").Grid<any>} grid
 * @param {() => void} reload asks for the grid anew
 * @param {(id?: string) => string} pathOf the path of a picture over the grid; of none the grid's own
 */
export function lightbox(first, grid, reload, pathOf) {
  const item = signal(/** @type {any} */ (null));
  const read = (/** @type {string} */ id) =>
    ask("GET", `/media/${encodeURIComponent(id)}`).then(({ data }) => item.set(data)).catch((
      error,
    ) => (tellError(error), close()));
  read(first);
  // Back where the grid was left; a picture that was opened by its address has no grid behind it.
  const fromGrid = history.state?.key !== "first";
  const close = () => (fromGrid ? history.back() : openPage(pathOf(), { replace: true }));

  /** @param {number} by */
  function step(by) {
    const items = grid.items();
    const next = items[items.findIndex((each) => each.id === item.peek()?.id) + by];
    if (!next) return;
    item.set(next);
    history.replaceState(history.state, "", addressOf(pathOf(next.id)));
  }
  /** @param {any} body */
  async function change(body) {
    try {
      take((await ask("PATCH", `/media/${item.peek().id}`, { body })).data);
    } catch (error) {
      tellError(error);
    }
  }
  /** @param {any} changed */
  function take(changed) {
    if (changed.id === item.peek().id) item.set(changed);
    grid.replace((each) => each.id === changed.id, () => changed);
  }
  const share = async () => (await import("./sharing.js")).openSharing("media", item.peek(), take);
  const collect = async () => (await import("./collecting.js")).askCollection({ ids: [item.peek().id] });
  const toggleFavorite = () => change({ is_favorite: !item.peek().is_favorite });
  async function remove() {
    const gone = item.peek();
    if (!(await forgetItem("media", gone.id, nameOf(gone), reload))) return;
    step(1);
    if (item.peek() === gone) close();
    reload();
  }
  async function makeAvatar() {
    try {
      await ask("PUT", `/personas/${item.peek().persona_id}/avatar`, { body: { media_id: item.peek().id } });
      toast(t("saved"));
    } catch (error) {
      tellError(error);
    }
  }
  async function makePersona() {
    try {
      const { data } = await ask("POST", "/personas/from-picture", { body: { media_id: item.peek().id } });
      openPage(`/transfer?import=${data.id}`);
    } catch (error) {
      tellError(error);
    }
  }
  const id = computed(() => item()?.id);
  const frame = computed(() =>
    id() && zoomFrame(
      untracked(() =>
        picture(sizesOf(item(), true), {
          alt: item().metadata.prompt ?? "",
          isNsfw: item().is_nsfw,
          sizes: "100vw",
        })
      ),
    )
  );
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (isWriting(event)) return;
    if (event.key === "+" || event.key === "=") frame.peek().zoom(1.5);
    if (event.key === "-") frame.peek().zoom(1 / 1.5);
    if (event.key === "0") frame.peek().zoom(0);
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
    if (!item.peek()?.is_mine) return;
    if (event.key === "f") toggleFavorite();
    if (event.key === "Delete") remove();
  };
  let from = 0;
  const dialog = h(
    "dialog",
    {
      class: "lightbox",
      "aria-label": () => (item() ? nameOf(item()) : t("picture")),
      oncancel: (/** @type {Event} */ event) => (event.preventDefault(), close()),
      onkeydown: keys,
      onpointerdown: (/** @type {PointerEvent} */ event) => (from = event.clientX),
      onpointerup: (/** @type {PointerEvent} */ event) =>
        event.pointerType === "touch" && frame.peek()?.scale.peek() === 1 &&
        Math.abs(event.clientX - from) > 60 && step(event.clientX < from ? 1 : -1),
    },
    h("div", { class: "lightbox-picture" }, () => frame()?.element),
    h(
      "div",
      { class: "lightbox-side" },
      () =>
        item() &&
        h(
          "div",
          { class: "row" },
          roundButton("left", "previous", () => step(-1)),
          roundButton("right", "next", () => step(1)),
          roundButton("out", "zoom.out", () => frame.peek().zoom(1 / 1.5)),
          roundButton("create", "zoom.in", () => frame.peek().zoom(1.5)),
          item().is_mine && h("button", {
            class: item().is_favorite ? "round lit" : "round",
            "aria-pressed": String(item().is_favorite),
            title: t("favorite"),
            "aria-label": t("favorite"),
            onclick: toggleFavorite,
          }, icon("star")),
          h("a", {
            class: "round",
            href: linkOf(item().download_url),
            download: "",
            title: t("download"),
            "aria-label": t("download"),
          }, icon("download")),
          (item().is_mine || item().with_details) && h("a", {
            class: "round",
            href: `${linkOf(item().download_url)}&metadata=none`,
            download: "",
            title: t("download.bare"),
            "aria-label": t("download.bare"),
          }, icon("bare")),
          item().persona_id && roundButton("personas", "picture.avatar", makeAvatar),
          item().is_mine && [
            roundButton("looks", "picture.persona", makePersona),
            roundButton("collect", "select.collect", collect),
            (mayShare() || item().visibility === "shared") && roundButton("share", "share", share),
            roundButton("trash", "delete", remove),
          ],
          roundButton("close", "close", close),
        ),
      () => id() && tagsOf(untracked(item), (tags) => change({ tags })),
      () => item() && facts(item()),
    ),
  );
  effect(() => nsfwSettings() && !nsfwShown() && item()?.is_nsfw && close());
  effect(() => nsfwLooks() && item.peek()?.is_nsfw && read(item.peek().id));
  queueMicrotask(() => {
    if (!dialog.isConnected) return;
    dialog.showModal();
    hostToasts(dialog);
  });
  onDispose(() => {
    hostToasts(document.body);
    // The keys go on where the picture stands in the grid.
    const shot = grid.element.querySelector(`a[href*="/${item.peek()?.id}"]`);
    queueMicrotask(() => shot instanceof HTMLElement && shot.focus({ preventScroll: true }));
  });
  return dialog;
}

/**
 * The tags of a picture; of one's own they can be changed.
 *
 * @param {any} item
 * @param {(tags: string[]) => void} save
 */
function tagsOf({ is_mine, tags }, save) {
  if (is_mine) return tagEditor(tags, save);
  const chips = tags.map((/** @type {string} */ tag) => h("li", { class: "chip" }, tag));
  return tags.length > 0 && h("ul", { class: "plain chips lightbox-tags", "aria-label": t("tags") }, chips);
}

/**
 * The tags of a picture, kept as they change.
 *
 * @param {string[]} start
 * @param {(tags: string[]) => void} save
 */
function tagEditor(start, save) {
  const tags = signal(start);
  effect(() => tags() !== start && save(tags()));
  return h("div", { class: "lightbox-tags", role: "group", "aria-label": t("tags") }, tagInput(tags));
}

/** What is known of how a picture was made. @param {any} item */
function facts(item) {
  const { metadata } = item;
  const parameters = metadata.parameters ?? {};
  /** @type {Array<[string, any]>} */
  const rows = [
    ["create.prompt", metadata.prompt],
    ["persona.negative_prompt", metadata.negative_prompt],
    ["parameter.seed", metadata.seed],
    ["parameter.engine", metadata.engine],
    ["parameter.model_name", metadata.model ?? metadata.model_name],
    ["parameter.scheduler", parameters.scheduler],
    ["parameter.num_inference_steps", parameters.num_inference_steps],
    ["parameter.guidance_scale", parameters.guidance_scale],
    ["create.size", `${item.width} × ${item.height}`],
    ["version", metadata.persona_revision],
    ["picture.made", timeText(item.created_at)],
    ["share", item.is_mine && item.visibility === "shared" && t("share.with_all")],
    ["persona.owner", !item.is_mine && item.owner.username],
  ];
  const { name, owner } = metadata.persona ?? {};
  const persona = name && (owner ? `${name}, ${t("share.by", { name: owner.username })}` : name);
  return h(
    "dl",
    { class: "facts" },
    ...rows.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
      .flatMap((
        [key, value],
      ) => [h("dt", {}, t(key)), h("dd", {}, String(value))]),
    (item.persona_id || persona) &&
      [
        h("dt", {}, t("create.persona")),
        h(
          "dd",
          {},
          item.persona_id
            ? h("a", { href: addressOf(`/personas/${item.persona_id}`) }, persona || t("create.persona"))
            : persona,
        ),
      ],
  );
}
