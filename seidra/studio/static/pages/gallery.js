/** Everything that was made: a grid, and over it the picture that is looked at. @module */
import { h } from "../lib/element.js";
import { windowedGrid } from "../lib/grid.js";
import { language, t, timeText } from "../lib/i18n.js";
import { addressOf, openPage, place, replaceQuery } from "../lib/router.js";
import { computed, effect, onDispose, signal, untracked } from "../lib/signal.js";
import { ask, queryOf } from "../data/api.js";
import { endListeners } from "../data/live.js";
import { libraryChanges } from "../data/catalogue.js";
import { nsfwLooks, nsfwSettings, nsfwShown } from "../data/prefs.js";
import { forgetItem } from "../data/trash.js";
import { choice } from "../parts/field.js";
import { hostToasts, tellError, toast } from "../parts/dialog.js";
import { favoritesChip, searchField, tagChips } from "../parts/filters.js";
import { isWriting } from "../parts/keys.js";
import { tagInput } from "../parts/lists.js";
import { selection } from "../parts/selection.js";
import { icon, roundButton, skein, trashLink } from "../parts/icons.js";
import { linkOf, picture, sizesOf } from "../parts/picture.js";
import { fileButton, formOf, PICTURES, takeDropped } from "../parts/upload.js";
import { zoomFrame } from "../parts/zoom.js";

/** What the list is asked for. @param {URLSearchParams} query of the page */
export const filtersOf = (query) => ({
  search: query.get("q") ?? "",
  favorites_only: query.get("fav") ? "true" : null,
  persona_id: query.get("persona"),
  tag: query.getAll("tag"),
  ...monthBounds(query.get("month")),
});

/**
 * The first and the last moment of a month here, as times of the API.
 *
 * @param {string | null} month such as 2026-11
 */
function monthBounds(month) {
  const [year, number] = (month ?? "").split("-").map(Number);
  if (!year || !number) return {};
  const [first, next] = [new Date(year, number - 1), new Date(year, number)];
  return { date_from: first.toISOString(), date_to: new Date(next.getTime() - 1).toISOString() };
}

/** A month as people say it. @param {string} month such as 2026-11 */
function monthText(month) {
  const [year, number] = month.split("-").map(Number);
  const format = new Intl.DateTimeFormat(language(), { month: "long", year: "numeric" });
  return format.format(new Date(year, number - 1));
}

/**
 * The months in which something was made, the newest first, with how much.
 *
 * @param {() => string} query of the page
 * @param {() => any} changes what they are asked for anew after
 */
function readMonths(query, changes) {
  const months = signal(/** @type {Array<{ month: string, count: number }>} */ ([]));
  effect(() => {
    const asked = new URLSearchParams(query());
    asked.delete("month");
    changes();
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const filters = { ...filtersOf(asked), include_nsfw: nsfwShown(), tz };
    ask("GET", `/media/timeline${queryOf(filters)}`).then(({ data }) => months.set(data)).catch(() => null);
  });
  return months;
}

/**
 * A choice of one of them.
 *
 * @param {() => Array<{ month: string, count: number }>} months
 * @param {() => string} chosen
 * @param {(edit: (query: URLSearchParams) => void) => void} change
 */
function monthChoice(months, chosen, change) {
  return () =>
    choice(
      [
        ["", () => t("gallery.months")],
        ...months().map(({ month, count }) => /** @type {[string, () => string]} */ ([month, () =>
          `${monthText(month)} · ${count.toLocaleString()}`])
        ),
      ],
      {
        "aria-label": t("gallery.months"),
        value: chosen,
        onchange: (/** @type {any} */ event) =>
          change((q) =>
            event.target.value ? q.set("month", event.target.value) : q.delete("month")
          ),
      },
    );
}

