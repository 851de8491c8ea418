/**
 * A safety code for two people: both see the same pictures exactly where their browsers talk to each other
 * and nobody sits between. DTLS proves that the other end has the key of the certificate whose fingerprint
 * stands in its description (RFC 8122 §5, RFC 8827 §6.5); the descriptions come through the server, which could
 * have put in its own. So the code is made of both fingerprints, and the two compare it by voice.
 *
 * Ten pictures out of 64 are 60 bits. Somebody in between may choose both of the keys it shows, and looks
 * for two that give the same code to both sides: about 2^30 tries for each, while both wait for
 * the call to connect. Each try is made as slow as 2^19 rounds of HMAC-SHA-256 (about 2^20 hashes, RFC 8018 §5.2), together
 * some 2^51: days for a graphics card, when people wait seconds. Without the rounds it would be a second. To hit
 * one code that stands already takes 2^60 tries. Browsers make a new key for each connection, so nothing
 * can be computed in advance.
 */

/** Which of the 64 pictures, one after the other. */
export type SafetyCode = readonly number[];

/** How many pictures a code has. */
export const SAFETY_PICTURES = 10;
const BITS_PER_PICTURE = 6;
const ROUNDS = 2 ** 19;
const SALT = 'roundtable safety code 1';

/** The code of two descriptions; `undefined` where they do not have one fingerprint each, or it cannot be computed. */
export async function safetyCode(
  local: string | undefined,
  remote: string | undefined,
): Promise<SafetyCode | undefined> {
  // Browsers have no `subtle` in an insecure context.
  const { subtle } = globalThis.crypto as Partial<Crypto>;
  const own = fingerprintOf(local);
  const other = fingerprintOf(remote);
  if (own === undefined || other === undefined || subtle === undefined) return undefined;
  const bytes = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);
  // Sorted, so that it does not matter whose is whose.
  const secret = bytes([own, other].sort().join('\n'));
  const key = await subtle.importKey('raw', secret, 'PBKDF2', false, ['deriveBits']);
  const algorithm = { name: 'PBKDF2', hash: 'SHA-256', salt: bytes(SALT), iterations: ROUNDS };
  const bits = [...new Uint8Array(await subtle.deriveBits(algorithm, key, 64))]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  return Array.from({ length: SAFETY_PICTURES }, (_, index) =>
    parseInt(bits.slice(index * BITS_PER_PICTURE, (index + 1) * BITS_PER_PICTURE), 2),
  );
}

/** The one fingerprint of a description (RFC 8122 §5). Several different ones would leave open which of them counts. */
export function fingerprintOf(sdp: string | undefined): string | undefined {
  const found = new Set(
    [...(sdp ?? '').matchAll(/^a=fingerprint:(\S+) (\S+)\s*$/gim)].map(
      ([, hash = '', value = '']) => `${hash.toLowerCase()} ${value.toUpperCase()}`,
    ),
  );
  return found.size === 1 ? [...found][0] : undefined;
}
