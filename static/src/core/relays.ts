/** Tests a single STUN or TURN server with peer connections. */
import type { IceServer } from '../protocol/messages';
import type { Clock } from './clock';
import type { MediaFactory } from './peer';

const GATHER_MS = 8_000;
const PASS_MS = 8_000;

interface Tools {
  readonly media: Pick<MediaFactory, 'newPeerConnection'>;
  readonly clock: Clock;
}

/** Result of gathering candidates from one server. */
export interface Gathered {
  /** Candidate types and protocols: `host/udp`, `srflx/udp`, `relay/udp`… */
  readonly candidates: ReadonlySet<string>;
  /** Number of local addresses that the browser gathered from. */
  readonly hosts: number;
  /** Code and text of each error (W3C WebRTC §4.8.2). */
  readonly errors: readonly string[];
  /** Gathering is complete. */
  readonly ended: boolean;
  /** The relayed address, and this browser's address as the relay sees it. */
  readonly relayed?: string;
  readonly mapped?: string;
}

/** Gathers candidates from one server; stops at the first relay candidate. */
export function gather({ media, clock }: Tools, server: IceServer): Promise<Gathered> {
  return new Promise((resolve) => {
    const candidates = new Set<string>();
    const errors: string[] = [];
    let hosts = 0;
    let relay: Pick<Gathered, 'relayed' | 'mapped'> = {};
    let pc: RTCPeerConnection;
    try {
      pc = media.newPeerConnection({ iceServers: [server] });
    } catch (error) {
      resolve({ candidates, hosts, errors: [String(error)], ended: true });
      return;
    }
    const end = (ended: boolean): void => {
      clock.clearTimeout(timer);
      pc.onicecandidate = pc.onicecandidateerror = null;
      pc.close();
      resolve({ candidates, hosts, errors, ended, ...relay });
    };
    const timer = clock.setTimeout(() => {
      end(false);
    }, GATHER_MS);
    pc.onicecandidate = ({ candidate }) => {
      if (candidate === null) {
        end(true);
        return;
      }
      if (candidate.candidate === '') return;
      candidates.add(`${candidate.type ?? ''}/${candidate.protocol ?? ''}`);
      if (candidate.type === 'host' && candidate.protocol === 'udp') hosts += 1;
      if (candidate.type === 'relay') {
        relay = { relayed: candidate.address ?? '', mapped: candidate.relatedAddress ?? '' };
        end(true);
      }
    };
    pc.onicecandidateerror = ({ errorCode, errorText }) => {
      errors.push(`${errorCode} ${errorText}`);
    };
    pc.createDataChannel('check');
    pc.setLocalDescription().catch(() => {
      end(true);
    });
  });
}

/** Result of sending data through a relay. */
export interface Passage {
  readonly passes: boolean;
  /** As in `Gathered`. */
  readonly errors: readonly string[];
}

/**
 * Tests whether data passes between two connections through a relay. The second one is restricted to the relay, and
 * so is the first unless its policy is `all`.
 */
export async function passThrough(
  { media, clock }: Tools,
  server: IceServer,
  iceTransportPolicy: RTCIceTransportPolicy = 'relay',
): Promise<Passage> {
  const iceServers = [server];
  const one = media.newPeerConnection({ iceServers, iceTransportPolicy });
  const other = media.newPeerConnection({ iceServers, iceTransportPolicy: 'relay' });
  const errors: string[] = [];
  let timer: number | undefined;
  try {
    const passes = await new Promise<boolean>((resolve, reject) => {
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
        from.onicecandidateerror = ({ errorCode, errorText }) => {
          errors.push(`${errorCode} ${errorText}`);
        };
        let given = 0;
        from.onicecandidate = ({ candidate }) => {
          given += candidate?.candidate ? 1 : 0;
          if (candidate === null && given === 0) resolve(false);
          // A rejected candidate is simply one fewer.
          if (candidate) void ready.then(() => to.addIceCandidate(candidate)).catch(() => undefined);
        };
      }
    });
    return { passes, errors };
  } catch {
    return { passes: false, errors };
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
