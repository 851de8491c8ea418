/** What connections say of one STUN or TURN server. */
import type { IceServer } from '../protocol/messages';
import type { Clock } from './clock';
import type { MediaFactory } from './peer';

const GATHER_MS = 8_000;
const PASS_MS = 8_000;

interface Tools {
  readonly media: Pick<MediaFactory, 'newPeerConnection'>;
  readonly clock: Clock;
}

/** What came of asking a server. */
export interface Gathered {
  /** `host/udp`, `srflx/udp`, `relay/udp`… */
  readonly candidates: ReadonlySet<string>;
  /** How many addresses of its own the browser asked from. */
  readonly hosts: number;
  /** Code and text of each error (W3C WebRTC §4.8.2). */
  readonly errors: readonly string[];
}

/** Gathers candidates from one server; a relay's first one is enough. */
export function gather({ media, clock }: Tools, server: IceServer): Promise<Gathered> {
  return new Promise((resolve) => {
    const candidates = new Set<string>();
    const errors: string[] = [];
    let hosts = 0;
    let pc: RTCPeerConnection;
    try {
      pc = media.newPeerConnection({ iceServers: [server] });
    } catch (error) {
      resolve({ candidates, hosts, errors: [String(error)] });
      return;
    }
    const end = (): void => {
      clock.clearTimeout(timer);
      pc.onicecandidate = pc.onicecandidateerror = null;
      pc.close();
      resolve({ candidates, hosts, errors });
    };
    const timer = clock.setTimeout(end, GATHER_MS);
    pc.onicecandidate = ({ candidate }) => {
      if (candidate === null) {
        end();
        return;
      }
      if (candidate.candidate === '') return;
      candidates.add(`${candidate.type ?? ''}/${candidate.protocol ?? ''}`);
      if (candidate.type === 'host' && candidate.protocol === 'udp') hosts += 1;
      if (candidate.type === 'relay') end();
    };
    pc.onicecandidateerror = ({ errorCode, errorText }) => {
      errors.push(`${errorCode} ${errorText}`);
    };
    pc.createDataChannel('check');
    pc.setLocalDescription().catch(end);
  });
}

/** Whether bytes go from one connection to another, both by this relay alone. */
export async function passThrough({ media, clock }: Tools, server: IceServer): Promise<boolean> {
  const configuration: RTCConfiguration = { iceServers: [server], iceTransportPolicy: 'relay' };
  const [one, other] = [media.newPeerConnection(configuration), media.newPeerConnection(configuration)];
  let timer: number | undefined;
  try {
    return await new Promise<boolean>((resolve, reject) => {
      timer = clock.setTimeout(() => {
        resolve(false);
      }, PASS_MS);
      const channel = { negotiated: true, id: 0 };
      const [speaks, hears] = [
        one.createDataChannel('check', channel),
        other.createDataChannel('check', channel),
      ];
      speaks.onopen = () => {
        speaks.send('check');
      };
      hears.onmessage = () => {
        resolve(true);
      };
      const ready = introduce(one, other);
      ready.catch(reject);
      for (const [from, to] of [
        [one, other],
        [other, one],
      ] as const) {
        from.onicecandidate = ({ candidate }) => {
          // One that is not taken is one fewer.
          if (candidate) void ready.then(() => to.addIceCandidate(candidate)).catch(() => undefined);
        };
      }
    });
  } catch {
    return false;
  } finally {
    clock.clearTimeout(timer);
    one.close();
    other.close();
  }
}

async function introduce(one: RTCPeerConnection, other: RTCPeerConnection): Promise<void> {
  await one.setLocalDescription();
  if (one.localDescription) await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  if (other.localDescription) await one.setRemoteDescription(other.localDescription);
}
