import type { FailureCode, QualityReason } from '../core/types';

/** One plain sentence, and what to do about it. */
interface FailureText {
  sentence: string;
  action: string;
}

/** English, and by its type the list of every text that a language must have. */
export const en = {
  product: 'Roundtable',
  /** How two sentences follow one another. */
  sentences: '{first} {second}',
  landing: {
    tagline: 'Meet face to face. No account, no install: share a link and talk.',
    create: 'New meeting',
    or: 'or join one',
    room: 'Meeting name or link',
    open: 'Join',
    invalid: 'That is no meeting name or link. A name has 1 to 64 characters, without / \\ ? and #.',
    note: 'Sound and picture go straight from browser to browser.',
  },
  lobby: {
    title: 'Ready to join?',
    name: 'Your name',
    namePlaceholder: 'What should others call you?',
    nameMissing: 'Type a name, so that the others know who you are.',
    join: 'Join meeting',
    asking:
      'Your browser asks whether this page may use camera and microphone. Choose “Allow” to be seen and heard.',
    starting: 'Starting the camera…',
    cameraOff: 'Camera is off',
    noDevices: 'You can join all the same: you will see and hear the others.',
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
    more: 'More',
    moreHint: 'More actions',
    fullScreen: 'Full screen',
    leave: 'Leave',
    leaveHint: 'Leave the meeting',
    dismiss: 'Dismiss',
  },
  screen: {
    start: 'Share',
    stop: 'Stop',
    startHint: 'Share the screen (S)',
    stopHint: 'Stop sharing the screen (S)',
    of: 'Screen of {name}',
    yours: 'Your screen',
  },
  stage: {
    pin: 'Show {name} large',
    unpin: 'Show {name} no longer large',
    speakerLayout: 'Speaker large',
    hideSelf: 'Hide my picture',
    pictureInPicture: 'Picture in picture',
    shortcuts: 'Keyboard shortcuts',
  },
  shortcuts: {
    title: 'Keyboard shortcuts',
    mic: 'Microphone on or off',
    camera: 'Camera on or off',
    screen: 'Share the screen, or stop',
    layout: 'Grid, or the speaker large',
    pin: 'Show a tile large: first to ninth',
    unpin: 'Show all as before',
    self: 'Hide or show my picture',
    fullScreen: 'Full screen on or off',
    pictureInPicture: 'Picture in picture on or off',
    list: 'This list',
    close: 'Close',
  },
  link: {
    title: 'Connection to {name}',
    of: 'Connection to {name}: {state}',
    bars: {
      none: 'No connection',
      weak: 'Weak connection',
      fair: 'Fair connection',
      good: 'Good connection',
    },
    reasons: {
      none: 'Sound and picture come through well.',
      no_connection: 'Nothing arrives at the moment; the browsers are looking for a way.',
      loss: 'Packets get lost on the way. A cable or a place nearer to the Wi-Fi often helps.',
      delay: 'The way is long: what you say arrives late.',
      jitter: 'Packets arrive unevenly, as in a Wi-Fi that many share.',
      low_bandwidth: 'The line carries little, so the picture is small. Sound goes first.',
      freezes: 'The picture stands still at times.',
      relayed: 'Sound and picture come through well, by way of a relay server.',
    } satisfies Record<QualityReason | 'none', string>,
    statistics: 'Statistics',
    safety: 'Safety code',
    close: 'Close',
  },
  safety: {
    title: 'Safety code with {name}',
    explanation:
      'Read these pictures to each other: if {name} sees the same ones, your call is encrypted all the way between your browsers, and nobody in between, not even the server, can listen. If they differ, somebody may be sitting between you.',
    pending: 'Computing the code…',
    none: 'There is no code yet: it needs a connection, and a page that came over https://.',
  },
  statistics: {
    title: 'Statistics: {name}',
    none: 'Nothing has been measured yet.',
    received: 'Received',
    sent: 'Sent',
    bitrate: 'Bitrate',
    loss: 'Loss',
    jitter: 'Jitter',
    picture: 'Picture',
    codec: 'Codec',
    roundTrip: 'Round trip',
    available: 'Line out carries',
    freezes: 'Freezes',
    path: 'Path',
    relayed: 'Through a relay',
    yes: 'yes',
    no: 'no',
    ago: '{minutes} min',
    export: 'Save as JSON',
  },
  left: { title: 'You left the meeting', rejoin: 'Rejoin', home: 'Home' },
  refused: { retry: 'Try again' },
  device: { mic: 'the microphone', camera: 'the camera', both: 'the camera and the microphone' },
  failures: {
    insecure_context: {
      sentence: 'This page came over plain http, so browsers keep camera and microphone shut.',
      action: 'Open it with https:// (or on localhost).',
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
      sentence: 'The browser cannot find {device}: check the plug, or join without.',
      action: 'Try again',
    },
    device_busy: {
      sentence: 'Another program is using {device}; close that program first.',
      action: 'Try again',
    },
    screen_failed: {
      sentence: 'The screen could not be shared: the system may have to allow the browser to record it.',
      action: 'Try again',
    },
    device_failed: { sentence: 'The browser could not start {device}.', action: 'Try again' },
    room_invalid: { sentence: 'This is not a valid meeting name.', action: 'Choose another' },
    name_invalid: {
      sentence: 'The server does not accept this name; try a simpler one.',
      action: 'Change name',
    },
    room_full: { sentence: 'This meeting is full.', action: 'Try again' },
    server_full: { sentence: 'The server has no free place at the moment.', action: 'Try again' },
    server_unreachable: {
      sentence: 'The server cannot be reached.',
      action: 'Check your network; this page keeps trying.',
    },
    wrong_address: {
      sentence: 'What answers at this address is not a Roundtable server.',
      action: 'Check the address, or ask whoever runs the server.',
    },
    superseded: { sentence: 'You joined this meeting in another window.', action: 'Rejoin here' },
    protocol_error: { sentence: 'The server did not understand this page.', action: 'Reload the page' },
    no_path: {
      sentence: 'No network path to {name}.',
      action: 'Whoever runs the server should set up a TURN relay.',
    },
    sound_blocked: {
      sentence: 'The browser waits for a click before it plays sound.',
      action: 'Turn on sound',
    },
  } satisfies Record<FailureCode, FailureText>,
};

/** Every text that a language must have. */
export type Messages = typeof en;
