// The safety code with a malicious server between two people, and the certificate that it is derived from.

import { Firefox } from './lib/firefox.js';
import { Attacker, Middle } from './lib/middle.js';
import { block } from './lib/net.js';
import { Person, expect, expectSound, test as base } from './lib/test.js';

const BROWSERS = ['Chromium', 'Firefox'];

/** Video would take most of the time. */
const SOUND = { audio: true, video: false };

const test = base.extend({
  /** A person in a browser of this name. */
  at: async ({ person }, use) => {
    const firefoxes = [];
    await use(async (browser, name) => {
      if (browser === 'Chromium') return person(name);
      firefoxes.push(await Firefox.launch());
      return Person.at(firefoxes.at(-1), name);
    });
    await Promise.all(firefoxes.map((firefox) => firefox.close()));
  },

  middle: async ({ server }, use) => {
    const middle = await Middle.to(server);
    await use(middle);
    middle.close();
  },

  attacker: async ({ browser, server }, use) => {
    const context = await browser.newContext();
    await use(await Attacker.in(await context.newPage(), server.url));
    await context.close();
  },
});

/** Records a page's console warnings. */
function keepReports() {
  window.reports = [];
  console.warn = (problem) => window.reports.push(`${problem}`);
}

const reported = ({ page }, text) =>
  page.evaluate((text) => window.reports.some((report) => report.includes(text)), text);
const click = ({ page }, action) =>
  page.evaluate((action) => document.querySelector(`[data-action="${action}"]`).click(), action);
const state = ({ page }) => page.evaluate(() => window.probe.connections.at(-1).signalingState);
/** Returns the UDP ports of a page's connections. */
const ports = ({ page }) =>
  page.evaluate(async () => {
    const reports = await Promise.all(
      window.probe.connections.map(async (pc) => [...(await pc.getStats()).values()]),
    );
    return [
      ...new Set(
        reports.flat().flatMap(({ type, port }) => (type === 'local-candidate' && port > 9 ? [port] : [])),
      ),
    ];
  });
/** Triggers an ICE restart, as after a network change. */
const changeNetwork = ({ page }) => page.evaluate(() => window.dispatchEvent(new Event('online')));
const warning = ({ page }) =>
  page.evaluate(() => document.querySelector('[role=alert][data-safety-changed]')?.textContent);

/** Checks that two people hear each other. */
async function expectHeard([one, other]) {
  await expectSound(one, other.name);
  await expectSound(other, one.name);
}

/** Opens the safety code with the only other person and returns it; optionally confirms that it matches. */
async function code({ page, name }, { confirm = false } = {}) {
  const inPage = (script) => expect.poll(() => page.evaluate(script), { message: name });
  const shown = () => page.evaluate(() => document.querySelector('[data-panel=safety]')?.textContent);
  const read = () =>
    page.evaluate(() => {
      const panel = document.querySelector('[data-panel=safety]');
      const texts = (selector) =>
        [...panel.querySelectorAll(selector)].map((each) => each.textContent.trim());
      return { words: texts('li'), status: texts('[role=status]').join() };
    });
  await inPage(() => document.querySelector('[data-peer-id] [data-action=safety]') !== null).toBe(true);
  await page.evaluate(() => document.querySelector('[data-peer-id] [data-action=safety]').click());
  await expect.poll(shown, { message: name }).toMatch(/The pictures match|You have compared/);
  if (confirm) {
    await click({ page }, 'confirm-code');
    await inPage(() => document.querySelector('[data-action=confirm-code]') === null).toBe(true);
  }
  const found = await read();
  await page.evaluate(() => document.querySelector('[data-panel=safety] [data-action=close-panel]').click());
  await inPage(() => document.querySelector('[data-panel=safety]') === null).toBe(true);
  return { words: found.words.join(' '), compared: found.status.startsWith('You have compared') };
}

/** Puts the attacker between two pages, from their next first offer on. */
function takeCall(middle, attacker) {
  const pairs = {};
  middle.intercept = (from, to, { pair, first, description, candidate }) => {
    void (async () => {
      if (candidate) await attacker.candidate(from, candidate);
      else if (description?.type === 'answer') await attacker.accept(from, description);
      else if (first && description.type === 'offer' && pairs[from] !== pair) {
        pairs[from] = pairs[to] = pair;
        middle.say(from, to, { pair, description: await attacker.answer(from, description) });
        middle.say(to, from, { pair, first: true, description: await attacker.offer(to) });
      }
    })();
  };
  return pairs;
}

