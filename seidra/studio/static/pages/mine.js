/** What one may have and use, what is used of it, and what others leave to one. @module */
import { h } from "../lib/element.js";
import { bytesText, language, t, timeText } from "../lib/i18n.js";
import { onDispose, signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { confirmed, tellError } from "../parts/dialog.js";
import { threads } from "../parts/progress.js";
import { figuresText, LIMITS, limitText } from "./limits.js";

/** Milliseconds between two looks at what is on its way. */
const PAUSE = 2000;

/**
 * One's limits, and what was used today.
 *
 * @param {Array<Promise<void>>} reading - takes what it waits for before it can be shown
 */
export function myLimits(reading) {
  const me = signal(/** @type {any} */ (null));
  reading.push(ask("GET", "/auth/me").then(({ data }) => me.set(data)).catch(tellError));
  const shown = () => {
    const { limits, usage } = me();
    const minutes = Math.round(usage.engine_seconds / 6) / 10;
    const used = [
      t("usage.minutes", { n: minutes }),
      t("accounts.media", { n: usage.pictures }),
      bytesText(usage.bytes),
    ];
    const stored = [t("accounts.media", { n: usage.total_pictures }), bytesText(usage.total_bytes)];
    const most = limits.engine_minutes_a_day;
    return [
      h(
        "dl",
        { class: "facts" },
        h("dt", {}, t("limits.today")),
        h("dd", {}, used.join(" · ")),
        h("dt", {}, t("limits.stored")),
        h("dd", {}, stored.join(" · ")),
        ...LIMITS.flatMap((
          name,
        ) => [h("dt", {}, t(`limits.${name}`)), h("dd", {}, limitText(name, limits[name]))]),
      ),
      most !== null && h(
        "p",
        { class: "mute" },
        t("limits.left", {
          left: Math.max(0, Math.round((most - minutes) * 10) / 10).toLocaleString(language()),
          time: timeText(usage.until),
        }),
      ),
    ];
  };
  return h(
    "fieldset",
    {},
    h("legend", {}, () => t("limits.mine")),
    () => me() && shown(),
  );
}

/**
 * What others leave to one: to be answered, and on its way.
 *
 * @param {Array<Promise<void>>} reading - takes what it waits for before it can be shown
 */
export function leftToMe(reading) {
  const found = signal(/** @type {any[]} */ ([]));
  let timer = 0;
  const read = async () => {
    clearTimeout(timer);
    try {
      const { data } = await ask("GET", "/hand-overs?limit=20");
      found.set(data.hand_overs);
      const moves = data.hand_overs.some((/** @type {any} */ { status }) => status === "accepted");
      if (moves) timer = setTimeout(read, PAUSE);
    } catch (error) {
      tellError(error);
    }
  };
  reading.push(read());
  onDispose(() => clearTimeout(timer));

  /** @param {any} offer @param {"accept" | "decline"} answer */
  async function reply(offer, answer) {
    const values = { name: offer.from.username, what: figuresText(offer.going) };
    if (!(await confirmed(t(`handover.${answer}_question`, values), t(`handover.${answer}`)))) return;
    await ask("POST", `/hand-overs/${offer.id}/${answer}`).catch(tellError);
    read();
  }
  const row = (/** @type {any} */ offer) => {
    const { status, going, moved, staying } = offer;
    const time = timeText(offer.ended_at ?? offer.answered_at ?? offer.expires_at);
    const things = (/** @type {any} */ figures) => (figures ? figures.personas + figures.media : 0);
    const progress = things(moved) / Math.max(1, things(moved) + things(going));
    return h(
      "li",
      { class: "stack" },
      h("strong", {}, t("handover.from", { name: offer.from.username })),
      h("span", {}, t(`handover.${status}`, { time })),
      h("span", { class: "mute" }, figuresText(status === "pending" ? going : moved)),
      things(staying) > 0 &&
        h("span", { class: "mute" }, t("handover.staying", { what: figuresText(staying) })),
      status === "accepted" && threads(() => ({ progress })),
      status === "pending" && h(
        "div",
        { class: "row" },
        h(
          "button",
          { type: "button", class: "button", onclick: () => reply(offer, "accept") },
          t("handover.accept"),
        ),
        h(
          "button",
          { type: "button", class: "button quiet", onclick: () => reply(offer, "decline") },
          t("handover.decline"),
        ),
      ),
    );
  };
  return () =>
    found().length > 0 && h(
      "fieldset",
      {},
      h("legend", {}, t("handover.mine")),
      h("ul", { class: "plain" }, found().map(row)),
    );
}
