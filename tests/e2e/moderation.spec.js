// Moderation by hosts, enforced by the server: forged messages are rejected.

import { expect, expectPictures, expectSignaling, expectSound, test as base } from './lib/test.js';

/** Exposes the page's socket and the messages it receives, so that a forger can use it. */
function tap() {
  window.heard = [];
  const { WebSocket } = window;
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      window.socket = this;
      this.addEventListener('message', ({ data }) => window.heard.push(JSON.parse(data)));
    }
  };
}

const test = base.extend({
  /** A person in a room; the first one is its host. */
  enter: async ({ person, server }, use) => {
    await use(async (name, room, { query = {}, ...options } = {}) => {
      const someone = await person(name);
      await someone.page.addInitScript(tap);
      await someone.join(server.url, room, { video: false, ...options, query });
      return someone;
    });
  },
});

/** Checks that a person is in the room, by their own tile. */
const inside = (person) => expect(person.ownTile).toBeVisible();

const row = (person, name) => person.page.locator(`[data-person="${name}"]`);

/** Opens the list of people. */
async function list(person) {
  await person.button('people').click();
  await expect(person.page.locator('[data-panel=people]')).toBeVisible();
}

/** Performs an action on a person in the open list. */
async function act(person, name, action) {
  await row(person, name).locator('[data-action=person-actions]').click();
  await row(person, name).locator(`[data-action=${action}]`).click();
}

/** Sends a message that no button of this page sends. Returns the server's error code. */
async function forge(person, message) {
  const ref = Math.random();
  await person.page.evaluate((text) => window.socket.send(text), JSON.stringify({ ...message, ref }));
  const answer = () => person.page.evaluate((ref) => window.heard.find((one) => one.ref === ref)?.code, ref);
  await expect.poll(answer).toBeDefined();
  return answer();
}

const idOf = (person, name) => person.tile(name).getAttribute('data-peer-id');

test('a host removes somebody, after a question', async ({ enter }) => {
  const ada = await enter('Ada', 'remove');
  await inside(ada);
  const grace = await enter('Grace', 'remove');
  await list(ada);
  await expect(row(ada, 'Ada')).toHaveAttribute('data-role', 'host');
  await act(ada, 'Grace', 'remove');
  await ada.button('cancel').click();
  await inside(grace);

  await row(ada, 'Grace').locator('[data-action=remove]').click();
  await ada.button('confirm').click();
  await expect(grace.failure('removed')).toContainText('A host removed you');
  await expectSignaling(grace, 'closed');
  await expect(ada.tiles).toHaveCount(0, { timeout: 3_000 });
  await expect(row(ada, 'Grace')).toHaveCount(0);
});

test('a locked room lets nobody in until it is opened', async ({ enter }) => {
  const ada = await enter('Ada', 'lock');
  await inside(ada);
  await list(ada);
  await ada.button('locked').click();
  await expect(ada.button('locked')).toBeChecked();
  const grace = await enter('Grace', 'lock');
  await expect(grace.failure('room_locked')).toContainText('locked');

  await ada.button('locked').click();
  await expect(ada.button('locked')).not.toBeChecked();
  await grace.button('rejoin').click();
  await expect(ada.tile('Grace')).toBeVisible();
});

test('the lobby: one is let in, two are refused at once, one does not wait', async ({ enter }) => {
  const ada = await enter('Ada', 'lobby');
  await inside(ada);
  await list(ada);
  await ada.button('lobby').click();
  await expect(ada.button('lobby')).toBeChecked();
  const request = (name) => ada.page.locator('[data-request]', { hasText: name });
  const waiting = async (name) => {
    const someone = await enter(name, 'lobby');
    await expect(someone.page.locator('[data-phase=waiting]')).toContainText('Waiting for a host');
    await expect(request(name)).toBeVisible();
    return someone;
  };

  const grace = await waiting('Grace');
  expect(await forge(grace, { type: 'broadcast', data: 'let me in' })).toBe('not_admitted');
  await request('Grace').locator('[data-action=admit]').click();
  await expect(ada.tile('Grace')).toBeVisible();
  await inside(grace);

  const alan = await waiting('Alan');
  const bob = await waiting('Bob');
  await ada.page.locator('[data-action=refuse_all]').click();
  for (const someone of [alan, bob]) await expect(someone.failure('lobby_refused')).toBeVisible();

  const zoe = await waiting('Zoe');
  await zoe.button('leave').click();
  await expect(request('Zoe')).toHaveCount(0);
});

