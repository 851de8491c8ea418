/**
 * Safety codes that this person has compared, and changes to them since then. The fingerprints are stored, not the
 * code: another certificate with the same fingerprint is far harder to find than one with the same code.
 */

import { lookOf } from './names';
import type { Person } from './types';

/** A person with the certificates of the connection to that person. */
export interface Identified {
  readonly id: string;
  readonly name: string;
  /** See `fingerprintsOf`. */
  readonly fingerprints?: string | undefined;
}

/** A code that was compared and found to be the same. */
export type Comparison = Identified & {
  readonly fingerprints: string;
  /** Another one was seen since, of this id or name. */
  readonly changed?: boolean;
};

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

  constructor(identity: Identity) {
    this.certificate = identity.certificate;
    this.#identity = identity;
    this.#comparisons = identity.comparisons;
  }

  /** Finds changed codes among everybody in the room. */
  check(people: readonly Identified[]): void {
    const found = people.filter((person) => this.#differs(person, people));
    const isNew = (each: Comparison): boolean => !each.changed && found.some((person) => isOf(each, person));
    if (!this.#comparisons.some(isNew)) return;
    this.#save(this.#comparisons.map((each) => (isNew(each) ? { ...each, changed: true } : each)));
  }

  /** Returns the names of those whose code has changed and who are not among `people`. */
  changedBeyond(people: readonly Identified[]): readonly string[] {
    const absent = this.#comparisons.filter(
      (each) => each.changed && !people.some((person) => isOf(each, person)),
    );
    return [...new Set(absent.map(({ name }) => name))];
  }

  /** Returns what is known of a person's present code. A code counts for the name under which it was compared. */
  statusOf(person: Identified): Person['safety'] {
    if (this.#comparisons.some((each) => each.changed && isOf(each, person))) return 'changed';
    const known = this.#fingerprintsBy('name', person.name);
    if (known.has(person.fingerprints)) return 'compared';
    return known.size > 0 && person.fingerprints !== undefined ? 'other' : undefined;
  }

  /** Remembers a code that was compared, and ends the warning about this person, but not about another name. */
  confirm({ id, name, fingerprints }: Comparison): void {
    const before = this.#comparisons.map((each) => {
      if (lookOf(each.name) === lookOf(name)) return { ...each, changed: false };
      return each.changed && each.id === id ? { ...each, id: '' } : each;
    });
    this.#save([{ id, name, fingerprints }, ...before].slice(0, MAX_COMPARISONS));
  }

  /** Forgets everything: the next session has another certificate. */
  end(): void {
    this.#identity.end();
  }

  #save(comparisons: readonly Comparison[]): void {
    this.#comparisons = comparisons;
    this.#identity.save(comparisons);
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

/** Returns whether a comparison is of this person, by id or by name. */
function isOf(comparison: Comparison, { id, name }: Identified): boolean {
  return comparison.id === id || lookOf(comparison.name) === lookOf(name);
}
