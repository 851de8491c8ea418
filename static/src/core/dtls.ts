/** DTLS client and server roles of a connection: `a=setup` (RFC 8842 §5). */

/** DTLS role: `active` is the client, `passive` the server. An offer leaves the choice to the answer. */
export type Setup = 'active' | 'passive';

const SETUP = /^a=setup:(active|passive)\r?$/m;
const SETUPS = /^a=setup:(?:active|passive)(\r?)$/gm;

/** Returns the role in an answer; `undefined` if it names none. */
export function setupOf({ sdp }: RTCSessionDescriptionInit): Setup | undefined {
  return SETUP.exec(sdp ?? '')?.[1] as Setup | undefined;
}

/** Returns the role of the other side. */
export function opposite(setup: Setup): Setup {
  return setup === 'active' ? 'passive' : 'active';
}

/** Returns the answer with this role on every m-line. */
export function withSetup({ type, sdp }: RTCSessionDescriptionInit, setup: Setup): RTCSessionDescriptionInit {
  return { type, sdp: (sdp ?? '').replace(SETUPS, `a=setup:${setup}$1`) };
}
