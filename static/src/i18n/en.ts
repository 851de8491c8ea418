import type { FailureCode } from '../core/types';
import type { AdminMessages } from './en.admin';
import type { DiagMessages } from './en.diag';
import type { RoomMessages } from './en.room';

/** A plain sentence about a failure, and the action to take. */
export interface FailureText {
  sentence: string;
  action: string;
}

/** English texts needed before the room. */
export const en = {
  product: 'Roundtable',
  /** Joins two sentences. */
  sentences: '{first} {second}',
  landing: {
    tagline: 'Video meetings in your browser. No account, nothing to install.',
    create: 'New meeting',
    talk: 'Start new meetings as a talk: only hosts speak; others listen and can raise a hand',
    or: 'or join a meeting',
    room: 'Meeting name or link',
    open: 'Join',
    invalid: 'This is not a valid meeting name or link. A name has 1 to 64 characters and none of / \\ ? #.',
    note: 'Audio and video go directly from browser to browser.',
    diag: 'Check your connection',
  },
  lobby: {
    title: 'Ready to join?',
    name: 'Your name',
    namePlaceholder: 'Enter your name',
    nameMissing: 'Enter your name so that others know who you are.',
    join: 'Join meeting',
    listen: 'Join without camera and microphone',
    asking:
      'Your browser asks for permission to use your camera and microphone. Choose “Allow” so that others can see and hear you.',
    starting: 'Starting the camera…',
    cameraOff: 'Camera is off',
    noDevices: 'You can still join: you will see and hear the others.',
    recorded: 'This meeting is being recorded on the server. By joining, you agree to this.',
  },
  waiting: {
    title: 'Waiting for a host to let you in',
    text: 'The hosts have been notified. You will join automatically once one of them lets you in.',
    cancel: 'Leave waiting room',
  },
  devices: {
    title: 'Devices',
    mic: 'Microphone',
    camera: 'Camera',
    speaker: 'Speaker',
    none: 'No device found',
    system: 'System default',
    level: 'Microphone level',
    test: 'Play a test tone',
    playing: 'Playing…',
  },
  path: {
    checking: 'Checking your connection…',
    reached: 'Your connection is ready for calls.',
    none: 'You are connected. On a restricted network, some calls may not work.',
    unreachable: 'You are connected, but calls with some people may not work from this network.',
    unknown: 'You are connected to the server. The rest is checked when you join.',
    apart: 'The server is not set up correctly: people in the same meeting may not see each other.',
    failed: 'You cannot join from here yet.',
    again: 'Check again',
    more: 'Find out why',
  },
  joining: { title: 'Joining…', cancel: 'Cancel' },
  room: { guest: 'Guest' },
  control: {
    mic: 'Mic',
    micOn: 'Turn microphone on',
    micOff: 'Turn microphone off',
    camera: 'Camera',
    cameraOn: 'Turn camera on',
    cameraOff: 'Turn camera off',
    copied: 'Copied',
    dismiss: 'Dismiss',
    close: 'Close',
    cancel: 'Cancel',
  },
  left: { title: 'You left the meeting', rejoin: 'Rejoin', home: 'Home' },
  refused: { retry: 'Try again', again: 'Trying again in {seconds} s.' },
  theme: { system: 'Appearance: system', light: 'Appearance: light', dark: 'Appearance: dark' },
  device: { mic: 'the microphone', camera: 'the camera', both: 'the camera and the microphone' },
  failures: {
    insecure_context: {
      sentence: 'This page was opened over plain HTTP, so the browser blocks camera and microphone.',
      action: 'Open it with https:// (or on localhost).',
    },
    page_outdated: {
      sentence: 'The server has been updated. Some parts of this page may not work until you reload it.',
      action: 'Reload',
    },
    browser_unsupported: {
      sentence: 'This browser does not support video calls.',
      action: 'Use a current Chrome, Edge or Firefox.',
    },
    devices_unavailable: {
      sentence:
        'This browser gives web pages no camera and microphone, as is common for browsers inside other apps.',
      action: 'Choose “Open in browser” in the app’s menu, or copy the link into your browser.',
    },
    device_blocked: {
      sentence:
        'The operating system does not let this browser use {device}. Allow it in the system’s privacy settings.',
      action: 'Try again',
    },
    permission_denied: {
      sentence: 'The browser blocks {device} for this page. Allow access with the icon next to the address.',
      action: 'Try again',
    },
    no_device: {
      sentence: 'The browser cannot find {device}. Check the cable.',
      action: 'Try again',
    },
    device_busy: {
      sentence: 'Another program is using {device}, or the system’s privacy settings block it.',
      action: 'Try again',
    },
    device_failed: { sentence: 'The browser could not start {device}.', action: 'Try again' },
    device_unplugged: {
      sentence: 'The browser lost {device}: unplugged, or taken by another program.',
      action: 'Try again',
    },
    device_replaced: {
      sentence: 'The browser lost {device} and switched to another device.',
      action: 'If it is the wrong one, choose another under “Devices”.',
    },
    device_paused: {
      sentence:
        'There is no signal from {device}: in use by a phone call or another program, or switched off.',
      action: 'Try again',
    },
    room_invalid: { sentence: 'This is not a valid meeting name.', action: 'Choose another' },
    name_invalid: {
      sentence: 'The server does not accept this name; try a simpler one.',
      action: 'Change name',
    },
    room_full: { sentence: 'This meeting is full.', action: 'Try again' },
    server_full: { sentence: 'The server is full at the moment.', action: 'Try again' },
    too_many_attempts: {
      sentence: 'There were too many attempts to join from your network.',
      action: 'This page tries again automatically.',
    },
    too_many_connections: {
      sentence: 'Your network has too many open connections to this server.',
      action: 'Close other meeting tabs. This page tries again automatically.',
    },
    origin_refused: {
      sentence: 'The server does not accept connections from this page’s address.',
      action:
        'Open the meeting at the server’s own address, or ask the server’s administrator to allow this one.',
    },
    rate_limited: {
      sentence: 'This page sent too many messages to the server.',
      action: 'Wait a moment. The page reconnects automatically.',
    },
    servers_busy: {
      sentence: 'The servers of this meeting are overloaded at the moment.',
      action: 'Joining is retried automatically. Try anything else again in a moment.',
    },
    server_unreachable: {
      sentence: 'The server cannot be reached.',
      action: 'Check your network; this page keeps trying.',
    },
    wrong_address: {
      sentence:
        'No signaling server answers here: the proxy must pass /signal-api/ to it, or config.json must name its path.',
      action: 'Ask the server’s administrator.',
    },
    path_changed: {
      sentence:
        'The proxy changes the path: its proxy_pass must end with /signal-api/, as in http://server:18080/signal-api/.',
      action: 'Ask the server’s administrator.',
    },
    room_locked: { sentence: 'A host has locked this meeting.', action: 'Try again' },
    lobby_refused: { sentence: 'A host did not let you in.', action: 'Back to home page' },
    removed: { sentence: 'A host removed you from this meeting.', action: 'Back to home page' },
    ended: { sentence: 'This meeting was ended for everyone.', action: 'Back to home page' },
    host_absent: { sentence: 'The host has not come back to this meeting.', action: 'Try again' },
    superseded: { sentence: 'You joined this meeting in another window.', action: 'Rejoin here' },
    token_missing: {
      sentence: 'You need an invitation link to join this meeting.',
      action: 'Ask the person who invited you for a link.',
    },
    token_expired: {
      sentence: 'Your invitation has expired.',
      action: 'Ask the person who invited you for a new link.',
    },
    token_refused: {
      sentence: 'Your invitation is not valid for this meeting.',
      action: 'Ask the person who invited you for a new link.',
    },
    protocol_error: { sentence: 'The server rejected a message from this page.', action: 'Reload the page' },
  } satisfies Partial<Record<FailureCode, FailureText>>,
};

/** Texts that a language must provide before the room. */
export type LobbyMessages = typeof en;

/** All texts that a language must provide. */
export type Messages = LobbyMessages & RoomMessages & DiagMessages & AdminMessages;
