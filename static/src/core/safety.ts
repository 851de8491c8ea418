/**
 * A safety code for two people: both see the same pictures if and only if their browsers are connected to each other
 * without a third one between them. It is derived from both certificates: one's own, and the one that DTLS has verified
 * of the other end (`connection.ts`). The descriptions (SDP) name certificates too, but they come through the server,
 * which can change them. The two compare the code by voice.
 *
 * Work factor: fifteen pictures out of 64 are 90 bits. Whoever sits in between may choose both certificates that it
 * shows, and so looks for a collision: about 2^45 candidates for each side. Each candidate costs 2^19 rounds of
 * HMAC-SHA-256, which are 2^20 hashes (RFC 8018 §5.2), so 2^66 in all. A graphics card that computes 2^34 of them per
 * second takes 136 years. The time for it is from the first contact of the two certificates (`identity.ts`) to the
 * comparison. To match a code that stands already takes 2^90 candidates.
 */

/** Which of the 64 pictures, one after the other. */
export type SafetyCode = readonly number[];

/** How many pictures a code has. */
export const SAFETY_PICTURES = 15;
const BITS_PER_PICTURE = 6;
const ROUNDS = 2 ** 19;
const SALT = 'roundtable safety code 2';

/** Returns the code of two certificates; see `fingerprintsOf`. It takes some tenths of a second. */
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
