/** A meeting with fakes, created again before each test. */
import { addressOf } from '../address';
import type { Environment, PageListener } from '../environment';
import { Meeting, type MeetingOptions } from '../meeting';
import { FakeClock } from './clock';
import { FakeDevices } from './devices';
import { ADA, welcome } from './fixtures';
import { fakeMedia, FakeNetwork } from './rtc';
import { FakeSockets } from './socket';

/** Without an origin proof, so that a `join` is sent as soon as the socket is open. */
export const address = { ...addressOf('https://a.example/meet/r/standup', '../'), originProof: undefined };

export let clock: FakeClock;
export let sockets: FakeSockets;
export let network: FakeNetwork;
export let devices: FakeDevices;
export let page: PageListener | undefined;
export let problems: unknown[];
export let posts: [url: string, text: string][];
export let environment: Environment;
export let meeting: Meeting;

/** Setup of each test: `beforeEach(prepare)`. */
export function prepare(): void {
  clock = new FakeClock();
  sockets = new FakeSockets();
  network = new FakeNetwork();
  devices = new FakeDevices();
  page = undefined;
  problems = [];
  posts = [];
  environment = {
    connect: sockets.connect,
    fetch: () => Promise.reject(new Error('refused')),
    post: (url, text) => posts.push([url, text]),
    clock,
    mediaDevices: devices,
    isSecure: true,
    display: devices,
    media: fakeMedia(network),
    files: { canSave: () => true, save: () => Promise.resolve(undefined), download: () => undefined },
    newLevelReader: () => ({ read: () => 0.1, close: () => undefined }),
    watchPage: (listener) => {
      page = listener;
      return () => (page = undefined);
    },
    report: (problem) => problems.push(problem),
  };
  begin();
}

/** Starts another meeting in the same environment. */
export function begin(changes: Partial<MeetingOptions> = {}): void {
  meeting = new Meeting({ room: 'standup', address, environment, ...changes });
}

export function enter(changes: Parameters<typeof welcome>[1] = {}): void {
  meeting.join('Ada');
  sockets.last.open();
  sockets.last.receive(welcome(ADA, changes));
}
