import { beforeEach, describe, expect, test } from 'vitest';
import { Negotiation, type NegotiationMessage } from './negotiation';
import { FakeClock, settled } from './testing/clock';
import { FakeCertificate, FakeNetwork, type FakePeerConnection } from './testing/rtc';

/** One side, and its undelivered messages. */
interface Side {
  readonly pc: FakePeerConnection;
  readonly negotiation: Negotiation;
  readonly out: NegotiationMessage[];
}

let network: FakeNetwork;
let clock: FakeClock;
let errors: unknown[];
let polite: Side;
let impolite: Side;

function side(isPolite: boolean): Side {
  const pc = network.newConnection();
  const out: NegotiationMessage[] = [];
  const negotiation = new Negotiation({
    pc: pc as unknown as RTCPeerConnection,
    polite: isPolite,
    clock,
    send: (message) => out.push(message),
    beforeAnswer: () => Promise.resolve(),
    onError: (error) => errors.push(error),
  });
  return { pc, negotiation, out };
}

/** Delivers messages until both sides have no more. */
async function talk(): Promise<void> {
  await settled();
  while (polite.out.length + impolite.out.length > 0) {
    for (const message of polite.out.splice(0)) impolite.negotiation.handle(message);
    for (const message of impolite.out.splice(0)) polite.negotiation.handle(message);
    await settled();
  }
}

function expectConnected(): void {
  expect([polite.pc.connectionState, impolite.pc.connectionState]).toEqual(['connected', 'connected']);
  expect([polite.pc.signalingState, impolite.pc.signalingState]).toEqual(['stable', 'stable']);
  expect(errors).toEqual([]);
}

beforeEach(async () => {
  network = new FakeNetwork();
  clock = new FakeClock();
  errors = [];
  polite = side(true);
  impolite = side(false);
  impolite.pc.addTransceiver('audio', { direction: 'sendrecv' });
  await talk();
});

test('an offer is answered, and candidates arrive', () => {
  expectConnected();
  expect([polite.pc.candidates, impolite.pc.candidates]).toMatchObject([[{}], [{}]]);
});

test('when both offer at once, the polite one rolls back, and its wish is met all the same', async () => {
  polite.pc.addTransceiver('video', { direction: 'sendrecv' });
  impolite.pc.restartIce();
  await settled();
  expect([polite.pc.signalingState, impolite.pc.signalingState]).toEqual([
    'have-local-offer',
    'have-local-offer',
  ]);
  await talk();
  expectConnected();
  expect(impolite.pc.transceivers).toHaveLength(2);
});

test('glare in any order of delivery ends stable', async () => {
  for (let order = 0; order < 16; order++) {
    polite.negotiation.restart();
    impolite.negotiation.restart();
    await settled();
    for (let step = 0; step < 4; step++) {
      const [from, to] = (order >> step) & 1 ? [polite, impolite] : [impolite, polite];
      const message = from.out.shift();
      if (message) to.negotiation.handle(message);
      if (step % 2) await settled();
    }
    await talk();
    expectConnected();
  }
});

test('candidates that come before the description wait for it', async () => {
  const late = side(true);
  const early = side(false);
  early.pc.addTransceiver('audio', { direction: 'sendrecv' });
  await settled();
  for (const message of early.out.reverse()) late.negotiation.handle(message);
  await settled();
  expect(late.pc.candidates).toHaveLength(1);
  expect(errors).toEqual([]);
});

describe('descriptions that a server has changed', () => {
  /** Returns a side's restart offer, which is not delivered to the other side. */
  const offerOf = async (from: Side): Promise<string> => {
    from.negotiation.restart();
    await settled();
    return from.out.splice(0).find(({ description }) => description)?.description?.sdp ?? '';
  };
  const withOwnCertificate = (sdp: string): string =>
    sdp.replace(/(?<=a=fingerprint:).*/, new FakeCertificate('Eve').fingerprint);
  const handle = async ({ negotiation }: Side, type: unknown, sdp: string): Promise<void> => {
    negotiation.handle({ description: { type: type as RTCSdpType, sdp } });
    await settled();
  };
  const remotes = (): unknown[] => [polite, impolite].map(({ pc }) => pc.remoteDescription);

  test.each(['pranswer', 'rollback', ['answer']])('the type %j is rejected', async (type) => {
    const before = remotes();
    await handle(impolite, type, await offerOf(impolite));
    expect(errors).toHaveLength(1);
    expect(remotes()).toEqual(before);
    expect(impolite.pc.signalingState).toBe('have-local-offer');
  });

  test('another certificate than that of the first description is rejected', async () => {
    const before = remotes();
    const sdp = withOwnCertificate(await offerOf(impolite));
    await handle(polite, 'offer', sdp);
    await handle(impolite, 'answer', sdp);
    expect(errors).toHaveLength(2);
    expect(remotes()).toEqual(before);
    expect(impolite.pc.signalingState).toBe('have-local-offer');
  });

  test('a description without a fingerprint, or with two, is rejected', async () => {
    const fresh = side(true);
    const sdp = await offerOf(impolite);
    await handle(fresh, 'offer', sdp.replace('a=fingerprint', 'a=x'));
    await handle(fresh, 'offer', sdp + withOwnCertificate(sdp));
    expect(errors).toHaveLength(2);
    expect(fresh.pc.remoteDescription).toBeNull();
  });
});

