import type { FailureCode } from '../core/types';
import type { AdminMessages } from './en.admin';
import type { DiagMessages } from './en.diag';
import type { RoomMessages } from './en.room';

/** One plain sentence, and what to do about it. */
export interface FailureText {
  sentence: string;
  action: string;
}

/** English, as far as it is wanted before the room. */
export const en = {
  product: 'Roundtable',
  /** How two sentences follow one another. */
  sentences: '{first} {second}',
  landing: {
    tagline: 'Meet face to face. No account, no install: share a link and talk.',
    create: 'New meeting',
    talk: 'As a talk: only hosts speak, the others listen and may ask to speak',
    or: 'or join one',
    room: 'Meeting name or link',
    open: 'Join',
    invalid: 'That is no meeting name or link. A name has 1 to 64 characters, without / \\ ? and #.',
    note: 'Sound and picture go straight from browser to browser.',
    diag: 'Check the connection',
  },
  lobby: {
    title: 'Ready to join?',
    name: 'Your name',
    namePlaceholder: 'What should others call you?',
    nameMissing: 'Type a name, so that the others know who you are.',
    join: 'Join meeting',
    listen: 'Just listen, without camera and microphone',
    asking:
      'Your browser asks whether this page may use camera and microphone. Choose “Allow” to be seen and heard.',
    starting: 'Starting the camera…',
    cameraOff: 'Camera is off',
    noDevices: 'You can join all the same: you will see and hear the others.',
    recorded: 'This meeting is being recorded to the server. By joining you agree to it.',
  },
  waiting: {
    title: 'A host will let you in',
    text: 'The hosts have been told that you are here. This page goes on by itself.',
    cancel: 'Do not wait',
  },
  devices: {
    title: 'Devices',
    mic: 'Microphone',
    camera: 'Camera',
    speaker: 'Speaker',
    none: 'None found',
    system: 'System default',
    level: 'Microphone level',
    test: 'Play a test tone',
    playing: 'Playing…',
  },
  path: {
    checking: 'Checking the way to the server…',
    reached: 'Server and relay reached: calls work from here.',
    none: 'Server reached. It has no relay: from strict networks some calls may find no path.',
    unreachable: 'Server reached, its relay not: calls work only where a direct path exists.',
    unknown: 'Server reached. Whether it has a relay shows only in the meeting.',
    failed: 'Calls will not work from here yet.',
    again: 'Check again',
    more: 'Find out why',
  },
  permission: {
    title: 'How to allow it in this browser',
    chrome:
      'Click the icon to the left of the address.\nSwitch “Camera” and “Microphone” on.\nReload this page.',
    edge: 'Click the icon to the left of the address, then “Permissions for this site”.\nSet “Camera” and “Microphone” to “Allow”.\nReload this page.',
    firefox:
      'Click the crossed-out camera or microphone to the left of the address.\nRemove “Blocked” with the × beside it.\nPress “Try again” here.',
    safari:
      'In the menu bar, open “Safari”, then “Settings for” this website.\nSet “Camera” and “Microphone” to “Allow”.\nReload this page.',
    ios: 'Tap the page menu beside the address, then the website’s settings.\nSet “Camera” and “Microphone” to “Allow”.\nReload this page.',
    other:
      'Open the permissions of this website in the browser’s settings.\nAllow “Camera” and “Microphone”.\nReload this page.',
  },
  joining: { title: 'Joining…', cancel: 'Cancel' },
  room: {
    you: 'You',
    guest: 'Guest',
    youNamed: '{name} (you)',
    people: '1 person | {n} people',
    alone: 'Nobody else is here yet',
    invite: 'Send this link to those you want to meet.',
    micOff: 'Microphone off',
    connecting: 'Connecting…',
    reconnecting: 'Reconnecting…',
    away: 'Away, may come back',
    lost: 'Connection to the server lost; the call goes on. Reconnecting…',
    joined: '{name} joined',
    departed: '{name} left',
  },
  signaling: {
    connecting: 'Connecting to the server',
    open: 'Connected to the server',
    lost: 'Server lost, reconnecting',
    closed: 'Not connected',
  },
  control: {
    bar: 'Meeting controls',
    mic: 'Mic',
    micOn: 'Turn microphone on (M)',
    micOff: 'Turn microphone off (M)',
    camera: 'Camera',
    cameraOn: 'Turn camera on (V)',
    cameraOff: 'Turn camera off (V)',
    copy: 'Copy link',
    copied: 'Copied',
    copyFailed: 'Copy this link:',
    invite: 'Invite',
    inviteTitle: 'Invite people',
    share: 'Share…',
    code: 'The link as a QR code',
    codeHint: 'Scan it with a phone to join there.',
    more: 'More',
    moreHint: 'More actions',
    fullScreen: 'Full screen',
    leave: 'Leave',
    leaveHint: 'Leave the meeting',
    dismiss: 'Dismiss',
    close: 'Close',
    cancel: 'Cancel',
    raise: 'Raise hand',
    lower: 'Lower hand',
    hint: 'Raise or lower your hand (H)',
  },
  left: { title: 'You left the meeting', rejoin: 'Rejoin', home: 'Home' },
  refused: { retry: 'Try again', again: 'This page tries again in {seconds} s.' },
  device: { mic: 'the microphone', camera: 'the camera', both: 'the camera and the microphone' },
  failures: {
    insecure_context: {
      sentence: 'This page came over plain http, so browsers keep camera and microphone shut.',
      action: 'Open it with https:// (or on localhost).',
    },
    page_outdated: {
      sentence: 'This page is older than its server; parts of it may be missing.',
      action: 'Reload',
    },
    browser_unsupported: {
      sentence: 'This browser cannot hold video calls.',
      action: 'Use a current Chrome, Edge, Firefox or Safari.',
    },
    permission_denied: {
      sentence: 'The browser blocks {device} for this page; allow it with the icon beside the address.',
      action: 'Try again',
    },
    no_device: {
      sentence: 'The browser cannot find {device}: check the plug.',
      action: 'Try again',
    },
    device_busy: {
      sentence: 'Another program is using {device}; close that program first.',
      action: 'Try again',
    },
    device_failed: { sentence: 'The browser could not start {device}.', action: 'Try again' },
    device_unplugged: {
      sentence: 'The browser has lost {device}: it was unplugged or taken away.',
      action: 'Try again',
    },
    device_replaced: {
      sentence: 'The browser has lost {device}, and uses another one now.',
      action: 'Choose under “Devices” if that is the wrong one.',
    },
    device_paused: {
      sentence:
        'Nothing comes from {device}: a phone call or another program holds it, or its own switch is off.',
      action: 'Try again',
    },
    room_invalid: { sentence: 'This is not a valid meeting name.', action: 'Choose another' },
    name_invalid: {
      sentence: 'The server does not accept this name; try a simpler one.',
      action: 'Change name',
    },
    room_full: { sentence: 'This meeting is full.', action: 'Try again' },
    server_full: { sentence: 'The server has no free place at the moment.', action: 'Try again' },
    too_many_attempts: {
      sentence: 'Too many attempts to join came from your network.',
      action: 'Wait a moment; this page tries again by itself.',
    },
    too_many_connections: {
      sentence: 'Too many connections to this server are open from your network.',
      action: 'Close other tabs of it; this page tries again by itself.',
    },
    origin_refused: {
      sentence: 'The server takes no calls from pages at this address.',
      action: 'Open the meeting at the server’s own address, or ask whoever runs it to allow this one.',
    },
    rate_limited: {
      sentence: 'This page sent more than the server takes.',
      action: 'Wait a moment; it comes back by itself.',
    },
    servers_busy: {
      sentence: 'The servers of this meeting have too much to do at the moment.',
      action: 'Wait a moment; joining is tried again by itself, anything else you may do again.',
    },
    server_unreachable: {
      sentence: 'The server cannot be reached.',
      action: 'Check your network; this page keeps trying.',
    },
    wrong_address: {
      sentence: 'What answers at this address is not a Roundtable server.',
      action: 'Check the address, or ask whoever runs the server.',
    },
    room_locked: { sentence: 'A host has locked this meeting.', action: 'Try again' },
    lobby_refused: { sentence: 'A host did not let you in.', action: 'Back to the start' },
    removed: { sentence: 'A host removed you from this meeting.', action: 'Back to the start' },
    ended: { sentence: 'The host ended this meeting for all.', action: 'Back to the start' },
    superseded: { sentence: 'You joined this meeting in another window.', action: 'Rejoin here' },
    token_missing: {
      sentence: 'This meeting is only for people with an invitation link.',
      action: 'Ask whoever invited you for one.',
    },
    token_expired: {
      sentence: 'Your invitation has expired.',
      action: 'Ask whoever invited you for a new link.',
    },
    token_refused: {
      sentence: 'Your invitation is not valid for this meeting.',
      action: 'Ask whoever invited you for a new link.',
    },
    protocol_error: { sentence: 'The server did not understand this page.', action: 'Reload the page' },
  } satisfies Partial<Record<FailureCode, FailureText>>,
};

/** What a language must have before the room. */
export type LobbyMessages = typeof en;

/** Every text that a language must have. */
export type Messages = LobbyMessages & RoomMessages & DiagMessages & AdminMessages;