test('a host hands over, and the meeting outlives the first one', async ({ enter }) => {
  const ada = await enter('Ada', 'hand-over');
  await inside(ada);
  const grace = await enter('Grace', 'hand-over');
  await list(ada);
  await act(ada, 'Grace', 'make-host');
  await expect(row(ada, 'Grace')).toHaveAttribute('data-role', 'host');
  await expect(grace.page.locator('[data-notice=role]')).toContainText('You are now a host.');

  await list(grace);
  await act(grace, 'Ada', 'unhost');
  await expect(row(ada, 'Ada')).toHaveAttribute('data-role', 'participant');
  await expect(ada.button('person-actions')).toHaveCount(0);
  await expect(ada.page.locator('[data-notice=role]')).toContainText('You are no longer a host.');
  await expect(ada.button('comply')).toHaveCount(0);
  await ada.button('leave').click();
  await grace.button('locked').click();
  await expect(grace.button('locked')).toBeChecked();
});

test('a host ends the meeting for all', async ({ enter }) => {
  const ada = await enter('Ada', 'end');
  await inside(ada);
  const grace = await enter('Grace', 'end');
  await inside(grace);
  await list(ada);
  await ada.button('end').click();
  await ada.button('confirm').click();
  for (const someone of [ada, grace]) {
    await expect(someone.failure('ended')).toContainText('meeting was ended');
    await expectSignaling(someone, 'closed');
  }
});

test('asked to mute, one decides; switched off, one is off at once', async ({ enter }) => {
  const ada = await enter('Ada', 'mute');
  await inside(ada);
  const grace = await enter('Grace', 'mute', { audio: true, video: true });
  await expect(ada.tile('Grace')).toHaveAttribute('data-mic', 'on');
  await list(ada);
  await act(ada, 'Grace', 'ask-mute');
  await expect(grace.page.locator('[data-notice=asked]')).toContainText('Ada asks you to mute your microphone.');
  await expect(grace.ownTile).toHaveAttribute('data-mic', 'on');
  await grace.button('comply').click();
  await expect(ada.tile('Grace')).toHaveAttribute('data-mic', 'off');

  await act(ada, 'Grace', 'ask-unmute');
  await grace.button('comply').click();
  await expectSound(ada, 'Grace');
  await ada.button('mute-all').click();
  await act(ada, 'Grace', 'camera-off');
  for (const tile of [ada.tile('Grace'), grace.ownTile]) {
    await expect(tile).toHaveAttribute('data-mic', 'off');
    await expect(tile).toHaveAttribute('data-camera', 'off');
  }
  await expect(grace.page.locator('[data-notice=switched_off]')).toBeVisible();
});

test('raised hands are seen on the tile, in the list and at its button', async ({ enter }) => {
  const ada = await enter('Ada', 'hands');
  await inside(ada);
  const alan = await enter('Alan', 'hands');
  const grace = await enter('Grace', 'hands');
  await expect(ada.tiles).toHaveCount(2);
  await list(ada);
  await grace.button('hand').click();
  const hand = ada.tile('Grace').getByRole('img', { name: 'Hand raised' });
  await expect(hand).toBeVisible();
  await expect(ada.button('people')).toContainText('1 hand raised');
  // A member with a raised hand comes right after the user.
  await expect(ada.page.locator('[data-person]').nth(1)).toHaveAttribute('data-person', 'Grace');

  // Everybody sees the hands in the order in which they were raised, on tiles and in the list.
  const people = () =>
    ada.page.locator('[data-person]').evaluateAll((rows) => rows.map(({ dataset }) => dataset.person));
  await alan.button('hand').click();
  const inLine = (place) => ({ name: `Hand raised, number ${place} in line` });
  await expect(ada.tile('Grace').getByRole('img', inLine(1))).toBeVisible();
  await expect(ada.tile('Alan').getByRole('img', inLine(2))).toBeVisible();
  await expect(alan.ownTile.getByRole('img', inLine(2))).toBeVisible();
  expect(await people()).toEqual(['Ada', 'Grace', 'Alan']);
  const zoe = await enter('Zoe', 'hands');
  await expect(zoe.tile('Grace').getByRole('img', inLine(1))).toBeVisible();
  await expect(zoe.tile('Alan').getByRole('img', inLine(2))).toBeVisible();
  await grace.button('hand').click();
  await expect(hand).toHaveCount(0);
  await grace.page.keyboard.press('h');
  await expect(ada.tile('Grace').getByRole('img', inLine(2))).toBeVisible();
  expect(await people()).toEqual(['Ada', 'Alan', 'Grace', 'Zoe']);
  await grace.page.keyboard.press('h');
  await expect(hand).toHaveCount(0);

  await ada.page.locator('input[name=people]').fill('ALA');
  await expect(ada.page.locator('[data-person]')).toHaveCount(1);
  await ada.page.keyboard.press('Escape');
  await expect(ada.page.locator('[data-panel]')).toHaveCount(0);
  await expect(ada.button('people')).toBeFocused();
});