describe('a restart with Firefox', () => {
  const candidatesOf = ({ out }: Side) => out.flatMap(({ candidate }) => candidate ?? []);
  const deliver = async (from: Side, to: Side, only: 'description' | 'candidate') => {
    const messages = from.out.filter((message) => message[only]);
    from.out.splice(0, Infinity, ...from.out.filter((message) => !message[only]));
    for (const message of messages) to.negotiation.handle(message);
    await settled();
  };

  beforeEach(async () => {
    // The browser's name is part of the current descriptions.
    polite.pc.firefox = true;
    impolite.negotiation.restart();
    await talk();
    expectConnected();
  });

  test.each(['offers', 'answers'])('shows it candidates when it has shown one; it %s', async (does) => {
    const [offering, answering] = does === 'offers' ? [polite, impolite] : [impolite, polite];
    offering.negotiation.restart();
    await settled();
    await deliver(offering, answering, 'description');
    await deliver(answering, offering, 'description');
    expect([candidatesOf(polite), candidatesOf(impolite)]).toMatchObject([[{}], []]);
    await deliver(polite, impolite, 'candidate');
    expect(candidatesOf(impolite)).toHaveLength(1);
    await talk();
    expectConnected();
  });

  test('shows it none before, also where an offer is sent again', async () => {
    impolite.negotiation.restart();
    await settled();
    const { pendingLocalDescription: offer } = impolite.pc;
    // As browsers do after gathering.
    impolite.pc.pendingLocalDescription = { type: 'offer', sdp: `${offer?.sdp ?? ''}a=candidate:1\r\n` };
    impolite.negotiation.recheck();
    expect(impolite.out).toEqual([{ description: offer }, { description: offer }]);
  });

  test('takes those in an offer that it sent again for its first', async () => {
    polite.negotiation.restart();
    await settled();
    polite.out.length = 0;
    const { pendingLocalDescription: offer } = polite.pc;
    polite.pc.pendingLocalDescription = { type: 'offer', sdp: `${offer?.sdp ?? ''}a=candidate:1\r\n` };
    polite.negotiation.recheck();
    await deliver(polite, impolite, 'description');
    expect(candidatesOf(impolite)).toHaveLength(1);
  });

  test.each([true, false])('leaves DTLS as it is, whatever the answer says; polite: %s', async (isPolite) => {
    const [offering, answering] = isPolite ? [polite, impolite] : [impolite, polite];
    answering.pc.firefox = true;
    for (let times = 0; times < 2; times++) {
      offering.negotiation.restart();
      await talk();
      expectConnected();
      answering.negotiation.restart();
      await talk();
      expectConnected();
    }
  });
});

test('a message that is wrong is an error, and the next one is handled', async () => {
  polite.negotiation.handle({ candidate: { candidate: 'x', usernameFragment: 'of nobody' } });
  impolite.negotiation.restart();
  await settled();
  expect(errors).toHaveLength(1);
  errors = [];
  await talk();
  expectConnected();
});

describe('paths', () => {
  test('a failed one is looked for anew by both', () => {
    polite.pc.enter('failed');
    impolite.pc.enter('failed');
    expect([polite.pc.restarts, impolite.pc.restarts]).toEqual([1, 1]);
  });

  test('an interrupted one has 3 s to come back', () => {
    impolite.pc.enter('disconnected');
    clock.advance(2_999);
    impolite.pc.enter('connected');
    clock.advance(10_000);
    expect(impolite.pc.restarts).toBe(0);
    impolite.pc.enter('disconnected');
    clock.advance(3_000);
    expect(impolite.pc.restarts).toBe(1);
  });
});

describe('after signaling was away', () => {
  test.each(['offer', 'answer'])('a lost %s does not leave the pair stuck', async (lost) => {
    impolite.negotiation.restart();
    await settled();
    if (lost === 'answer') {
      for (const message of impolite.out.splice(0)) polite.negotiation.handle(message);
      await settled();
    }
    impolite.out.length = 0;
    polite.out.length = 0;
    expect(impolite.pc.signalingState).toBe('have-local-offer');
    polite.negotiation.recheck();
    impolite.negotiation.recheck();
    await talk();
    expectConnected();
  });

  test('a lost offer of the polite side is sent again too', async () => {
    polite.negotiation.restart();
    await settled();
    polite.out.length = 0;
    polite.negotiation.recheck();
    await talk();
    expectConnected();
  });

  test('an offer that was not lost may be answered twice', async () => {
    impolite.negotiation.restart();
    await settled();
    impolite.negotiation.recheck();
    await talk();
    expectConnected();
  });

  test('a pair that is well is left alone', async () => {
    polite.negotiation.recheck();
    impolite.negotiation.recheck();
    await settled();
    expect([polite.out, impolite.out]).toEqual([[], []]);
  });

  test('without a path the offering side restarts', async () => {
    network.setUp(false);
    polite.negotiation.recheck();
    impolite.negotiation.recheck();
    expect([polite.pc.restarts, impolite.pc.restarts]).toEqual([0, 1]);
    network.setUp(true);
    await talk();
    expectConnected();
  });
});

test('nothing is said or done after the end', async () => {
  impolite.pc.enter('disconnected');
  impolite.negotiation.close();
  impolite.pc.close();
  impolite.negotiation.handle({ description: { type: 'offer', sdp: '{}' } });
  impolite.negotiation.restart();
  impolite.negotiation.recheck();
  clock.advance(10_000);
  await settled();
  expect([impolite.out, errors, clock.waits]).toEqual([[], [], []]);
});
