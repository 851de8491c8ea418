import type { Look, LookName, PageFinding } from '../core/examination';

/** What is wrong, and what mends it. */
interface FindingText {
  what: string;
  fix: string;
}

/** English of the page that looks for what is wrong. */
export const enDiag = {
  diag: {
    title: 'Connection check',
    intro:
      'Looks at what calls need between this browser, the server and its relays. Nothing goes anywhere else.',
    running: 'Looking…',
    well: 'All well.',
    found: 'See below what is wrong, and what mends it.',
    again: 'Look again',
    devices: 'Try camera and microphone',
    copy: 'Copy report',
    failedCopy: 'Copy this report:',
    fix: 'What helps: {fix}',
    isWell: 'well',
    isWrong: 'wrong',
    isMissed: 'not looked at',
    noRelay: 'The server has no relay: from strict networks some calls may find no path.',
    missed: {
      token: 'Only people with an invitation learn of the relays: try them in the meeting.',
      unclear: 'This machine has several networks, and the browser does not tell whether the server answers.',
    } satisfies Record<NonNullable<Look['missed']>, string>,
    looks: {
      secure: 'Page over https',
      webrtc: 'Video calls in this browser',
      server: 'Server',
      clock: 'Clock',
      websocket: 'WebSocket',
      stun: 'STUN server',
      relay: 'Relay',
      devices: 'Camera and microphone',
    } satisfies Record<LookName, string>,
    findings: {
      plain_http: {
        what: 'The page comes over plain http, so browsers keep camera and microphone shut.',
        fix: 'Open it with https:// (or on localhost).',
      },
      webrtc_missing: {
        what: 'This browser cannot hold video calls.',
        fix: 'Use a current Chrome, Edge, Firefox or Safari.',
      },
      port_closed: {
        what: 'The server does not answer.',
        fix: 'Check your network; whoever runs the server checks that it runs.',
      },
      wrong_path: {
        what: 'The path /signal-api/ at this address does not lead to the signaling server.',
        fix: 'Let the proxy pass /signal-api/ on as it is (nginx: proxy_pass that ends with the port, without a slash); where all is below a path such as /meet/, let it take that off (with a slash: nginx/sub-path.conf).',
      },
      server_down: {
        what: 'The proxy does not reach the signaling server.',
        fix: 'Start the server, and check the host and port to which the proxy passes /signal-api/.',
      },
      origin_refused: {
        what: 'The server does not take connections from pages at this address.',
        fix: 'Let the proxy pass the host as it is (nginx: proxy_set_header Host $http_host;), or name the origin in ROUNDTABLE_ALLOWED_ORIGINS.',
      },
      limit_reached: {
        what: 'The server takes no more, of all or of this network.',
        fix: 'Try again later; roundtable limits shows the limits, and behind a proxy ROUNDTABLE_TRUSTED_PROXIES is to have its address.',
      },
      clock_skew: {
        what: 'The clocks of the server and of this machine differ: invitations and credentials end too early or too late.',
        fix: 'Let both set their clocks by the network.',
      },
      upgrade_headers_missing: {
        what: 'The server answers, and no WebSocket opens: a proxy does not pass it on.',
        fix: 'nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";',
      },
      websocket_failed: {
        what: 'The server answers, but no WebSocket could be opened.',
        fix: 'Check what stands between here and the server: proxies, firewalls and their logs.',
      },
      stun_unreachable: {
        what: 'The STUN server does not answer this browser.',
        fix: 'Check that it runs, and that its UDP port (3478) is open; your network may let no UDP out.',
      },
      relay_unreachable: {
        what: 'The relay does not answer this browser.',
        fix: 'Check that coturn runs, TURN_HOST, and that its port (3478 UDP and TCP, 5349 for TLS) is open; your network may be strict.',
      },
      relay_secret_wrong: {
        what: 'The relay does not take the credentials.',
        fix: 'Give signaling server and relay the same secret (TURN_SECRET_FILE) and the right time, and restart both.',
      },
      relay_refused: {
        what: 'The relay takes the credentials and gives no port.',
        fix: 'Give it more ports (TURN_RELAY_PORTS) and a larger quota (TURN_USER_QUOTA).',
      },
      relay_ports_closed: {
        what: 'The relay gives a port, and nothing comes through it.',
        fix: 'Open its UDP ports (TURN_RELAY_PORTS, 49160-49259), and check that TURN_HOST is its public address.',
      },
      relay_address_wrong: {
        what: 'The relay tells an address at which it is not reached.',
        fix: 'Set TURN_HOST (coturn: external-ip) to the public address of its machine.',
      },
      relay_not_to_itself: {
        what: 'Two people who both need the relay do not reach each other through it.',
        fix: 'Allow the relay its own address as a peer (coturn: allowed-peer-ip).',
      },
      devices_blocked: {
        what: 'The browser does not let this page use camera and microphone.',
        fix: 'Allow both with the icon beside the address, and reload the page.',
      },
      devices_missing: {
        what: 'The browser finds no camera or no microphone that works.',
        fix: 'Check the plug, and that no other program holds it.',
      },
    } satisfies Record<PageFinding, FindingText>,
  },
};

/** What a language must have for it. */
export type DiagMessages = typeof enDiag;