/** @param {import("../lib/signal.js").Signal<Record<string, string>>} parts */
export default function gallery(parts) {
  const query = computed(() => (place().path.startsWith("/gallery") ? place().query.toString() : ""));
  const several = selection({
    list: "media",
    actions: ["favorite", "unfavorite", "tag", "untag", "delete"],
    filter: () => {
      const { search, favorites_only, persona_id, ...others } = filtersOf(new URLSearchParams(query.peek()));
      return {
        ...others,
        ...(search ? { search } : {}),
        ...(persona_id ? { persona_id: Number(persona_id) } : {}),
        favorites_only: Boolean(favorites_only),
        include_nsfw: nsfwShown.peek(),
      };
    },
  });
  const made = signal(0);
  const months = readMonths(query, () => [libraryChanges(), made()]);
  const chosenMonth = () => new URLSearchParams(query()).get("month") ?? "";
  /** @type {import("../lib/grid.js").Grid<any>} */
  const grid = windowedGrid({
    label: t("nav.gallery"),
    parts: () =>
      months().filter(({ month }) => !chosenMonth() || month === chosenMonth())
        .map(({ month, count }) => ({ label: monthText(month), count })),
    chosen: several.has,
    minWidth: innerWidth < 600 ? 108 : 190,
    height: (width) => width,
    load: async (offset, limit) => {
      const filters = filtersOf(new URLSearchParams(query.peek()));
      const { data } = await ask(
        "GET",
        `/media${queryOf({ ...filters, offset, limit, include_nsfw: nsfwShown.peek() })}`,
      );
      return { items: data.items, total: data.total };
    },
    failed: tellError,
    card: (item) =>
      h(
        "a",
        {
          class: item.is_favorite ? "shot lit" : "shot",
          href: addressOf(`/gallery/${item.id}${query.peek() ? `?${query.peek()}` : ""}`),
          "aria-label": nameOf(item),
        },
        picture(sizesOf(item), { isNsfw: item.is_nsfw, sizes: "190px", color: item.color }),
      ),
  });
  several.attach(grid);
  let known = false;
  effect(() => {
    query();
    nsfwShown();
    nsfwLooks();
    if (known) grid.reload();
    known = true;
  });
  const reload = () => {
    grid.reload();
    made.update((n) => n + 1);
  };
  const refresh = (/** @type {any} */ job) => job.results.length && reload();
  endListeners.add(refresh);
  onDispose(() => endListeners.delete(refresh));

  const sending = signal("");
  /** Keep pictures, one after the other; what one is refused for leaves the others alone. @param {File[]} files */
  async function keep(files) {
    let n = 0;
    for (const [at, file] of files.entries()) {
      sending.set(t("gallery.sending", { at: at + 1, of: files.length }));
      await ask("POST", "/media", { body: formOf({}, [file]) }).then(() => n++).catch((error) => {
        const words = Object.values(error.errors ?? {}).flat().join(" ");
        words ? toast(`${file.name}: ${words}`) : tellError(error);
      });
    }
    sending.set("");
    if (!n) return;
    toast(t("gallery.sent", { n }));
    libraryChanges.update((changes) => changes + 1);
    reload();
  }
  takeDropped((files) => sending.peek() || keep(files));

  const change = (/** @type {(query: URLSearchParams) => void} */ edit) => {
    const next = new URLSearchParams(query.peek());
    edit(next);
    replaceQuery(next);
  };
  return [
    h(
      "div",
      { class: "bar" },
      h("h1", {}, () => t("nav.gallery")),
      searchField(() => t("gallery.search", { n: grid.total() ?? 0 }), change),
      monthChoice(months, chosenMonth, change),
      trashLink(),
      fileButton(() => t("gallery.upload"), (files) => sending.peek() || keep(files), {
        accept: PICTURES,
        multiple: true,
      }),
    ),
    h("p", { class: "mute", role: "status" }, sending),
    h(
      "div",
      { class: "chips", role: "group", "aria-label": () => t("filters") },
      favoritesChip(query, change),
      several.chip(),
      tagChips("media", query, change),
    ),
    () =>
      grid.total() === 0 &&
      h(
        "div",
        { class: "empty-state" },
        skein(),
        h("p", {}, t(query() ? "gallery.none_found" : "gallery.none")),
      ),
    grid.element,
    several.bar,
    () => parts().id && lightbox(parts().id, grid, reload),
  ];
}

/** What a picture is called. @param {any} item */
const nameOf = (item) => item.metadata.prompt || t("picture");

/**
 * The picture over the grid, with what is known of it.
 *
 * @param {string} first
 * @param {import("../lib/grid.js").Grid<any>} grid
 * @param {() => void} reload asks for the grid anew
 */
function lightbox(first, grid, reload) {
  const item = signal(/** @type {any} */ (null));
  const read = (/** @type {string} */ id) =>
    ask("GET", `/media/${encodeURIComponent(id)}`).then(({ data }) => item.set(data)).catch((
      error,
    ) => (tellError(error), close()));
  read(first);
  const suffix = () => (place.peek().query.toString() ? `?${place.peek().query}` : "");
  // Back where the grid was left; a picture that was opened by its address has no grid behind it.
  const fromGrid = history.state?.key !== "first";
  const close = () => (fromGrid ? history.back() : openPage(`/gallery${suffix()}`, { replace: true }));

  /** @param {number} by */
  function step(by) {
    const items = grid.items();
    const next = items[items.findIndex((each) => each.id === item.peek()?.id) + by];
    if (!next) return;
    item.set(next);
    history.replaceState(history.state, "", addressOf(`/gallery/${next.id}${suffix()}`));
  }
  /** @param {any} body */
  async function change(body) {
    try {
      const { data } = await ask("PATCH", `/media/${item.peek().id}`, { body });
      if (data.id === item.peek().id) item.set(data);
      grid.replace((each) => each.id === data.id, () => data);
    } catch (error) {
      tellError(error);
    }
  }
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
          h("button", {
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
          h("a", {
            class: "round",
            href: `${linkOf(item().download_url)}&metadata=none`,
            download: "",
            title: t("download.bare"),
            "aria-label": t("download.bare"),
          }, icon("bare")),
          item().persona_id && roundButton("personas", "picture.avatar", makeAvatar),
          roundButton("looks", "picture.persona", makePersona),
          roundButton("trash", "delete", remove),
          roundButton("close", "close", close),
        ),
      () => id() && tagEditor(untracked(item).tags, (tags) => change({ tags })),
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
  ];
  return h(
    "dl",
    { class: "facts" },
    ...rows.filter(([, value]) => value !== undefined && value !== null && value !== "").flatMap((
      [key, value],
    ) => [h("dt", {}, t(key)), h("dd", {}, String(value))]),
    item.persona_id &&
      [
        h("dt", {}, t("create.persona")),
        h(
          "dd",
          {},
          h(
            "a",
            { href: addressOf(`/personas/${item.persona_id}`) },
            metadata.persona_name || t("create.persona"),
          ),
        ),
      ],
  );
}
