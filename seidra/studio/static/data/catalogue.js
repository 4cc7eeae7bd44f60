/** What the engines have, as it was last seen. @module */
import { signal } from "../lib/signal.js";
import { ask } from "./api.js";

/** @returns {Promise<any[]>} */
export const readEngines = () => ask("GET", "/engines").then(({ data }) => data);

/**
 * The names of a kind that an engine has.
 *
 * @param {string} engine
 * @param {"model" | "lora" | "scheduler"} kind
 * @returns {Promise<string[]>}
 */
export async function readNames(engine, kind) {
  const { data } = await ask("GET", `/engines/${encodeURIComponent(engine)}/catalogue?kind=${kind}`);
  return data.items.map((/** @type {any} */ item) => item.name);
}

/** @type {Promise<any> | null} */
let instance = null;

/** What the instance is and lets one do; asked once. @returns {Promise<any>} */
export function readInstance() {
  instance ??= ask("GET", "/instance").then(({ data }) => data);
  instance.catch(() => (instance = null));
  return instance;
}

/** Counts the changes of many things at once, after which figures are asked for anew. */
export const libraryChanges = signal(0);
