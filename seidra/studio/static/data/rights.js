/** What the account may do, asked for where it is first needed. @module */
import { signal } from "../lib/signal.js";
import { ask } from "./api.js";
import { userId } from "./session.js";

const sharing = signal(true);
let asked = /** @type {number | null} */ (null);

/** Whether the account may share things. Until that is known it may: the server decides. */
export function mayShare() {
  const id = userId();
  if (id !== null && id !== asked) {
    asked = id;
    ask("GET", "/auth/me").then(({ data }) => sharing.set(data.limits.may_share), () => {});
  }
  return sharing();
}