const fingerprint = /a=fingerprint:\S+ \S+/g;

for (const browser of BROWSERS) {
  test(`a server between two people cannot make their codes match by replaying offers: ${browser}`, async ({
    at,
    attacker,
    middle,
  }) => {
    const pairs = takeCall(middle, attacker);
    const people = [await at(browser, 'Ada'), await at(browser, 'Grace')];
    for (const each of people) {
      await each.page.addInitScript(keepReports);
      await each.join(middle.url, 'between', SOUND);
    }
    await expect.poll(() => middle.ids.length).toBe(2);
    const { ids } = middle;
    for (const id of ids) await expect.poll(() => attacker.packets(id)).toBeGreaterThan(0);
    const before = [await code(people[0]), await code(people[1])];
    expect(before[0].words).not.toBe(before[1].words);

    // Each page's certificate, as the other page should see it.
    const certificates = {};
    const answered = new Set();
    for (const [index, id] of ids.entries()) {
      certificates[id] = await people[index].page.evaluate(
        () => /a=fingerprint:\S+ \S+/.exec(window.probe.connections.at(-1).localDescription.sdp)[0],
      );
    }
    middle.intercept = (from) => void answered.add(from);
    for (const [index, id] of ids.entries()) {
      const other = ids[1 - index];
      const { type, sdp } = await attacker.offerAgain(id);
      const description = { type, sdp: sdp.replaceAll(fingerprint, certificates[other]) };
      middle.say(id, other, { pair: pairs[id], description });
      await expect
        .poll(async () => answered.has(id) || (await reported(people[index], 'fingerprint')))
        .toBe(true);
    }
    // Both still send to the attacker, and their codes still reveal it.
    for (const id of ids) {
      const seen = await attacker.packets(id);
      await expect.poll(() => attacker.packets(id)).toBeGreaterThan(seen);
    }
    expect([await code(people[0]), await code(people[1])]).toEqual(before);
  });

  test(`a server cannot take over a call whose codes were compared without being noticed: ${browser}`, async ({
    at,
    attacker,
    middle,
  }) => {
    const people = [await at(browser, 'Ada'), await at(browser, 'Grace')];
    for (const each of people) {
      await each.page.addInitScript(keepReports);
      await each.join(middle.url, 'taken', SOUND);
    }
    await expectHeard(people);
    const honest = await code(people[0], { confirm: true });
    expect(honest.compared).toBe(true);
    expect(await code(people[1], { confirm: true })).toEqual(honest);

    // Restarts reach the attacker instead, which answers them provisionally.
    const held = [];
    middle.intercept = (from, to, data) => {
      held.push([to, from, data]);
      const { pair, description, candidate } = data;
      if (candidate) {
        void attacker.candidate(from, candidate);
        return;
      }
      if (!description) return;
      // The DTLS roles stay: the side that answered the first offer is the client.
      const { type, sdp } = description;
      const offer = { type, sdp: from < to ? sdp : sdp.replaceAll('a=setup:actpass', 'a=setup:active') };
      void attacker.answer(from, offer).then((answer) => {
        middle.say(from, to, { pair, description: { type: 'pranswer', sdp: answer.sdp } });
      });
    };
    // The path breaks, too.
    const unblock = await block((await Promise.all(people.map(ports))).flat());
    try {
      for (const each of people) await changeNetwork(each);
      for (const each of people) {
        const handled = async () =>
          (await state(each)) === 'have-remote-pranswer' || reported(each, 'pranswer');
        await expect.poll(handled).toBe(true);
      }
      expect(await Promise.all(people.map(state))).toEqual(['have-local-offer', 'have-local-offer']);
    } finally {
      await unblock();
    }
    const packets = () => Promise.all(middle.ids.map((id) => attacker.packets(id)));
    middle.intercept = (_from, _to, data) => data;
    for (const [to, from, data] of held.splice(0)) middle.say(to, from, data);
    for (const each of people) await expect.poll(() => state(each)).toBe('stable');
    await expectHeard(people);
    expect(await packets()).toEqual([0, 0]);
    expect([await code(people[0]), await code(people[1])]).toEqual([honest, honest]);
    expect([await warning(people[0]), await warning(people[1])]).toEqual([undefined, undefined]);

    // A new connection has another certificate at its other end: both are warned.
    const pair = await new Promise((resolve) => {
      middle.intercept = (_from, _to, { pair }) => void resolve(pair);
      void Promise.all(people.map(changeNetwork));
    });
    takeCall(middle, attacker);
    const [offerer, polite] = middle.ids.sort();
    middle.say(offerer, polite, { pair, reset: true });
    for (const [each, other] of [people, people.toReversed()]) {
      await expect.poll(() => warning(each)).toContain(`safety code with ${other.name} has changed`);
    }
    await click(people[0], 'compare-again');
    const dialog = () =>
      people[0].page.evaluate(() => document.querySelector('[data-panel=safety] [role=alert]')?.textContent);
    await expect.poll(dialog).toContain('has changed since you compared it');
  });
}

