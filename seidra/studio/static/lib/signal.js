/**
 * Values that are watched: who reads a signal inside an effect is run again when it changes.
 *
 * @module
 */

/** @typedef {{ alive: boolean, sources: Set<Set<Observer>>, owned: Array<() => void>, run(): void }} Observer */

/**
 * @template T
 * @typedef {{ (): T, peek(): T, set(value: T): void, update(change: (value: T) => T): void }} Signal
 */

/** @type {Observer | null} */
let observer = null;

/** @type {Array<() => void> | null} */
let owner = null;

/**
 * A value that is read by calling it; `set` tells those who read it.
 *
 * @template T
 * @param {T} initial
 * @returns {Signal<T>}
 */
export function signal(initial) {
  let value = initial;
  /** @type {Set<Observer>} */
  const observers = new Set();
  const read = () => {
    if (observer) {
      observers.add(observer);
      observer.sources.add(observers);
    }
    return value;
  };
  read.peek = () => value;
  /** @param {T} next */
  read.set = (next) => {
    if (Object.is(next, value)) return;
    value = next;
    for (const each of [...observers]) if (each.alive) each.run();
  };
  /** @param {(value: T) => T} change */
  read.update = (change) => read.set(change(value));
  return read;
}

/**
 * Run `action` now, and again whenever a signal that it read changes. What it owns (effects, and what
 * `onDispose` was told) ends before each new run.
 *
 * @param {() => void} action
 * @returns {() => void} ends it
 */
export function effect(action) {
  /** @type {Observer} */
  const self = {
    alive: true,
    sources: new Set(),
    owned: [],
    run() {
      release(self);
      const [watching, owning] = [observer, owner];
      [observer, owner] = [self, self.owned];
      try {
        action();
      } finally {
        [observer, owner] = [watching, owning];
      }
    },
  };
  const dispose = () => {
    self.alive = false;
    release(self);
  };
  owner?.push(dispose);
  self.run();
  return dispose;
}

/** @param {Observer} self */
function release(self) {
  for (const observers of self.sources) observers.delete(self);
  self.sources.clear();
  for (const end of self.owned.splice(0)) end();
}

/**
 * A signal that follows from others.
 *
 * @template T
 * @param {() => T} calculate
 * @returns {Signal<T>}
 */
export function computed(calculate) {
  const result = signal(/** @type {T} */ (undefined));
  effect(() => result.set(calculate()));
  return result;
}

/**
 * Read signals without following them.
 *
 * @template T
 * @param {() => T} action
 * @returns {T}
 */
export function untracked(action) {
  const watching = observer;
  observer = null;
  try {
    return action();
  } finally {
    observer = watching;
  }
}

/**
 * Own what `action` begins, until `dispose` is called.
 *
 * @template T
 * @param {() => T} action
 * @returns {{ value: T, dispose: () => void }}
 */
export function scope(action) {
  /** @type {Array<() => void>} */
  const owned = [];
  const [watching, owning] = [observer, owner];
  [observer, owner] = [null, owned];
  try {
    return { value: action(), dispose: () => owned.splice(0).forEach((end) => end()) };
  } finally {
    [observer, owner] = [watching, owning];
  }
}

/**
 * Call `end` when what owns the caller ends.
 *
 * @param {() => void} end
 */
export function onDispose(end) {
  owner?.push(end);
}
