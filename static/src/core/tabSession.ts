/**
 * A tab's state in a room from the first join until leaving: its membership and the certificate of its connections.
 */
import type { Environment } from './environment';
import { type RejoinAs, rejoinAs, savedMembership } from './rejoin';
import type { TabMembership } from './tabMembership';
import type { Verification } from './verification';

type Opened = readonly [TabMembership | undefined, Verification | undefined];

/** A tab in a room. Without browser support it keeps nothing, and each join is that of a new member. */
export class TabSession {
  readonly #room: string;
  readonly #environment: Environment;
  /** Name and devices for rejoining without asking; set if this page was reloaded a moment after it ended. */
  readonly rejoinAs: RejoinAs | undefined;
  /** Set from the first `open` until `end`. */
  #opening: Promise<Opened> | undefined;
  #membership: TabMembership | undefined;
  #verification: Verification | undefined;

  constructor(room: string, environment: Environment) {
    const { session, tabMembership, reloaded, clock } = environment;
    this.#room = room;
    this.#environment = environment;
    if (session && tabMembership && reloaded)
      this.rejoinAs = rejoinAs(savedMembership(session, room), clock.now());
  }

  /** The certificate of all connections; `undefined` if each of them creates its own. */
  get verification(): Verification | undefined {
    return this.#verification;
  }

  /** Opens what is not open yet, then calls `ready` with the resume secret. */
  open(ready: (resume: string | undefined) => void): void {
    const { verification, tabMembership } = this.#environment;
    if ((!verification && !tabMembership) || this.#verification) {
      ready(this.#membership?.resume);
      return;
    }
    const opening = (this.#opening ??= this.#open());
    void opening.then((opened) => {
      if (this.#opening === opening) [this.#membership, this.#verification] = opened;
      ready(opened[0]?.resume);
    });
  }

  /** Stores the secret of a session that has begun. */
  keep(resume: string): void {
    this.#membership?.keep(resume);
  }

  /** Releases the membership for the next page of this tab. Returns whether there is one. */
  suspend(as: RejoinAs): boolean {
    this.#membership?.suspend(as);
    return this.#membership !== undefined;
  }

  /**
   * Claims the membership again after the browser has restored the page. Resolves with `false` if another page has
   * it.
   */
  async reclaim(): Promise<boolean> {
    return (await this.#membership?.reclaim()) !== false;
  }

  /** Makes the next join that of a new member. */
  forget(): void {
    this.#membership?.forget();
  }

  /** Ends the membership and the certificate, including those that are still being opened. */
  end(): void {
    const ended = this.#membership;
    ended?.end();
    void this.#opening?.then(([membership, verification]) => {
      if (membership !== ended) membership?.end();
      verification?.end();
    });
    this.#opening = undefined;
    this.#membership = undefined;
    this.#verification = undefined;
  }

  /**
   * Claims the membership before it opens the certificate: a page that cannot claim it must not use its certificate.
   */
  async #open(): Promise<Opened> {
    const { verification, tabMembership, report } = this.#environment;
    // Without a membership a reload joins as a new member; without a certificate each connection creates its own.
    const quietly = <T>(opening?: Promise<T>): Promise<T | undefined> | undefined =>
      opening?.catch((error: unknown) => {
        report(error);
        return undefined;
      });
    const membership = await quietly(tabMembership?.(this.#room));
    const mayOpen = membership !== undefined || !tabMembership;
    return [membership, mayOpen ? await quietly(verification?.(this.#room)) : undefined];
  }
}
