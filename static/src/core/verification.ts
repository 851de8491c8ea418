/**
 * Safety codes that this person has compared, and changes to them since then. The fingerprints are stored, not the
 * code: another certificate with the same fingerprint is far harder to find than one with the same code.
 */

import { lookOf } from './names';

/** A person with the certificates of the connection to that person. */
export interface Identified {
  readonly id: string;
  readonly name: string;
  /** See `fingerprintsOf`. */
  readonly fingerprints?: string | undefined;
}

/** A code that was compared and found to be the same. */
export type Comparison = Identified & { readonly fingerprints: string };

/** The page's own certificate in a room, and the comparisons made with it. */
export interface Identity {
  readonly certificate: RTCCertificate;
  /** Comparisons from before a reload of the page. */
  readonly comparisons: readonly Comparison[];
  /** Stores the comparisons for the next reload. */
  readonly save: (comparisons: readonly Comparison[]) => void;
  /** Deletes the certificate and the comparisons. */
  readonly end: () => void;
}

/** Maximum number of stored comparisons. */
const MAX_COMPARISONS = 200;

/** The comparisons of one session, which lasts until `end`. */
export class Verification {
  /** The page's own certificate, used for all connections of the session. */
  readonly certificate: RTCCertificate;
  readonly #identity: Identity;
  #comparisons: readonly Comparison[];
  /** Ids of those whose code has changed, until it is compared again. */
  readonly #changed = new Set<string>();

  constructor(identity: Identity) {
    this.certificate = identity.certificate;
    this.#identity = identity;
    this.#comparisons = identity.comparisons;
  }

  /** Finds changed codes among everybody in the room. */
  check(people: readonly Identified[]): void {
    for (const person of people) if (this.#differs(person, people)) this.#changed.add(person.id);
  }

  /** Returns what is known of a person's present code. A code counts for the name under which it was compared. */
  statusOf({ id, name, fingerprints }: Identified): 'compared' | 'changed' | undefined {
    if (this.#changed.has(id)) return 'changed';
    return this.#fingerprintsBy('name', name).has(fingerprints) ? 'compared' : undefined;
  }

  /** Remembers a code that was compared. */
  confirm(comparison: Comparison): void {
    this.#changed.delete(comparison.id);
    this.#comparisons = [comparison, ...this.#comparisons].slice(0, MAX_COMPARISONS);
    this.#identity.save(this.#comparisons);
  }

  /** Forgets everything: the next session has another certificate. */
  end(): void {
    this.#identity.end();
  }

  #fingerprintsBy(key: 'id' | 'name', value: string): ReadonlySet<string | undefined> {
    const form = key === 'name' ? lookOf : (text: string) => text;
    const known = this.#comparisons.filter((comparison) => form(comparison[key]) === form(value));
    return new Set(known.map(({ fingerprints }) => fingerprints));
  }

  /** Compares by id and by name, because a person may have another id after a reload. Both must match if known. */
  #differs({ id, name, fingerprints }: Identified, people: readonly Identified[]): boolean {
    if (fingerprints === undefined) return false;
    const byId = this.#fingerprintsBy('id', id);
    if (byId.size > 0 && !byId.has(fingerprints)) return true;
    const byName = this.#fingerprintsBy('name', name);
    if (byName.size === 0 || byName.has(fingerprints)) return false;
    // If two people have the same name, the other one may be the person who was compared.
    return !people.some((other) => lookOf(other.name) === lookOf(name) && byName.has(other.fingerprints));
  }
}
