// Calls without a direct path, through a real coturn.

import { expect, expectAllSeen, STALL_MS, test as base } from './lib/test.js';
import { TurnClient } from './lib/stun.js';
import { Turn } from './lib/turn.js';

/** Restricts a page to relayed paths, and replaces the credentials if given. */
function relayOnly(credentials) {
  const narrow = ({ iceServers = [], ...more } = {}) => ({
    ...more,
    iceServers: iceServers.map((server) => (server.username ? { ...server, ...credentials } : server)),
    iceTransportPolicy: 'relay',
  });
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration, ...more) {
      super(narrow(configuration), ...more);
    }

    setConfiguration(configuration) {
      super.setConfiguration(narrow(configuration));
    }
  };
}

const test = base.extend({
  /** Transport between browsers and the relay. */
  transport: ['udp', { option: true }],

  /** Additional flags of coturn. */
  flags: [[], { option: true }],

  turn: async ({ flags }, use) => {
    const turn = await Turn.start({ flags });
    await use(turn);
    await turn.stop();
  },

  settings: async ({ turn, transport }, use) => {
    await use({ ROUNDTABLE_ICE_URLS: turn.url(transport), ROUNDTABLE_TURN_SECRET: turn.secret });
  },

  /** A person in a room who reaches others only through the relay. */
  joinByRelay: async ({ person, server }, use) => {
    await use(async (name, room, credentials = {}) => {
      const someone = await person(name);
      await someone.page.addInitScript(relayOnly, credentials);
      await someone.join(server.url, room, { audio: true });
      return someone;
    });
  },
});

/** Returns the paths of a person's media, according to the statistics: candidate type and destination. */
function ways({ page }) {
  return page.evaluate(async () => {
    const all = [];
    for (const pc of window.probe.connections) {
      const stats = await pc.getStats();
      for (const { type, selectedCandidatePairId } of stats.values()) {
        if (type !== 'transport' || !selectedCandidatePairId) continue;
        const local = stats.get(stats.get(selectedCandidatePairId).localCandidateId);
        all.push([local.candidateType, local.relayProtocol]);
      }
    }
    return all;
  });
}

/** Returns whether a new client gets an allocation with these credentials. */
function isLetIn({ page }, server) {
  return page.evaluate(async (server) => {
    const pc = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
    const ended = new Promise((resolve) => {
      pc.onicecandidate = ({ candidate }) => resolve(Boolean(candidate?.candidate));
    });
    pc.createDataChannel('');
    await pc.setLocalDescription();
    const answer = await ended;
    pc.close();
    return answer;
  }, server);
}

for (const transport of ['udp', 'tcp']) {
  test.describe(`a relay over ${transport}`, () => {
    test.use({ transport });

    test('the lobby says that it is reached, and media flows', async ({ joinByRelay, person, server }) => {
      const alan = await person('Alan');
      await alan.page.goto(`${server.url}r/relayed`);
      await expect(alan.page.locator('[data-path]')).toHaveAttribute('data-path', 'reached');

      const ada = await joinByRelay('Ada', 'relayed');
      const grace = await joinByRelay('Grace', 'relayed');
      await expectAllSeen([ada, grace]);
      for (const someone of [ada, grace]) expect(await ways(someone)).toEqual([['relay', transport]]);
    });
  });
}

test('credentials end in a call: it goes on, while nobody new gets in with them', async ({
  joinByRelay,
  person,
  server,
  turn,
}) => {
  const alan = await person('Alan');
  await alan.page.goto(server.url);
  const credentials = turn.credentials(15);
  const ada = await joinByRelay('Ada', 'long', credentials);
  const grace = await joinByRelay('Grace', 'long', credentials);
  await expectAllSeen([ada, grace]);
  const offers = ada.offers + grace.offers;

  const newcomer = { urls: turn.url('udp'), ...credentials };
  await expect.poll(() => isLetIn(alan, newcomer), { timeout: 40_000 }).toBe(false);
  expect(await isLetIn(alan, { ...newcomer, ...turn.credentials(60) })).toBe(true);
  await expectAllSeen([ada, grace]);
  for (const someone of [ada, grace]) expect(await ways(someone)).toEqual([['relay', 'udp']]);
  expect(ada.offers + grace.offers).toBe(offers);
});

/** Returns the username of future relay requests, the relay's ports, and ICE's id of the path in use. */
function path({ page }) {
  return page.evaluate(async () => {
    const [pc] = window.probe.connections;
    const stats = await pc.getStats();
    const transport = [...stats.values()].find(({ type }) => type === 'transport');
    const pair = stats.get(transport.selectedCandidatePairId);
    const [local, remote] = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
    return {
      user: pc.getConfiguration().iceServers.find(({ username }) => username),
      ports: [local.port, remote.port],
      name: transport.iceLocalUsernameFragment,
    };
  });
}