for (const browser of BROWSERS) {
  test(`a server cannot take over a compared call with an offer of another layout: ${browser}`, async ({
    at,
    attacker,
    middle,
  }) => {
    const people = [await at(browser, 'Ada'), await at(browser, 'Grace')];
    for (const each of people) {
      await each.page.addInitScript(keepReports);
      await each.join(middle.url, 'layout', SOUND);
    }
    await expectHeard(people);
    for (const each of people) await code(each, { confirm: true });

    const [offerer, polite] = middle.ids.toSorted();
    const victim = people[middle.ids.indexOf(polite)];
    // The attacker takes what the victim answers.
    let answers = 0;
    middle.intercept = (from, _to, data) => {
      const { pair, description, candidate } = data;
      if (from !== polite || pair !== 'taken') return data;
      if (candidate) void attacker.candidate(from, candidate);
      if (description) void attacker.accept(from, description).then(() => (answers += 1));
    };
    const rejected = () =>
      victim.page.evaluate(
        () => window.reports.filter((report) => report.includes('m-lines of a call')).length,
      );
    const offer = async (description, more) => {
      const before = answers + (await rejected());
      middle.say(polite, offerer, { pair: 'taken', ...more, description });
      await expect.poll(async () => answers + (await rejected())).toBe(before + 1);
    };
    await offer(await attacker.offerChannel(polite), { first: true });
    expect(answers).toBe(0);
    // As if it had been answered.
    const description = await attacker.offerMedia(polite);
    for (const receive of ['no_camera', 'all']) {
      await offer(description);
      middle.say(polite, offerer, { pair: 'taken', receive });
    }
    middle.intercept = (_from, _to, data) => data;
    await expectHeard(people);
    expect(answers).toBe(0);
    expect(await attacker.channel(polite)).toEqual(['connecting', 0]);
    expect(await attacker.packets(polite)).toBe(0);
    for (const each of people)
      expect([(await code(each)).compared, await warning(each)]).toEqual([true, undefined]);
  });
}

test('a code survives reconnects and reloads, and leaving ends it', async ({ at, server }) => {
  const ada = await at('Chromium', 'Ada');
  const grace = await at('Firefox', 'Grace');
  const people = [ada, grace];
  for (const each of people) await each.join(server.url, 'lasting', SOUND);
  const first = await code(ada, { confirm: true });
  expect(first.words.split(' ').length).toBeGreaterThanOrEqual(15);
  expect(await code(grace, { confirm: true })).toEqual(first);

  // With another key the server recognizes nobody: both get new ids, and create a new connection.
  await server.kill();
  await server.start();
  const connection = ({ page }) =>
    page.evaluate(() => [window.probe.connections.length, window.probe.connections.at(-1).connectionState]);
  for (const each of people) await expect.poll(() => connection(each)).toEqual([2, 'connected']);
  expect([await code(ada), await code(grace)]).toEqual([first, first]);
  for (const reloading of people) {
    await reloading.join(server.url, 'lasting', SOUND);
    expect([await code(ada), await code(grace)]).toEqual([first, first]);
  }
  expect([await warning(ada), await warning(grace)]).toEqual([undefined, undefined]);

  await click(grace, 'leave');
  await grace.join(server.url, 'lasting', SOUND);
  await expect.poll(() => warning(ada)).toContain('safety code with Grace has changed');
  const next = await code(ada);
  expect(next.words).not.toBe(first.words);
  expect(await code(grace)).toEqual({ ...next, compared: false });
  expect(await warning(grace)).toBeUndefined();
});
