/**
 * Diagnoses the connection between this browser and its meetings: the page's origin, the path to the server, and each
 * relay. `roundtable doctor` diagnoses from elsewhere and uses the same finding names (docs/DOCTOR.md).
 */
import type { Finding } from '../protocol/findings';
import type { ErrorCode, IceServer } from '../protocol/messages';
import type { Address } from './address';
import { askCheck, refusalOf } from './diagnosis';
import { type Environment, originProof } from './environment';
import { askIceServers } from './path';
import { type Gathered, gather, passThrough } from './relays';
import { areServersApart } from './servers';

/** Findings that a page can make. */
export type PageFinding = Extract<
  Finding,
  | 'plain_http'
  | 'webrtc_missing'
  | 'port_closed'
  | 'wrong_path'
  | 'path_stripped'
  | 'server_down'
  | 'origin_refused'
  | 'limit_reached'
  | 'shared_client_address'
  | 'gateway_client_address'
  | 'servers_not_shared'
  | 'no_history_fallback'
  | 'clock_skew'
  | 'upgrade_headers_missing'
  | 'websocket_failed'
  | 'stun_unreachable'
  | 'relay_unreachable'
  | 'relay_secret_wrong'
  | 'relay_refused'
  | 'relay_ports_closed'
  | 'relay_address_wrong'
  | 'relay_not_to_itself'
  | 'devices_blocked'
  | 'devices_missing'
>;

/** Names of the checks. */
export type LookName =
  | 'secure'
  | 'webrtc'
  | 'server'
  | 'clock'
  | 'address'
  | 'servers'
  | 'links'
  | 'websocket'
  | 'stun'
  | 'relay'
  | 'devices';

/** Result of one check. */
export interface Look {
  readonly look: LookName;
  /** Server URL, for checks that run once per URL. */
  readonly about?: string;
  /** The problem found; absent if there is none. */
  readonly finding?: PageFinding;
  /** Why the check was not possible. */
  readonly missed?: 'token' | 'unclear';
  /** Observations for the operator; contains no secrets and no addresses of this browser. */
  readonly detail?: string;
}

/** Tolerated clock difference; tokens and credentials allow for it. */
const SKEW_MS = 30_000;
/** Error codes of a join that mean "try again later". */
const FULL: ReadonlySet<ErrorCode> = new Set(['too_many_attempts', 'server_full', 'busy']);
/** Maximum number of URLs checked. */
const URLS = 12;

/** Error codes by which a relay refuses an allocation to an authenticated client (RFC 8656 §18). */
const REFUSED = ['403', '437', '442', '486', '508'];
const V4 = /^\d+\.\d+\.\d+\.\d+$/;
/** Private and local addresses, reachable only from nearby. */
const INNER = /^(0|10|127|169\.254|172\.(1[6-9]|2\d|3[01])|192\.168)\./;

/** Options of `examine`. */
export interface ExaminationOptions {
  readonly environment: Pick<Environment, 'connect' | 'fetch' | 'clock' | 'media'>;
  readonly address: Pick<Address, 'base' | 'http' | 'socket' | 'originProof'>;
  /** `isSecureContext` */
  readonly secure: boolean;
  /** Receives the result of each check. */
  readonly tell: (look: Look) => void;
}

/** Runs all checks except the devices. Never rejects. */
export async function examine(options: ExaminationOptions): Promise<void> {
  const { environment, address, secure, tell } = options;
  const { connect, media } = environment;
  tell({ look: 'secure', ...(!secure && { finding: 'plain_http' }) });
  const able = connect !== undefined && media !== undefined;
  tell({ look: 'webrtc', ...(!able && { finding: 'webrtc_missing' }) });
  if (!(await examineServer(options))) return;
  await examineServers(options);
  await examineLinks(options);
  if (!able) return;
  const proof = originProof(environment, address);
  const servers = await askIceServers({ ...environment, connect, media, socketUrl: address.socket, proof });
  if (servers === undefined) {
    // A plain HTTP request shows what answers at the WebSocket address: the server, or a proxy that does not forward
    // it.
    const answer = await askCheck(
      environment.fetch,
      address.socket('check').replace(/^ws/, 'http'),
      environment.clock,
    );
    const reached = answer.kind === 'answer' && answer.code !== undefined;
    const detail = answer.kind === 'answer' ? `HTTP ${answer.status}` : answer.detail;
    tell({ look: 'websocket', finding: reached ? 'upgrade_headers_missing' : 'websocket_failed', detail });
  } else if (typeof servers !== 'string') {
    tell({ look: 'websocket' });
    await examineRelays({ ...environment, media }, servers, tell);
  } else if (servers === 'origin_not_allowed') {
    tell({ look: 'websocket', finding: 'origin_refused', detail: servers });
  } else if (FULL.has(servers)) {
    tell({ look: 'websocket', finding: 'limit_reached', detail: servers });
  } else {
    tell({ look: 'websocket' });
    // Without a token nobody can join a room with a made-up name.
    tell({ look: 'relay', missed: 'token', detail: servers });
  }
}

