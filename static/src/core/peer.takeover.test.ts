import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Peer, type SignalData } from './peer';
import { FakeClock, settled } from './testing/clock';
import { ADA, GRACE } from './testing/fixtures';
import {
  FakeCertificate,
  fakeMedia,
  FakeNetwork,
  type FakePeerConnection,
  FakeTransport,
} from './testing/rtc';

/** Longer than a certificate may stay unread. */
const LONG_MS = 10_000;

let network: FakeNetwork;
let clock: FakeClock;
let errors: unknown[];
/** The attacked page. */
let page: Peer;
let sent: SignalData[];

function begin(selfId: string, id: string): void {
  network = new FakeNetwork();
  clock = new FakeClock();
  errors = [];
  sent = [];
  page = new Peer({
    selfId,
    id,
    configuration: {},
    tracks: { mic: null, camera: null, screen: null, screenSound: null },
    media: fakeMedia(network),
    clock,
    send: (data) => sent.push(data),
    onLink: () => undefined,
    onFingerprints: () => undefined,
    onChannel: () => undefined,
    onError: (error) => errors.push(error),
  });
}

async function described(pc: FakePeerConnection): Promise<RTCSessionDescriptionInit> {
  await pc.setLocalDescription();
  await settled();
  return JSON.parse(JSON.stringify(pc.localDescription)) as RTCSessionDescriptionInit;
}

/** What the page has sent. */
function descriptions(): RTCSessionDescriptionInit[] {
  return sent.flatMap((data) => ('description' in data ? [data.description] : []));
}

/** Another end of a connection, which has the layout of a call. */
function offerer(): FakePeerConnection {
  const pc = network.newConnection();
  for (const kind of ['audio', 'video', 'video', 'audio']) pc.addTransceiver(kind, { direction: 'sendrecv' });
  pc.createDataChannel('chat', {});
  return pc;
}

/** Connects the page to another one that offers; returns both ends. */
async function connect(pair = 'honest'): Promise<[other: FakePeerConnection, own: FakePeerConnection]> {
  const other = offerer();
  page.handle({ pair, first: true, description: await described(other) });
  await settled();
  const own = network.connections.at(-1);
  const answer = descriptions().at(-1);
  if (!own || !answer) throw new Error('no answer');
  await other.setRemoteDescription(answer);
  await settled();
  return [other, own];
}

const replacing =
  (from: string | RegExp, to: string) =>
  (sdp: string): string => {
    expect(sdp).toMatch(from);
    return sdp.replace(from, to);
  };
const OTHER_LAYOUTS = {
  'the data channel alone': replacing(/a=group[^]*?(?=m=application)/, 'a=group:BUNDLE 4\r\n'),
  'no data channel': replacing(/ 4\r\n([^]*)m=application[^]*/, '\r\n$1'),
  'one line more': (sdp: string) =>
    replacing(/BUNDLE.*/, 'BUNDLE 0 1 2 3 4 5')(`${sdp}m=audio 9 X 0\r\na=mid:5\r\n`),
  'another order': replacing('m=video', 'm=audio'),
  'a rejected line': replacing('m=audio 9', 'm=audio 0'),
  'a line that is not in the bundle': replacing('BUNDLE 0 ', 'BUNDLE '),
  'no bundle': replacing(/a=group.*\r\n/, ''),
  'lines that no browser reads': replacing('a=group', 's=\ra=group'),
} satisfies Record<string, (sdp: string) => string>;

const tampered = ({ type, sdp = '' }: RTCSessionDescriptionInit, by: (sdp: string) => string): object => ({
  type,
  sdp: by(sdp),
});