test('a talk: a listener applies, is granted, speaks, and it is taken back', async ({
  enter,
  person,
  server,
}) => {
  const ada = await person('Ada');
  await ada.page.goto(server.url);
  await ada.page.locator('input[name=talk]').check();
  await ada.button('create').click();
  await ada.page.locator('input[name=name]').fill('Ada');
  await ada.button('join').click();
  await inside(ada);
  const room = new URL(ada.page.url()).pathname.split('/').at(-1);

  const grace = await enter('Grace', room, { audio: true, video: true });
  const alan = await enter('Alan', room);
  await expectPictures(grace, 'Ada');
  await expect(grace.button('mic')).toHaveCount(0);
  await list(ada);
  await expect(ada.page.locator('[data-role=listener]')).toHaveCount(2);
  await expect(ada.tiles).toHaveCount(0);
  // Without a tile, the link's details are in the list.
  await row(ada, 'Grace').locator('[data-action=link]').click();
  await row(ada, 'Grace').locator('[data-action=safety]').click();
  await expect(ada.page.getByRole('dialog')).toContainText('Safety code with Grace');
  await ada.page.keyboard.press('Escape');
  await expect(ada.page.getByRole('dialog')).toHaveCount(0);
  // Listeners write to hosts, and no message waits for another listener.
  await list(grace);
  await expect(row(grace, 'Alan')).toBeVisible();
  await expect(row(grace, 'Alan').locator('[data-action=link]')).toHaveCount(0);
  await grace.button('chat').click();
  const chat = grace.page.locator('[data-panel=chat]');
  await expect(chat).toContainText('only hosts receive your messages');
  await expect(chat.locator('[data-action=attach]')).toHaveCount(0);
  await chat.locator('textarea').fill('May I?');
  await chat.locator('textarea').press('Enter');
  await expect(chat.locator('[data-entry=text]')).toContainText('May I?');
  await expect(chat.locator('.waiting')).toHaveCount(0);

  await grace.button('hand').click();
  await ada.page.locator('[data-request]', { hasText: 'Grace asks to speak' }).locator('.yes').click();
  await expect(grace.page.locator('[data-notice=role]')).toContainText('You can speak now.');
  await grace.button('comply').click();
  // The other listener hears her as well: their connection is created now.
  for (const someone of [ada, alan]) await expectSound(someone, 'Grace');

  await act(ada, 'Grace', 'make-listener');
  await expect(grace.button('mic')).toHaveCount(0);
  for (const someone of [ada, alan]) await expect(someone.tile('Grace')).toHaveCount(0);
  const devices = grace.page.evaluate(() =>
    window.probe.connections.flatMap((pc) => pc.getSenders().map(({ track }) => track)),
  );
  expect((await devices).every((track) => track === null)).toBe(true);
});

test('forged messages are refused, whatever the page says', async ({ enter }) => {
  const ada = await enter('Ada', 'forged', { query: { talk: '1' } });
  await inside(ada);
  const grace = await enter('Grace', 'forged');
  await enter('Alan', 'forged');
  await list(ada);
  await expect(ada.page.locator('[data-role=listener]')).toHaveCount(2);
  const host = await idOf(grace, 'Ada');
  const alan = await grace.page.evaluate(
    () => window.heard.flatMap(({ type, peer }) => (type === 'peer_joined' ? [peer.id] : []))[0],
  );
  const moderate = (act) => forge(grace, { type: 'moderate', ...act });

  expect(await moderate({ action: 'remove', to: host })).toBe('not_allowed');
  expect(await moderate({ action: 'end' })).toBe('not_allowed');
  expect(await moderate({ action: 'settings', settings: { locked: true } })).toBe('not_allowed');
  const self = await ada.page.evaluate(
    () => window.heard.flatMap(({ type, peer }) => (type === 'peer_joined' ? [peer.id] : []))[0],
  );
  expect(await moderate({ action: 'role', to: self, role: 'host' })).toBe('not_allowed');
  expect(await forge(grace, { type: 'broadcast', data: 'spam' })).toBe('not_allowed');
  expect(await forge(grace, { type: 'state', state: { mic: true } })).toBe('not_allowed');
  expect(await forge(grace, { type: 'signal', to: alan, data: {} })).toBe('not_allowed');
  // The host, as before.
  expect(await forge(ada, { type: 'moderate', action: 'remove', to: 'AAAAAAAAAAAAAAAAAAAA' })).toBe(
    'peer_not_found',
  );
  await expect(row(ada, 'Grace')).toHaveAttribute('data-role', 'listener');
  await inside(ada);
});

test('who is off by the state is not played, even if the page goes on sending', async ({ enter }) => {
  const ada = await enter('Ada', 'silenced');
  await inside(ada);
  const grace = await enter('Grace', 'silenced', { audio: true, video: true });
  await expectPictures(ada, 'Grace');
  const played = () =>
    ada
      .tile('Grace')
      .locator('video')
      .evaluate(({ srcObject }) => srcObject.getTracks().map(({ enabled }) => enabled));
  expect(await played()).toEqual([true, true]);
  // A dishonest page: its devices stay on.
  await grace.page.evaluate(() =>
    window.socket.send(JSON.stringify({ type: 'state', state: { mic: false, camera: false } })),
  );
  await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'off');
  expect(await played()).not.toContain(true);
});