/** Checks whether a server answers and would accept a WebSocket from this page (R76). */
async function examineServer(options: ExaminationOptions): Promise<boolean> {
  const { environment, address, tell } = options;
  const { fetch, clock } = environment;
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
        : refused !== undefined && refused !== 'path_changed'
          ? 'limit_reached'
          : status >= 500
            ? 'server_down'
            : code === 'PATH_STRIPPED'
              ? 'path_stripped'
              : (await isHiddenOutage(options, status))
                ? 'server_down'
                : 'wrong_path';
    tell({ look: 'server', finding, detail });
    return false;
  }
  tell({ look: 'server', detail });
  const time = typeof data.time === 'string' ? Date.parse(data.time) : NaN;
  const skewMs = Math.max(begun - time, time - clock.now());
  // An unreadable time yields no result.
  if (!Number.isNaN(skewMs)) {
    const skewed = skewMs > SKEW_MS && `${Math.round(skewMs / 1_000)} s`;
    tell({ look: 'clock', ...(skewed !== false && { finding: 'clock_skew', detail: skewed }) });
  }
  await examineClientAddress(options, data.address_source);
  return true;
}

/** Checks the client address as the server sees it, from the `check` response (R76). */
async function examineClientAddress({ address, tell }: ExaminationOptions, source: unknown): Promise<void> {
  // A server of an earlier version.
  if (typeof source !== 'string') return;
  if (source === 'gateway') {
    tell({ look: 'address', finding: 'gateway_client_address', detail: source });
    return;
  }
  // The server itself sends no `Server` header; a web server in front of it does.
  const proxy = source === 'direct' ? await header(address.http('welcome'), 'server') : undefined;
  const shared = source === 'untrusted_proxy' || source === 'no_forwarded_for' || proxy !== undefined;
  const detail = proxy === undefined ? source : `${source}, ${proxy}`;
  tell({ look: 'address', detail, ...(shared && { finding: 'shared_client_address' }) });
}

/** Sends a request like a browser that opens a page. */
function load(url: string, method: 'GET' | 'OPTIONS' = 'GET'): Promise<Response> {
  return fetch(url, { method, cache: 'no-store', headers: { accept: 'text/html,*/*;q=0.8' } });
}

