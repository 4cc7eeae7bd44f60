/** For administrators: who is invited, and what is handed over from one account to another. @module */
import { h } from "../lib/element.js";
import { t, timeText } from "../lib/i18n.js";
import { signal } from "../lib/signal.js";
import { ask } from "../data/api.js";
import { confirmed, tellError, toast } from "../parts/dialog.js";
import { choice, field, form } from "../parts/field.js";
import { openForm, secretBox } from "./forms.js";
import { figuresText } from "./limits.js";
import { pagedList, readAll } from "./paged.js";

/** Invitations: the list, and a form that makes one. */
export function invitations() {
  const { found, reload, more } = pagedList(() => "/admin/invitations", "invitations", 20);
  const made = signal(/** @type {{ url: string, until: string } | null} */ (null));
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  const email = h("input", { type: "email", autocomplete: "off" });
  const days = h("input", { type: "number", min: 1, max: 30, value: "7", required: true });
  const note = h("input", { type: "text" });
  async function invite() {
    const body = { email: email.value || null, days: Number(days.value), note: note.value };
    const { data } = await ask("POST", "/admin/invitations", { body });
    made.set({ url: new URL(data.url, location.href).href, until: data.expires_at });
    email.value = note.value = "";
    reload();
  }
  /** @param {any} invitation @param {string} name */
  async function takeBack(invitation, name) {
    if (!(await confirmed(t("invitations.question", { name }), t("invitations.take_back")))) return;
    await ask("DELETE", `/admin/invitations/${invitation.id}`).catch(tellError);
    made.set(null);
    reload();
  }
  const row = (/** @type {any} */ invitation) => {
    const { status, note: said, email: whose, used_by: name, expires_at: until } = invitation;
    const title = said || whose || t("invitations.anybody");
    return h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, title),
        said && whose && h("span", {}, whose),
        h(
          "span",
          { class: "mute" },
          t(`invitations.${status}`, { name: name ?? "?", time: timeText(until) }),
        ),
      ),
      status === "open" && h(
        "button",
        {
          class: "button quiet",
          "aria-label": `${t("invitations.take_back")}: ${title}`,
          onclick: () => takeBack(invitation, title),
        },
        t("invitations.take_back"),
      ),
    );
  };
  return h(
    "section",
    {},
    h("h2", {}, () => t("invitations")),
    () =>
      made() && h(
        "div",
        { class: "banner", role: "status" },
        h("p", {}, t("invitations.made", { time: timeText(made()?.until) })),
        h("div", { class: "row" }, secretBox(() => made()?.url ?? "")),
      ),
    h("ul", { class: "job-list" }, () => found().map(row)),
    more,
    form(
      { class: "narrow" },
      invite,
      errors,
      h(
        "fieldset",
        {},
        h("legend", {}, () => t("invitations.new")),
        h("p", { class: "mute" }, () => t("invitations.words")),
        field({
          name: "email",
          label: () => t("email"),
          input: email,
          errors,
          hint: () => t("invitations.email_hint"),
        }),
        field({ name: "days", label: () => t("invitations.days"), input: days, errors }),
        field({ name: "note", label: () => t("invitations.note"), input: note, max: 200, errors }),
        h("button", { class: "button", type: "submit" }, () => t("invitations.make")),
      ),
    ),
  );
}

/** What was offered to whom, and what became of it. @param {ReturnType<typeof pagedList>} list */
export function handOvers({ found, reload, more }) {
  /** @param {any} offer */
  async function withdraw(offer) {
    const question = t("handover.withdraw_question", { from: offer.from.username, to: offer.to.username });
    if (!(await confirmed(question, t("handover.withdraw")))) return;
    await ask("DELETE", `/admin/hand-overs/${offer.id}`).catch(tellError);
    reload();
  }
  const row = (/** @type {any} */ offer) => {
    const title = `${offer.from.username} → ${offer.to.username}`;
    const time = timeText(offer.ended_at ?? offer.answered_at ?? offer.expires_at);
    return h(
      "li",
      { class: "job wraps" },
      h(
        "div",
        { class: "job-words" },
        h("strong", {}, title),
        h("span", {}, t(`handover.${offer.status}`, { time })),
        h(
          "span",
          { class: "mute" },
          figuresText(offer.status === "completed" ? offer.moved : offer.going ?? offer.moved),
        ),
      ),
      offer.status === "pending" && h(
        "button",
        {
          class: "button quiet",
          "aria-label": `${t("handover.withdraw")}: ${title}`,
          onclick: () => withdraw(offer),
        },
        t("handover.withdraw"),
      ),
    );
  };
  return () =>
    found().length > 0 && h(
      "section",
      {},
      h("h2", {}, t("handover")),
      h("ul", { class: "job-list" }, found().map(row)),
      more,
    );
}

/**
 * Offer what an account has to another one; resolves to whether it was.
 *
 * @param {any} account
 */
export async function offerHandOver(account) {
  const errors = signal(/** @type {Record<string, string[]>} */ ({}));
  let others;
  try {
    others = (await readAll("/admin/users", "users"))
      .filter(({ id, is_active: active, username }) => id !== account.id && active && username !== "system");
  } catch (error) {
    tellError(error);
    return false;
  }
  const to = choice(others.map(({ id, username }) => [String(id), () => username]), { required: true });
  const offer = () =>
    ask("POST", `/admin/users/${account.id}/hand-over`, { body: { to: Number(to.value), what: "all" } });
  const sent = await openForm(
    t("handover.title", { name: account.username }),
    t("handover.offer"),
    offer,
    errors,
    h("p", {}, t("handover.words")),
    h("p", { class: "mute" }, figuresText({ personas: account.personas, media: account.media })),
    field({ name: "to", label: () => t("handover.to"), input: to, errors }),
  );
  if (sent) toast(t("handover.offered"));
  return sent;
}
