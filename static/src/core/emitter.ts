/** Calls everyone who listens; `Events` maps each event's name to what it brings. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Listens until the returned function is called. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Calls the listeners in the order in which they came. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    // A copy: a listener may end itself or others meanwhile.
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      (listener as (event: Events[Name]) => void)(event);
    }
  }
}
