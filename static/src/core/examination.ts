/**
 * Looks for what is wrong between this browser and its meetings: the page's own origin, the way to the server, and
 * through each relay. `roundtable doctor` looks from elsewhere and finds by the same names (docs/DOCTOR.md).
 */
import type { Finding } from '../protocol/findings';
import type { IceServer } from '../protocol/messages';
import type { Address } from './address';
import { askCheck, refusalOf } from './diagnosis';
import type { Environment } from './environment';
import { askIceServers } from './path';
import { gather, passThrough } from './relays';

/** What a page can find. */
export type PageFinding = Extract<
  Finding,
  | 'plain_http'
  | 'webrtc_missing'
  | 'port_closed'
  | 'wrong_address'
  | 'server_down'
  | 'origin_refused'
  | 'limit_reached'
  | 'clock_skew'
  | 'upgrade_headers_missing'
  | 'stun_unreachable'
  | 'relay_unreachable'
  | 'relay_secret_wrong'
  | 'relay_refused'
  | 'relay_ports_closed'
  | 'devices_blocked'
  | 'devices_missing'
>;

/** What is looked at. */
export type LookName = 'secure' | 'webrtc' | 'server' | 'clock' | 'websocket' | 'stun' | 'relay' | 'devices';

/** One thing that was looked at. */
export interface Look {
  readonly look: LookName;
  /** A server's URL, where there is one for each. */
  readonly about?: string;
  /** What is wrong; absent where all is well. */
  readonly finding?: PageFinding;
  /** It could not be looked at. */
  readonly missed?: true;
  /** What was seen, for whoever runs the server; no secrets and no addresses of this browser. */
  readonly detail?: string;
}

/** Clocks may differ by so much: tokens and credentials bear it. */
const SKEW_MS = 30_000;
/** How many URLs are looked at. */
const URLS = 12;

/** What `examine` needs. */
export interface ExaminationOptions {
  readonly environment: Pick<Environment, 'connect' | 'fetch' | 'clock' | 'media'>;
  readonly address: Pick<Address, 'http' | 'socket'>;
  /** `isSecureContext` */
  readonly secure: boolean;
  /** Takes each look when it is over. */
  readonly tell: (look: Look) => void;
}

/** Looks at everything but the devices. Never rejects. */
export async function examine({ environment, address, secure, tell }: ExaminationOptions): Promise<void> {
  const { connect, media } = environment;
  tell({ look: 'secure', ...(!secure && { finding: 'plain_http' }) });
  const able = connect !== undefined && media !== undefined;
  tell({ look: 'webrtc', ...(!able && { finding: 'webrtc_missing' }) });
  if (!(await examineServer(environment, address, tell)) || !able) return;
  const servers = await askIceServers({ ...environment, connect, media, socketUrl: address.socket });
  tell({ look: 'websocket', ...(servers === undefined && { finding: 'upgrade_headers_missing' }) });
  if (servers === undefined) return;
  // Nobody comes into a room of their own making without a token.
  if (servers === 'unknown') tell({ look: 'relay', missed: true });
  else await examineRelays({ ...environment, media }, servers, tell);
}

/** Whether a server answers, and would take a WebSocket from this page (R76). */
async function examineServer(
  { fetch, clock }: ExaminationOptions['environment'],
  address: ExaminationOptions['address'],
  tell: ExaminationOptions['tell'],
): Promise<boolean> {
  const begun = clock.now();
  const answer = await askCheck(fetch, address.http('check'), clock);
  if (answer.kind === 'none') {
    tell({ look: 'server', finding: 'port_closed', detail: answer.detail });
    return false;
  }
  const { status, code, data } = answer;
  const detail = `HTTP ${status}${code === undefined ? '' : ` ${code}`}`;
  if (data?.name !== 'roundtable') {
    const refused = refusalOf(code);
    const finding =
      refused === 'origin_refused'
        ? refused
        : refused !== undefined
          ? 'limit_reached'
          : status >= 500
            ? 'server_down'
            : 'wrong_address';
    tell({ look: 'server', finding, detail });
    return false;
  }
  tell({ look: 'server', detail });
  const time = typeof data.time === 'string' ? Date.parse(data.time) : NaN;
  const skewMs = Math.max(begun - time, time - clock.now());
  // Of a time that is none nothing is said.
  if (!Number.isNaN(skewMs)) {
    const skewed = skewMs > SKEW_MS && `${Math.round(skewMs / 1_000)} s`;
    tell({ look: 'clock', ...(skewed !== false && { finding: 'clock_skew', detail: skewed }) });
  }
  return true;
}

type RelayTools = Parameters<typeof gather>[0];

async function examineRelays(
  tools: RelayTools,
  servers: readonly IceServer[],
  tell: ExaminationOptions['tell'],
): Promise<void> {
  const single = servers.flatMap((server) => server.urls.map((url) => ({ ...server, urls: [url] })));
  // All at once, as the slowest one takes as long as all the others; told in the server's order.
  const looks = single.slice(0, URLS).map((server) => examineIce(tools, server));
  for (const look of looks) tell(await look);
}

async function examineIce(tools: RelayTools, server: IceServer): Promise<Look> {
  const about = server.urls.join();
  const { candidates, hosts, errors } = await gather(tools, server);
  // By an error for each address of this machine's: one that has no way there is nothing strange.
  const seen = { about, detail: [...candidates, ...new Set(errors)].join(', ') };
  if (/^stuns?:/.test(about)) {
    const silent = !candidates.has('srflx/udp') && errors.length >= Math.max(1, hosts);
    return { look: 'stun', ...seen, ...(silent && { finding: 'stun_unreachable' }) };
  }
  if (![...candidates].some((kind) => kind.startsWith('relay'))) {
    const says = (...codes: readonly string[]): boolean =>
      errors.some((error) => codes.includes(error.slice(0, 3)));
    const finding = says('401', '431', '441')
      ? 'relay_secret_wrong'
      : says('403', '437', '442', '486', '508')
        ? 'relay_refused'
        : 'relay_unreachable';
    return { look: 'relay', ...seen, finding };
  }
  const passes = await passThrough(tools, server);
  return { look: 'relay', ...seen, ...(!passes && { finding: 'relay_ports_closed' }) };
}

/** Asks for camera and microphone, and lets them go at once. */
export async function examineDevices(devices: Pick<MediaDevices, 'getUserMedia'>): Promise<Look> {
  try {
    const stream = await devices.getUserMedia({ audio: true, video: true });
    for (const track of stream.getTracks()) track.stop();
    return { look: 'devices' };
  } catch (error) {
    const name = error instanceof Error ? error.name : String(error);
    const blocked = ['NotAllowedError', 'SecurityError'].includes(name);
    return { look: 'devices', finding: blocked ? 'devices_blocked' : 'devices_missing', detail: name };
  }
}
