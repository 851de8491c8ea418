import type {
  DeviceView,
  Failure,
  FailureCode,
  LinkState,
  MeetingView,
  Person,
  Phase,
} from '../src/core/types';
import { picture, slide } from './pictures';
import { conversation } from './conversation';

const on: DeviceView = { on: true, pending: false };
const phone: MeetingView['choices'] = {
  mic: [{ id: 'mic-1', label: 'Microphone' }],
  camera: ['Front camera', 'Back camera'].map((label, index) => ({ id: `camera-${index}`, label })),
  speaker: [],
};
const first = { mic: { ...on, id: 'mic-1' }, camera: { ...on, id: 'camera-1' } };
const off: DeviceView = { on: false, pending: false };
const asked: DeviceView = { on: false, pending: true };
const broken = (code: FailureCode): DeviceView => ({ ...off, failure: { code } });

const names = [
  'Grace Hopper',
  '张伟',
  'Alan',
  '李小龙',
  'Barbara Liskov',
  'Émile',
  '王芳',
  'Edsger Wybe Dijkstra',
];

function person(index: number, change: Partial<Person> = {}): Person {
  return {
    id: `person-${index}`,
    name: names[index % names.length] ?? '',
    mic: index % 3 !== 1,
    camera: index % 4 !== 1,
    role: 'participant',
    hand: false,
    recording: false,
    recordsToServer: false,
    link: 'connected',
    resting: false,
    nameFromToken: false,
    speaking: false,
    away: false,
    stream: picture(index * 47),
    fingerprints: `fingerprints ${index}`,
    screen: undefined,
    ...change,
  };
}

const people = (count: number): Person[] => Array.from({ length: count }, (_, index) => person(index));

function view(phase: Phase, change: Partial<MeetingView> = {}): MeetingView {
  return {
    room: 'lusab-babad-gutih-tugad',
    phase,
    signaling: phase.kind === 'joined' ? 'open' : 'closed',
    ...first,
    screen: { ...off, available: true },
    preview: picture(210),
    people: [],
    changedAbsent: [],
    recordingPlaces: ['device'],
    writer: 'participant',
    recorded: false,
    role: 'participant',
    settings: { locked: false, lobby: false, talk: false },
    speaking: false,
    hand: false,
    hands: [],
    quality: 'auto',
    waiting: [],
    degraded: false,
    reactions: [],
    chat: [],
    choices: {
      mic: [{ id: 'mic-1', label: 'Built-in Microphone' }],
      camera: [{ id: 'camera-1', label: 'HD Pro Webcam C920 (046d:082d)' }],
      speaker: [{ id: 'default', label: 'Default' }],
    },
    loudspeaker: '',
    path: { state: 'ready', relay: 'reached' },
    ...change,
  };
}

function lobby(change: Partial<MeetingView>): MeetingView {
  const { preview, ...pictureless } = view({ kind: 'lobby' }, change);
  preview?.getTracks().forEach((track) => {
    track.stop();
  });
  return pictureless;
}
const joined = (change: Partial<MeetingView> = {}): MeetingView =>
  view({ kind: 'joined', selfId: 'self' }, change);
const refused = (code: FailureCode): MeetingView =>
  view({ kind: 'refused', failure: { code } satisfies Failure });
const linked = (index: number, link: LinkState): Person => person(index, { link });

/** From here on like a browser that plays no sound before a gesture; pictures play by themselves. */
function wantGesture(): void {
  HTMLMediaElement.prototype.play = function (this: HTMLMediaElement) {
    if (this.muted) return Promise.resolve();
    return Promise.reject(new DOMException('a gesture first', 'NotAllowedError'));
  };
}

/** From here on like a browser that recognises speech on the device, and has understood two utterances. */
function recogniseSpeech(): void {
  const said = ['The next item is the budget.', '接下来我们看一下预算'].map((transcript) =>
    Object.assign([{ transcript }], { isFinal: true }),
  );
  class Recognition extends EventTarget {
    static available = () => Promise.resolve('available');
    start(): void {
      const event = Object.assign(new Event('result'), { results: said, resultIndex: 0 });
      queueMicrotask(() => this.dispatchEvent(event));
    }
    abort(): void {
      // Nothing goes on.
    }
  }
  Object.assign(globalThis, { SpeechRecognition: Recognition, chrome: {} });
}

