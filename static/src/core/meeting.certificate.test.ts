import { beforeEach, describe, expect, test } from 'vitest';
import type { Environment } from './environment';
import { settled } from './testing/clock';
import { ADA, GRACE, peer, welcome } from './testing/fixtures';
import { begin, environment, meeting, network, page, prepare, problems, sockets } from './testing/meeting';
import { FakeCertificate } from './testing/rtc';
import { Verification } from './verification';

beforeEach(prepare);

describe('the certificate of a session', () => {
  let ends: number;
  let environmentWith: Environment;
  const certificate = new FakeCertificate('Ada');
  const opened = (): Verification =>
    new Verification({
      certificate: certificate as unknown as RTCCertificate,
      comparisons: [],
      save: () => undefined,
      end: () => (ends += 1),
    });
  const open = async (): Promise<void> => {
    meeting.join('Ada');
    expect(sockets.all).toEqual([]);
    await settled();
    sockets.last.open();
    sockets.last.receive(welcome(ADA, { peers: [peer(GRACE)] }));
  };

  beforeEach(() => {
    ends = 0;
    environmentWith = { ...environment, verification: () => Promise.resolve(opened()) };
    begin({ environment: environmentWith });
  });

  test('is there before the join, is used for each connection, and ends with leaving', async () => {
    await open();
    expect(network.connections.map((each) => each.certificate)).toEqual([certificate]);
    meeting.leave();
    await settled();
    expect(ends).toBe(1);
  });

  test('outlives a page that ends, and leaving before it is there leaves nothing', async () => {
    await open();
    page?.onHide(false);
    await settled();
    expect(ends).toBe(0);
    begin({ environment: environmentWith });
    meeting.join('Ada');
    meeting.leave();
    await settled();
    expect([ends, sockets.all.length]).toEqual([1, 1]);
  });

  test('is made by the browser where there is none', async () => {
    const problem = new Error('no storage');
    begin({ environment: { ...environment, verification: () => Promise.reject(problem) } });
    await open();
    expect(network.connections).toHaveLength(1);
    expect(problems).toEqual([problem]);
  });
});
