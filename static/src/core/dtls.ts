/** Who is client and who is server of the DTLS below a connection: `a=setup` (RFC 8842 §5). */

/** Whether somebody calls (`active`) or is called; an offer leaves it to the answer. */
export type Setup = 'active' | 'passive';

const SETUP = /^a=setup:(active|passive)\r?$/m;
const SETUPS = /^a=setup:(?:active|passive)(\r?)$/gm;

/** The role that an answer takes; `undefined` where it says nothing. */
export function setupOf({ sdp }: RTCSessionDescriptionInit): Setup | undefined {
  return SETUP.exec(sdp ?? '')?.[1] as Setup | undefined;
}

/** The role that is left for the other side. */
export function opposite(setup: Setup): Setup {
  return setup === 'active' ? 'passive' : 'active';
}

/** The answer, with this role on every m-line. */
export function withSetup({ type, sdp }: RTCSessionDescriptionInit, setup: Setup): RTCSessionDescriptionInit {
  return { type, sdp: (sdp ?? '').replace(SETUPS, `a=setup:${setup}$1`) };
}