/** Every state a person can be in, by name; `landing` needs no meeting. */
export const stories: Readonly<Record<string, () => MeetingView>> = {
  lobby: () => view({ kind: 'lobby' }),
  'lobby-asking': () => lobby({ mic: asked, camera: asked }),
  'lobby-denied': () => lobby({ mic: broken('permission_denied'), camera: broken('permission_denied') }),
  'lobby-busy': () => lobby({ camera: broken('device_busy'), mic: broken('no_device') }),
  'lobby-insecure': () => lobby({ mic: broken('insecure_context'), camera: broken('insecure_context') }),
  'lobby-app': () => lobby({ mic: broken('devices_unavailable'), camera: broken('devices_unavailable') }),
  'lobby-blocked': () => lobby({ camera: broken('device_blocked') }),
  'lobby-offline': () =>
    view({ kind: 'lobby' }, { path: { state: 'failed', failure: { code: 'server_unreachable' } } }),
  'lobby-no-relay': () => view({ kind: 'lobby' }, { path: { state: 'ready', relay: 'unreachable' } }),
  joining: () => view({ kind: 'joining' }, { signaling: 'connecting' }),
  'joining-trouble': () =>
    view({ kind: 'joining' }, { signaling: 'lost', trouble: { code: 'server_unreachable' } }),
  'joining-crowded': () =>
    view(
      { kind: 'joining' },
      { signaling: 'connecting', trouble: { code: 'too_many_connections', retryMs: 5_000 } },
    ),
  'joining-full': () =>
    view({ kind: 'joining' }, { signaling: 'connecting', trouble: { code: 'server_full', retryMs: 5_000 } }),
  'joining-foreign': () =>
    view({ kind: 'joining' }, { signaling: 'connecting', trouble: { code: 'origin_refused' } }),
  'lobby-foreign': () =>
    view({ kind: 'lobby' }, { path: { state: 'failed', failure: { code: 'origin_refused' } } }),
  alone: () => joined(),
  two: () => joined({ people: people(1) }),
  'back-camera': () =>
    joined({ people: people(1), camera: { ...on, id: 'camera-1', facing: 'environment' }, choices: phone }),
  three: () => joined({ people: people(2), camera: off, mic: off }),
  crowded: () => joined({ people: people(8).map((each) => ({ ...each, camera: true })) }),
  many: () => joined({ people: people(24) }),
  links: () =>
    joined({
      people: [
        linked(0, 'connecting'),
        linked(1, 'interrupted'),
        linked(2, 'failed'),
        linked(5, 'slow'),
        person(3, { away: true }),
        person(4),
      ],
    }),
  bars: () =>
    joined({
      people: [
        person(0, { quality: { bars: 3 } }),
        person(1, { quality: { bars: 3, reason: 'relayed' } }),
        person(2, { quality: { bars: 2, reason: 'loss' } }),
        person(3, { quality: { bars: 1, reason: 'delay' } }),
        person(4, { link: 'interrupted', quality: { bars: 0, reason: 'no_connection' } }),
      ],
    }),
  'safety-changed': () =>
    joined({ people: [person(0, { safety: 'changed' }), person(1, { safety: 'compared' })] }),
  lost: () => joined({ people: people(3), signaling: 'lost', trouble: { code: 'server_unreachable' } }),
  'lost-full': () => joined({ people: people(3), signaling: 'lost', trouble: { code: 'server_full' } }),
  'sound-blocked': () => {
    wantGesture();
    return joined({ people: people(2) });
  },
  'room-denied': () => joined({ people: people(1), camera: broken('permission_denied') }),
  presenter: () => joined({ people: [person(0, { screen: slide() }), ...people(5).slice(1)] }),
  presenting: () =>
    joined({ people: people(2), screen: { ...on, available: true, stream: slide() }, camera: off }),
  'screen-failed': () =>
    joined({ people: people(2), screen: { ...broken('screen_failed'), available: true } }),
  speaking: () =>
    joined({ people: [person(0), person(1, { speaking: true, mic: true }), person(2)], speaker: 'person-1' }),
  'audio-only': () => joined({ people: people(3), quality: 'audio' }),
  captions: () => {
    recogniseSpeech();
    return joined({ people: people(3), speaker: 'person-0' });
  },
  hands: () =>
    joined({
      hand: true,
      hands: ['person-2', 'self', 'person-1'],
      people: [person(0), person(1, { hand: true }), person(2, { hand: true })],
    }),
  host: () =>
    joined({
      role: 'host',
      settings: { locked: false, lobby: true, talk: true },
      waiting: [{ id: 'waits', name: 'Ángel Menéndez' }],
      people: [
        person(0),
        person(1),
        person(2, { role: 'listener', hand: true }),
        person(3, { role: 'listener' }),
      ],
    }),
  listener: () => joined({ role: 'listener', mic: off, camera: off, people: [person(0, { role: 'host' })] }),
  recording: () =>
    joined({
      people: [person(0), person(1, { recording: true }), person(2)],
      recording: { state: 'on', since: Date.now(), place: 'device' },
    }),
  'recording-host': () => joined({ people: people(2), role: 'host', recordingPlaces: ['device', 'server'] }),
  'recording-consent': () =>
    joined({ people: [person(0, { role: 'host', recording: true, recordsToServer: true }), person(1)] }),
  'recording-stayed': () =>
    joined({
      people: people(2),
      recording: { state: 'on', since: Date.now(), place: 'device', trouble: { code: 'upload_full' } },
    }),
  'lobby-recorded': () => view({ kind: 'lobby' }, { recorded: true }),
  reactions: () =>
    joined({
      people: people(3),
      reactions: [
        { id: 1, sign: '👏', from: 'person-0' },
        { id: 2, sign: '👏', from: 'person-0' },
        { id: 3, sign: '❤️', from: 'person-1' },
        { id: 4, sign: '🎉' },
      ],
    }),
  'speaking-self': () => joined({ people: people(2), speaking: true }),
  outdated: () => joined({ people: people(2), outdated: '0.2.0' }),
  'lobby-outdated': () => view({ kind: 'lobby' }, { outdated: '0.2.0' }),
  'recording-failed': () =>
    joined({ people: people(2), recording: { state: 'failed', failure: { code: 'recording_cut' } } }),
  'recording-falsified': () =>
    joined({ people: people(2), recording: { state: 'failed', failure: { code: 'recording_falsified' } } }),
  'recording-saved': () => view({ kind: 'left' }, { recording: { state: 'saving', left: 12 * 1024 ** 2 } }),
  asked: () =>
    joined({ mic: off, notice: { kind: 'asked', ask: 'unmute', by: 'Grace Hopper' }, people: people(2) }),
  'switched-off': () =>
    joined({ mic: off, notice: { kind: 'switched_off', what: 'mic', by: '张伟' }, people: people(2) }),
  waiting: () => view({ kind: 'waiting' }),
  'waiting-trouble': () =>
    view({ kind: 'waiting' }, { signaling: 'connecting', trouble: { code: 'server_unreachable' } }),
  removed: () => refused('removed'),
  ended: () => refused('ended'),
  'host-absent': () => refused('host_absent'),
  locked: () => refused('room_locked'),
  'lobby-refused': () => refused('lobby_refused'),
  'room-invalid': () => refused('room_invalid'),
  'token-missing': () => refused('token_missing'),
  misunderstood: () => refused('protocol_error'),
  unsupported: () => refused('browser_unsupported'),
  'host-left': () =>
    joined({
      people: people(2),
      notice: { kind: 'role', role: 'host', before: 'participant', reason: 'host_absent' },
    }),
  'host-back': () =>
    joined({
      people: people(2),
      notice: { kind: 'role', role: 'participant', before: 'host', reason: 'host_returned' },
    }),
  'host-again': () =>
    joined({
      role: 'host',
      people: people(2),
      notice: { kind: 'role', role: 'host', before: 'host', reason: 'host_returned' },
    }),
  demoted: () => joined({ people: people(2), notice: { kind: 'role', role: 'participant', before: 'host' } }),
  'chat-empty': () => joined({ people: people(1), chatSince: Date.now() - 3_600_000 }),
  chat: () => joined({ people: people(3), chat: conversation }),
  'device-notes': () =>
    joined({
      people: people(1),
      mic: { ...on, failure: { code: 'device_replaced' } },
      camera: { ...on, failure: { code: 'device_paused' } },
      notice: { kind: 'failure', failure: { code: 'page_slept' } },
    }),
  'servers-apart': () => joined({ people: people(3), degraded: true }),
  left: () => view({ kind: 'left' }),
  'name-refused': () => refused('name_invalid'),
  full: () => refused('room_full'),
  superseded: () => refused('superseded'),
  'wrong-address': () => refused('wrong_address'),
  'path-changed': () => refused('path_changed'),
};
