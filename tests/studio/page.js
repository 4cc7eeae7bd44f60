/**
 * What modules of the studio ask of a browser, as far as they are tested without one: storage, an
 * address, a channel, and a server whose answers a test gives.
 *
 * @module
 */

/** @param {Map<string, string>} kept */
const storage = (kept = new Map()) => ({
  getItem: (/** @type {string} */ name) => kept.get(name) ?? null,
  setItem: (/** @type {string} */ name, /** @type {string} */ value) => void kept.set(name, String(value)),
  removeItem: (/** @type {string} */ name) => void kept.delete(name),
});

const listeners = /** @type {Map<string, Array<(event: any) => void>>} */ (new Map());

/** Tell what a browser would tell of. @param {string} type @param {any} event */
export const tell = (type, event) => (listeners.get(type) ?? []).forEach((hear) => hear(event));

const listening = {
  addEventListener: (/** @type {string} */ type, /** @type {(event: any) => void} */ hear) =>
    listeners.set(type, [...(listeners.get(type) ?? []), hear]),
};

/** Every request that was sent. @type {Array<{ method: string, path: string, token: string | null, body: any }>} */
export const sent = [];

/** @typedef {{ status?: number, body?: any, headers?: Record<string, string> } | Error} Given */

/** @type {(request: typeof sent[number]) => Given | Promise<Given>} */
let server = () => ({ status: 404 });

/** Answer requests so from now on. @param {typeof server} answers */
export function answer(answers) {
  server = answers;
  sent.length = 0;
}

const address = new URL("http://studio.example/seidra/personas?q=moon");
for (
  const [name, value] of Object.entries({
    location: Object.assign(address, { reload() {} }),
    history: { state: null, pushState() {}, replaceState() {} },
    localStorage: storage(),
    sessionStorage: storage(),
    document: { documentElement: {}, hidden: false, ...listening },
    addEventListener: listening.addEventListener,
    scrollTo() {},
    fetch: async (/** @type {string} */ url, /** @type {any} */ { method, headers, body }) => {
      const token = headers.Authorization?.replace("Bearer ", "") ?? null;
      const request = { method, path: url.split("/api")[1], token, body: body && JSON.parse(body) };
      sent.push(request);
      const given = await server(request);
      if (given instanceof Error) throw given;
      const { status = 200, body: data = null, headers: more = {} } = given;
      return new Response(data === null ? null : JSON.stringify(data), { status, headers: more });
    },
  })
) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });

/** Run with timers that do not wait; resolves to the milliseconds that were asked for. @param {() => Promise<any>} action */
export async function withoutWaiting(action) {
  const [waits, real] = [/** @type {number[]} */ ([]), globalThis.setTimeout];
  globalThis.setTimeout = /** @type {any} */ ((/** @type {() => void} */ run, /** @type {number} */ ms) => {
    waits.push(ms);
    return real(run, 0);
  });
  try {
    await action();
  } finally {
    globalThis.setTimeout = real;
  }
  return waits;
}

/** Raise unless two things are the same in JSON. @param {any} found @param {any} wanted @param {string} [of] */
export function same(found, wanted, of = "") {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${of} ${one} is not ${other}`);
}

/** Raise unless this raises; resolves to what it raised. @param {() => Promise<any>} action @returns {Promise<any>} */
export async function raised(action) {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was raised");
}
