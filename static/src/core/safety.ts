/**
 * Safety code for two people: both see the same pictures if and only if their browsers are connected to each other
 * without a third party in between. The code is derived from both certificates: the local one, and the remote one as
 * verified by DTLS (`connection.ts`). The session descriptions (SDP) also contain fingerprints, but they pass through
 * the server, which can change them. The two people compare the code by voice.
 *
 * Work factor: fifteen pictures out of 64 are 90 bits. An attacker in the middle may choose both certificates that it
 * presents, and so searches for a collision: about 2^45 candidates for each side. Each candidate costs 2^19 rounds of
 * HMAC-SHA-256, which are 2^20 hashes (RFC 8018 §5.2), so 2^66 in total. A graphics card that computes 2^34 hashes
 * per second takes 136 years. The available time is from the first contact of the two certificates (`identity.ts`) to
 * the comparison. To match an existing code takes 2^90 candidates.
 */

/** Indices of the pictures, each out of 64. */
export type SafetyCode = readonly number[];

/** Number of pictures in a code. */
export const SAFETY_PICTURES = 15;
const BITS_PER_PICTURE = 6;
const ROUNDS = 2 ** 19;
const SALT = 'roundtable safety code 2';

/** Computes the code of two certificates; see `fingerprintsOf`. It takes some tenths of a second. */
export async function safetyCode(fingerprints: string): Promise<SafetyCode> {
  const { subtle } = crypto;
  const bytes = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);
  const key = await subtle.importKey('raw', bytes(fingerprints), 'PBKDF2', false, ['deriveBits']);
  const algorithm = { name: 'PBKDF2', hash: 'SHA-256', salt: bytes(SALT), iterations: ROUNDS };
  const bits = [...new Uint8Array(await subtle.deriveBits(algorithm, key, 256))]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  return Array.from({ length: SAFETY_PICTURES }, (_, index) =>
    parseInt(bits.slice(index * BITS_PER_PICTURE, (index + 1) * BITS_PER_PICTURE), 2),
  );
}
