/**
 * Pre-join connectivity check. It joins a random room, which proves the whole signaling path and returns the ICE
 * servers, and leaves it again. Then it gathers relay candidates only.
 */
import type { ErrorCode, IceServer } from '../protocol/messages';
import { Diagnosis, type DiagnosisOptions } from './diagnosis';
import type { MediaFactory } from './peer';
import { parse } from './session';
import type { Socket } from './signaling';
import type { PathReport } from './types';

const SIGNALING_MS = 8_000;
const RELAY_MS = 8_000;

/** Options of `checkPath`. */
export interface PathOptions extends DiagnosisOptions {
  /** Returns the WebSocket URL of a room. */
  readonly socketUrl: (room: string) => string;
  readonly connect: (url: string) => Socket;
  readonly media: MediaFactory;
  /** As in `SignalingOptions`. */
  readonly proof?: (() => Promise<string | undefined>) | undefined;
}

/** Checks what will work and what will not. Never rejects. */
export async function checkPath(options: PathOptions): Promise<PathReport> {
  const servers = await askIceServers(options);
  if (servers === undefined) {
    const diagnosis = new Diagnosis(options);
    return new Promise((resolve) => {
      void diagnosis.ask((failure) => {
        resolve({ state: 'failed', failure });
      });
    });
  }
  if (servers === 'origin_not_allowed') return { state: 'failed', failure: { code: 'origin_refused' } };
  if (await areApart(options)) return { state: 'apart' };
  if (typeof servers === 'string') return { state: 'ready', relay: 'unknown' };
  const relays = servers.filter(({ urls }) => urls.some((url) => /^turns?:/.test(url)));
  if (relays.length === 0) return { state: 'ready', relay: 'none' };
  return { state: 'ready', relay: (await reachRelay(options, relays)) ? 'reached' : 'unreachable' };
}

/** Loads the check on demand. If that fails, the result is unknown and joining is allowed. */
async function areApart(options: PathOptions): Promise<boolean> {
  try {
    const { areServersApart } = await import('./servers');
    return await areServersApart(options, `check-${options.media.newPair()}`);
  } catch {
    return false;
  }
}

/**
 * Returns the ICE servers that members receive (R7); an error code if the server rejects the join, or `undefined` if
 * signaling cannot be reached.
 */
export function askIceServers(
  options: Omit<PathOptions, 'fetch' | 'checkUrl'>,
): Promise<readonly IceServer[] | ErrorCode | undefined> {
  const { socketUrl, connect, media, clock } = options;
  return new Promise((resolve) => {
    const proof = options.proof?.();
    let socket: Socket;
    try {
      socket = connect(socketUrl(`check-${media.newPair()}`));
    } catch {
      resolve(undefined);
      return;
    }
    const end = (servers?: readonly IceServer[] | ErrorCode): void => {
      clock.clearTimeout(timer);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      resolve(servers);
    };
    const timer = clock.setTimeout(end, SIGNALING_MS);
    const join = (proof?: string): void => {
      // Ignore a proof that arrives after the end.
      if (socket.onopen) socket.send(JSON.stringify({ type: 'join', name: 'path check', proof }));
    };
    socket.onopen = () => {
      if (proof) void proof.then(join);
      else join();
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = parse(data);
      if (message?.type === 'welcome') {
        socket.send(JSON.stringify({ type: 'leave' }));
        end(message.ice_servers);
      } else if (message?.type === 'error') {
        // The server answers but does not allow this join, so the relay stays unknown.
        end(message.code);
      }
    };
    socket.onclose = () => {
      end();
    };
  });
}

/** Returns whether a relay candidate (RFC 8656 §7) is gathered in time. */
function reachRelay({ media, clock }: PathOptions, relays: readonly IceServer[]): Promise<boolean> {
  return new Promise((resolve) => {
    let pc: RTCPeerConnection;
    try {
      pc = media.newPeerConnection({ iceServers: [...relays], iceTransportPolicy: 'relay' });
    } catch {
      resolve(false);
      return;
    }
    const end = (reached: boolean): void => {
      clock.clearTimeout(timer);
      pc.onicecandidate = null;
      pc.close();
      resolve(reached);
    };
    const timer = clock.setTimeout(() => {
      end(false);
    }, RELAY_MS);
    pc.onicecandidate = ({ candidate }) => {
      // `null` marks the end of gathering; with the policy `relay` there are only relay candidates (RFC 8829 §3.5.3).
      if (candidate === null) end(false);
      else if (candidate.candidate !== '') end(true);
    };
    pc.createDataChannel('check');
    pc.setLocalDescription().catch(() => {
      end(false);
    });
  });
}