async function header(url: string, name: string): Promise<string | undefined> {
  try {
    return (await load(url)).headers.get(name) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Checks whether requests alternate between several servers that do not share rooms. */
async function examineServers({ environment, address, tell }: ExaminationOptions): Promise<void> {
  const { fetch, clock, media } = environment;
  const options = { fetch, clock, checkUrl: address.http('check') };
  const apart = await areServersApart(options, `check-${media?.newPair() ?? ''}`, 6);
  tell({ look: 'servers', ...(apart && { finding: 'servers_not_shared' }) });
}

/**
 * Checks whether the web server has a history fallback, so that it serves the addresses of rooms and of this page.
 */
async function examineLinks({ address, tell }: ExaminationOptions): Promise<void> {
  for (const path of ['r/check-link', 'diag']) {
    let detail: string;
    try {
      const response = await load(new URL(path, address.base).href);
      // The title identifies the page itself among all possible responses.
      if (response.status < 300 && (await response.text()).includes('<title>Roundtable')) continue;
      detail = `${path}: HTTP ${response.status}`;
    } catch (error) {
      detail = String(error);
    }
    tell({ look: 'links', finding: 'no_history_fallback', detail });
    return;
  }
  tell({ look: 'links' });
}

/**
 * Returns whether a 404 hides a server that is not reachable: nginx with `error_page 502 /50x.html` answers 404 if
 * that file is missing. Locations without a proxy answer OPTIONS with 405.
 */
async function isHiddenOutage({ address }: ExaminationOptions, status: number): Promise<boolean> {
  if (status !== 404) return false;
  try {
    const [api, beside] = await Promise.all(
      [address.http('welcome'), new URL('check-options', address.base).href].map((url) =>
        load(url, 'OPTIONS'),
      ),
    );
    return api?.status === 404 && beside?.status === 405;
  } catch {
    return false;
  }
}

type RelayTools = Parameters<typeof gather>[0];

async function examineRelays(
  tools: RelayTools,
  servers: readonly IceServer[],
  tell: ExaminationOptions['tell'],
): Promise<void> {
  const single = servers.flatMap((server) => server.urls.map((url) => ({ ...server, urls: [url] })));
  // All run concurrently, as the slowest takes as long as all the others; results are reported in the server's order.
  const looks = single.slice(0, URLS).map((server) => examineIce(tools, server));
  for (const look of looks) tell(await look);
}

async function examineIce(tools: RelayTools, server: IceServer): Promise<Look> {
  const about = server.urls.join();
  const gathered = await gather(tools, server);
  const { candidates, hosts, errors, ended } = gathered;
  const seen = { about, detail: [...candidates, ...new Set(errors)].join(', ') };
  if (/^stuns?:/.test(about)) {
    if (candidates.has('srflx/udp')) return { look: 'stun', ...seen };
    // A host with a public address gets no srflx candidate and no error. An address without a route reports its error
    // late or never. With more than the usual two addresses, IPv4 and IPv6, either may be the case.
    if (errors.length >= Math.max(1, hosts) || (!ended && hosts <= 2)) {
      return { look: 'stun', ...seen, finding: 'stun_unreachable' };
    }
    return { look: 'stun', ...seen, ...(!ended && { missed: 'unclear' }) };
  }
  if (![...candidates].some((kind) => kind.startsWith('relay'))) {
    const finding = says(errors, '401', '431', '441')
      ? 'relay_secret_wrong'
      : says(errors, ...REFUSED)
        ? 'relay_refused'
        : 'relay_unreachable';
    return { look: 'relay', ...seen, finding };
  }
  const finding = await examinePorts(tools, server, gathered);
  return { look: 'relay', ...seen, ...(finding && { finding }) };
}

/** Returns the problem of a relay that grants an allocation; `undefined` if there is none. */
async function examinePorts(
  tools: RelayTools,
  server: IceServer,
  { relayed = '', mapped = '' }: Gathered,
): Promise<PageFinding | undefined> {
  const { passes, errors } = await passThrough(tools, server);
  if (!passes && says(errors, ...REFUSED)) return 'relay_refused';
  if (isWrongAddress(relayed, /^turns?:([^:?]+)/.exec(server.urls.join())?.[1] ?? '', mapped, passes)) {
    return 'relay_address_wrong';
  }
  if (passes) return undefined;
  // Test with only one of the two sides forced through the relay.
  const one = await passThrough(tools, server, 'all');
  return one.passes ? 'relay_not_to_itself' : 'relay_ports_closed';
}

/**
 * Returns whether a relay announces an address that is not its own, as far as a page can tell, which cannot resolve
 * names.
 *
 * @param host host name or address of the relay
 * @param mapped this browser's address as the relay sees it
 * @param passes whether the relay reaches itself: it may recognize that address as its own
 */
function isWrongAddress(relayed: string, host: string, mapped: string, passes: boolean): boolean {
  const isOuter = (address: string): boolean => V4.test(address) && !INNER.test(address);
  if (INNER.test(relayed) && (isOuter(host) || isOuter(mapped))) return true;
  if (!V4.test(host) || !V4.test(relayed) || host === relayed) return false;
  // Nearby clients may address the relay by a private address.
  return !(passes && INNER.test(host) && isOuter(relayed));
}

function says(errors: readonly string[], ...codes: readonly string[]): boolean {
  return errors.some((error) => codes.includes(error.slice(0, 3)));
}

/** Opens camera and microphone and closes them at once. */
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
