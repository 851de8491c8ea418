import type { Look, LookName, PageFinding } from '../core/examination';
import type { ConfigProblem } from '../readConfig';

/** A diagnostic finding: the problem, and how to fix it. */
interface FindingText {
  what: string;
  fix: string;
}

/** English texts of the diagnostics page. */
export const enDiag = {
  config: {
    title: 'config.json is not valid',
    json: 'The file config.json beside this page is not valid JSON ({error}); it should be {path}, for example.',
    object: 'The file config.json beside this page should be an object such as {path}.',
    key: 'The file config.json beside this page has the unknown key “{key}”; the keys are “signal_api”, “name”, “logo” and “accent”, as in {path}.',
    value:
      'In the file config.json beside this page, “signal_api” is {value}; it should be a path or an address, as in {path} or {origin}.',
    insecure:
      'In the file config.json beside this page, “signal_api” is {value}, but a page opened over HTTPS can only use a server over HTTPS, as in {origin}.',
    name: 'In the file config.json beside this page, “name” is {value}; it should be a text of up to 40 characters.',
    logo: 'In the file config.json beside this page, “logo” is {value}; it should be the path of an SVG, PNG, WebP or JPEG file in the same folder, such as "logo.svg".',
    accent:
      'In the file config.json beside this page, “accent” is {value}; it should be a colour such as "#0a7d55".',
  } satisfies Record<ConfigProblem['problem'] | 'title', string>,
  diag: {
    title: 'Connection check',
    intro: 'Checks this browser, the server and its relays. The results are not sent anywhere.',
    running: 'Checking…',
    well: 'No problems found.',
    found: 'Problems found. The results below say how to fix them.',
    again: 'Check again',
    devices: 'Test camera and microphone',
    copy: 'Copy report',
    failedCopy: 'Copy this report:',
    fix: 'How to fix it: {fix}',
    isWell: 'OK',
    isWrong: 'Failed',
    isMissed: 'Not checked',
    noRelay: 'The server has no TURN relay. From restricted networks, some calls may not connect.',
    missed: {
      token: 'The relays are available to invited people only. Check them in the meeting.',
      unclear:
        'This machine has several networks, and the browser does not report whether the STUN server answers.',
    } satisfies Record<NonNullable<Look['missed']>, string>,
    looks: {
      secure: 'Page over HTTPS',
      webrtc: 'Video calls in this browser',
      server: 'Server',
      clock: 'Clock',
      address: 'Your address as seen by the server',
      servers: 'Shared rooms across servers',
      links: 'Meeting links',
      websocket: 'WebSocket',
      stun: 'STUN server',
      relay: 'TURN relay',
      devices: 'Camera and microphone',
    } satisfies Record<LookName, string>,
    findings: {
      plain_http: {
        what: 'The page was opened over plain HTTP, so the browser blocks camera and microphone.',
        fix: 'Open it with https:// (or on localhost).',
      },
      webrtc_missing: {
        what: 'This browser does not support video calls.',
        fix: 'Use a current Chrome, Edge or Firefox.',
      },
      port_closed: {
        what: 'The server does not answer.',
        fix: 'Check your network. If you administer the server, check that it is running.',
      },
      wrong_path: {
        what: 'The path /signal-api/ at this address does not lead to the signaling server.',
        fix: 'Make the proxy forward /signal-api/ unchanged (nginx: proxy_pass that ends with the port, without a slash). If the site is below a path such as /meet/, make the proxy remove that path (with a slash: nginx/sub-path.conf).',
      },
      path_stripped: {
        what: 'The proxy removes /signal-api/ from the path before it forwards the request.',
        fix: 'nginx: end proxy_pass with the port, without a slash (proxy_pass http://127.0.0.1:18080;), or with /signal-api/.',
      },
      server_down: {
        what: 'The proxy cannot reach the signaling server.',
        fix: 'Start the server, and check the host and port to which the proxy forwards /signal-api/.',
      },
      origin_refused: {
        what: 'The server does not accept connections from pages at this address.',
        fix: 'Make the proxy forward all of /signal-api/, not only /signal-api/ws. If the page belongs to another site, add its origin to ROUNDTABLE_ALLOWED_ORIGINS. If ROUNDTABLE_SERVER_NAMES is set, add this host name to it.',
      },
      limit_reached: {
        what: 'The server has reached a connection limit: in total, or for this network.',
        fix: 'Try again later. The command “roundtable limits” shows the limits. Behind a proxy, add its address to ROUNDTABLE_TRUSTED_PROXIES.',
      },
      shared_client_address: {
        what: 'The server does not see client addresses: everyone behind the proxy shares the limits of one address.',
        fix: "nginx: proxy_set_header X-Forwarded-For $remote_addr; and add the proxy's address to ROUNDTABLE_TRUSTED_PROXIES (the server's log names the line).",
      },
      gateway_client_address: {
        what: "The proxy sees this browser with the address of the container network's gateway: all clients on this way share the limits of one address.",
        fix: "If you are not on the server's own machine: enable IPv6 in the container network (docs/NETWORKING.md, section IPv6).",
      },
      servers_not_shared: {
        what: 'Several servers answer here in turn and do not share rooms: people in the same room may not see each other.',
        fix: 'Use one server behind the proxy, or set the same ROUNDTABLE_REDIS_URL and ROUNDTABLE_RESUME_KEY on all servers.',
      },
      no_history_fallback: {
        what: 'The web server does not serve the addresses /r/<room> and /diag: links of the form /r/<room> lead to an error page; links with ?room= work.',
        fix: "nginx: location ~ ^/r/[^/]+$ {'{'} root /usr/web/nginx/html; try_files /r/index.html =404; {'}'} location = /diag {'{'} root /usr/web/nginx/html; try_files /index.html =404; {'}'}",
      },
      clock_skew: {
        what: 'The clocks of the server and this machine differ: invitations and credentials expire too early or too late.',
        fix: 'Enable time synchronization (NTP) on both.',
      },
      upgrade_headers_missing: {
        what: 'The server answers, but no WebSocket opens: a proxy does not forward the upgrade.',
        fix: 'nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";',
      },
      websocket_failed: {
        what: 'The server answers, but no WebSocket could be opened.',
        fix: 'Check the proxies and firewalls between this browser and the server, and their logs.',
      },
      stun_unreachable: {
        what: 'The STUN server does not answer this browser.',
        fix: 'Check that it is running and that its UDP port (3478) is open. Your network may block UDP.',
      },
      relay_unreachable: {
        what: 'The relay does not answer this browser.',
        fix: 'Check that coturn is running, that TURN_HOST is correct, and that its port (3478 UDP and TCP, 5349 for TLS) is open. Your network may be restricted.',
      },
      relay_secret_wrong: {
        what: 'The relay rejects the credentials.',
        fix: 'Set the same secret (TURN_SECRET_FILE) and the correct time on the signaling server and the relay, then restart both.',
      },
      relay_refused: {
        what: 'The relay accepts the credentials but does not allocate a port.',
        fix: 'Configure more ports (TURN_RELAY_PORTS) and a larger quota (TURN_USER_QUOTA).',
      },
      relay_ports_closed: {
        what: 'The relay allocates a port, but no data passes through it.',
        fix: 'Open its UDP ports (TURN_RELAY_PORTS, 49160-49259), and check that TURN_HOST is its public address.',
      },
      relay_address_wrong: {
        what: 'The relay announces an address at which it cannot be reached.',
        fix: 'Set TURN_HOST (coturn: external-ip) to the public address of its machine.',
      },
      relay_not_to_itself: {
        what: 'Two people who both need the relay cannot reach each other through it.',
        fix: 'Allow the relay to use its own address as a peer (coturn: allowed-peer-ip).',
      },
      devices_blocked: {
        what: 'The browser blocks camera and microphone for this page.',
        fix: 'Allow both with the icon next to the address, then reload the page.',
      },
      devices_missing: {
        what: 'The browser found no working camera or microphone.',
        fix: 'Check the cables, and that no other program uses them.',
      },
    } satisfies Record<PageFinding, FindingText>,
  },
};

/** Texts that a language must provide for the diagnostics page. */
export type DiagMessages = typeof enDiag;
