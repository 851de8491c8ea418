/** Notices that the server is another than the page was made for. */
export class Upgrade {
  readonly #own: string | undefined;
  #seen: string | undefined;

  /** @param own the page's version; `undefined` where it has none to compare */
  constructor(own: string | undefined) {
    this.#own = own;
  }

  /**
   * Takes the version of a `welcome`: whether the person should load the page anew. Not at the first one: the page has
   * just come then, and would come no newer.
   */
  welcome(version: string): boolean {
    const before = this.#seen;
    this.#seen = version;
    return before !== undefined && before !== version && this.#own !== undefined && version !== this.#own;
  }
}
