/** Fingerprints of DTLS certificates (RFC 8122 §5), which identify the two ends of a connection. */

/**
 * Returns the only fingerprint of a description, for example `sha-256 AB:CD:…`; `undefined` if it has none, several
 * different ones, or a malformed one. Lines end at CR and LF only: in a regular expression, `^` also matches after
 * U+2028, where no browser begins a line.
 */
export function fingerprintOf(sdp = ''): string | undefined {
  const lines = sdp.split(/[\r\n]+/).filter((line) => /^\s*a\s*=\s*fingerprint/i.test(line));
  const found = new Set(lines.map(normalized));
  return found.size === 1 ? [...found][0] : undefined;
}

/**
 * Returns the fingerprints of both ends, in the same order at both; `undefined` without a certificate, and in an
 * insecure context, which has no Web Cryptography.
 *
 * @param local the local description, as this browser wrote it
 * @param certificate the remote certificate (DER), as DTLS has verified it
 */
export async function fingerprintsOf(
  local: string | undefined,
  certificate: ArrayBuffer,
): Promise<string | undefined> {
  const { subtle } = globalThis.crypto as Partial<Crypto>;
  const own = fingerprintOf(local);
  const digest = await subtle?.digest('SHA-256', certificate);
  if (own === undefined || digest === undefined) return undefined;
  const bytes = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0'));
  return [own, `sha-256 ${bytes.join(':').toUpperCase()}`].sort().join('\n');
}

function normalized(line: string): string | undefined {
  const [, hash = '', value = ''] = /^a=fingerprint:(\S+) ([0-9A-F:]+)\s*$/i.exec(line) ?? [];
  return value === '' ? undefined : `${hash.toLowerCase()} ${value.toUpperCase()}`;
}