for (const transport of ['udp', 'tcp']) {
  test.describe(`credentials that are good for 12 s, over ${transport}`, () => {
    test.use({
      transport,
      settings: async ({ turn, transport }, use) => {
        await use({
          ROUNDTABLE_ICE_URLS: turn.url(transport),
          ROUNDTABLE_TURN_SECRET: turn.secret,
          ROUNDTABLE_TURN_LIFETIME: '12s',
        });
      },
    });

    test('end in a call: others have come before, and ICE finds a new path by them', async ({
      joinByRelay,
      person,
      server,
      turn,
    }) => {
      const alan = await person('Alan');
      await alan.page.goto(server.url);
      const people = [await joinByRelay('Ada', 'renewed'), await joinByRelay('Grace', 'renewed')];
      await expectAllSeen(people);
      const before = await Promise.all(people.map(path));
      for (const { page } of people) await page.evaluate(() => window.probe.watch());
      for (const { user } of before) {
        const { username, credential } = user;
        const newcomer = { urls: turn.url('udp'), username, credential };
        await expect.poll(() => isLetIn(alan, newcomer), { timeout: 40_000 }).toBe(false);
      }
      // The old path is still in use, whatever happened to its credentials.
      expect((await Promise.all(people.map(path))).map(({ ports }) => ports)).toEqual(
        before.map(({ ports }) => ports),
      );

      await people[0].page.evaluate(() => window.probe.connections[0].restartIce());
      for (const [index, someone] of people.entries()) {
        const old = before[index];
        await expect
          .poll(
            async () => {
              const { name, ports } = await path(someone);
              return name !== old.name && ports.every((port) => !old.ports.includes(port));
            },
            { message: `${someone.name} has another path` },
          )
          .toBe(true);
      }
      await expectAllSeen(people);
      for (const someone of people) {
        expect(await ways(someone)).toEqual([['relay', transport]]);
        const [other] = people.filter((each) => each !== someone);
        const { stalled } = await someone.page.evaluate(() => window.probe.watched());
        expect(stalled[other.name], `${someone.name} sees ${other.name}`).toBeLessThan(STALL_MS);
      }
    });
  });
}

test.describe('what browsers ask for every few minutes', () => {
  test.use({ flags: ['--stale-nonce=2'] });

  test('is granted past the end of the credentials, also with a new nonce', async ({ turn }) => {
    const credentials = turn.credentials(3);
    const peer = await TurnClient.connect(turn, turn.credentials(60));
    const member = await TurnClient.connect(turn, credentials);
    expect([await member.allocate(), await peer.allocate()]).toEqual([0, 0]);

    await expect
      .poll(async () => {
        const newcomer = await TurnClient.connect(turn, credentials);
        const code = await newcomer.allocate();
        await newcomer.close();
        return code;
      })
      .toBe(401);
    expect(await member.refresh(600)).toBe(0);
    expect([await member.permit(turn.host), await peer.permit(turn.host)]).toEqual([0, 0]);
    peer.send(member.relayed, 'still there?');
    expect(await member.next()).toEqual({ from: peer.relayed, text: 'still there?' });
    await Promise.all([member.close(), peer.close()]);
  });
});

test.describe('another secret than the relay’s', () => {
  test.use({
    settings: async ({ turn, transport }, use) => {
      await use({
        ROUNDTABLE_ICE_URLS: turn.url(transport),
        ROUNDTABLE_TURN_SECRET: 'not that of the relay, but as long as it',
      });
    },
  });

  test('the lobby says that the relay is not reached, the call that there is no path', async ({
    joinByRelay,
    person,
    server,
  }) => {
    const alan = await person('Alan');
    await alan.page.goto(`${server.url}r/refused`);
    await expect(alan.page.locator('[data-path]')).toHaveAttribute('data-path', 'unreachable');
    await expect(alan.page.locator('[data-path]')).toContainText('may not work from this network');

    const ada = await joinByRelay('Ada', 'refused');
    const grace = await joinByRelay('Grace', 'refused');
    for (const [someone, other] of [
      [ada, 'Grace'],
      [grace, 'Ada'],
    ]) {
      const notice = someone.tile(other).locator('[data-failure=no_path]');
      await expect(notice).toContainText('TURN relay', { timeout: 60_000 });
    }
  });
});
