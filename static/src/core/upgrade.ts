/** Detects that the server's version differs from the page's. */
export class Upgrade {
  readonly #own: string | undefined;
  #seen: string | undefined;

  /** @param own the page's version; `undefined` if it has none to compare */
  constructor(own: string | undefined) {
    this.#own = own;
  }

  /**
   * Handles the version in a `welcome`. Returns whether the user should reload the page. Never `true` for the first
   * `welcome`: the page has just been loaded, and reloading would not bring a newer one.
   */
  welcome(version: string): boolean {
    const before = this.#seen;
    this.#seen = version;
    return before !== undefined && before !== version && this.#own !== undefined && version !== this.#own;
  }
}