describe.each(Object.entries(OTHER_LAYOUTS))('a description with %s', (_name, tamper) => {
  test('is rejected as a first offer, and the present connection stays', async () => {
    begin(GRACE, ADA);
    const [, own] = await connect();
    const { length } = network.connections;
    page.handle({ pair: 'taken', first: true, description: tampered(await described(offerer()), tamper) });
    await settled();
    expect(errors).toHaveLength(1);
    expect(network.connections).toHaveLength(length + 1);
    expect([own.signalingState, page.link]).toEqual(['stable', 'connected']);
  });

  test('is rejected as a later offer', async () => {
    begin(GRACE, ADA);
    const [other, own] = await connect();
    const before = own.remoteDescription;
    page.handle({ pair: 'honest', description: tampered(await described(other), tamper) });
    await settled();
    expect(errors).toHaveLength(1);
    expect(own.remoteDescription).toBe(before);
  });

  test('is rejected as an answer', async () => {
    begin(ADA, GRACE);
    await settled();
    const [offer] = descriptions();
    if (!offer) throw new Error('no offer');
    const other = network.newConnection();
    await other.setRemoteDescription(offer);
    page.handle({ pair: sent[0]?.pair, description: tampered(await described(other), tamper) });
    await settled();
    expect(errors).toHaveLength(1);
    expect(network.connections[0]?.signalingState).toBe('have-local-offer');
  });
});

test('a bundle-only line of an offer is no rejected one', async () => {
  begin(GRACE, ADA);
  const description = await described(offerer());
  const tamper = replacing('m=video 9 X 0', 'm=video 0 X 0\r\na=bundle-only');
  page.handle({ pair: 'x', first: true, description: tampered(description, tamper) });
  await settled();
  expect([errors, descriptions().length]).toEqual([[], 1]);
});

describe('a connection is closed', () => {
  beforeEach(() => {
    begin(GRACE, ADA);
  });

  test('whose offer has made other lines than it seems to have', async () => {
    const [other, own] = await connect();
    own.addTransceiver('audio', { direction: 'sendrecv' });
    page.handle({ pair: 'honest', description: await described(other) });
    await settled();
    expect([own.signalingState, page.link, errors.length]).toEqual(['closed', 'interrupted', 1]);
  });

  test('that cannot have the data channel, before it has any media', async () => {
    const description = await described(offerer());
    const made = network.newConnection.bind(network);
    network.newConnection = (configuration) => {
      const pc = made(configuration);
      pc.createDataChannel = () => {
        throw new Error('OperationError: the id is taken');
      };
      return pc;
    };
    page.handle({ pair: 'x', first: true, description });
    await settled();
    expect([network.connections.at(-1)?.signalingState, errors.length]).toEqual(['closed', 1]);
    expect(page.stream.getTracks()).toEqual([]);
    expect(descriptions()).toEqual([]);
  });
});

describe('the certificate', () => {
  let own: FakePeerConnection;
  const mallory = new FakeCertificate('Mallory');

  beforeEach(async () => {
    begin(GRACE, ADA);
    const [other, end] = await connect();
    own = end;
    await vi.waitFor(() => {
      expect(page.fingerprints).toContain(other.certificate.fingerprint);
    });
  });

  /** What the page has to say of the certificate at last. */
  async function expectFingerprints(expected: unknown): Promise<void> {
    await vi.waitFor(() => {
      clock.advance(LONG_MS);
      expect(page.fingerprints).toEqual(expected);
    });
  }

  test('is that of the data channel where nothing else has a transport', async () => {
    for (const { sender, receiver } of own.transceivers) sender.transport = receiver.transport = null;
    own.sctp = { transport: new FakeTransport() };
    own.onconnectionstatechange?.();
    own.sctp.transport.enter(mallory);
    await expectFingerprints(expect.stringContaining(mallory.fingerprint));
  });

  test.each(['sender', 'receiver', 'sctp'] as const)('is none where that of %s is another', async (end) => {
    const transport = new FakeTransport();
    const line = end === 'sctp' ? own.sctp : own.transceivers[1]?.[end];
    if (line) line.transport = transport;
    transport.enter(mallory);
    own.onconnectionstatechange?.();
    await expectFingerprints('');
  });

  test('is not asked for when the other end has closed DTLS', async () => {
    own.transport.remote = undefined;
    own.transport.state = 'closed';
    own.transport.onstatechange?.();
    own.onconnectionstatechange?.();
    await settled();
    clock.advance(LONG_MS);
    await settled();
    expect(page.fingerprints).toBeUndefined();
  });

  test('is none where a connection that is up does not show it', async () => {
    own.transport.getRemoteCertificates = () => [];
    own.onconnectionstatechange?.();
    expect(page.fingerprints).toBeUndefined();
    await expectFingerprints('');
    own.onconnectionstatechange?.();
    await expectFingerprints('');
  });
});
